"""A token for each dataset, for each head, or none: what is trained so is saved, measured, asked and continued so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_model
import tiny_others
from rich.console import Console

import twelve
from twelve import config as configuration
from twelve.errors import CheckpointError, ConfigError
from twelve.export.export import export
from twelve.model.processor import TwelveProcessor
from twelve.model.processor_file import TASK_TOKENS
from twelve.model.vilbert import Twelve
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train

QUIET = Console(quiet=True)
TASKS = ("vqa", "flickr30k", "refcoco", "refcoco+")
TABLE = "text.embedding.tasks.weight"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_others.make(tmp_path_factory.mktemp("root"), train=9, val=4)


def tree_of(root: Path, run: Path, tasks: tuple[str, ...], **model: Any) -> dict[str, Any]:
    tree = tiny.tree(root, run, tasks={task: tiny_others.settings(root, task) for task in tasks})
    tree["sources"] = {task: source for task, source in tree["sources"].items() if task in tasks}
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
    tree["model"] = {"init": model["init"]} if "init" in model else tree["model"]
    tree["model"] |= model
    return tree


@pytest.fixture(scope="module", params=TASK_TOKENS)
def trained(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    tree = tree_of(root, tmp_path_factory.mktemp("runs") / request.param, TASKS, task_tokens=request.param)
    return request.param, train(configuration.parse(tree), console=QUIET)


def rows_of(run: Path) -> dict[str, int]:
    return TwelveProcessor.from_pretrained(run / "model").token_rows


def test_what_a_run_saves(trained: tuple[str, Path]) -> None:
    kind, run = trained
    rows, model = rows_of(run), Twelve.from_pretrained(run / "model")
    assert (TABLE in model.state_dict()) == model.config.task_specific_tokens == (kind != "none")
    wanted = {"vqa": 1, "flickr30k": 8, "refcoco": 9, "refcoco+": 10}
    assert rows == {"dataset": wanted, "head": wanted | {"refcoco+": 9}, "none": {}}[kind]
    saved = json.loads((run / "model" / "processor_config.json").read_text(encoding="utf-8"))
    assert saved.get("task_tokens", "dataset") == kind and ("task_tokens" in saved) == (kind != "dataset")


def test_it_is_measured(trained: tuple[str, Path]) -> None:
    found = {result.task: result for result in evaluate_run(trained[1], console=QUIET)}
    assert set(found) == set(TASKS) and all(result.baselines for result in found.values())


def test_it_learns_more_tasks(trained: tuple[str, Path], root: Path, tmp_path: Path) -> None:
    """A task of a known head and one of a new head, beside a known task that is fine-tuned."""
    kind, run = trained
    tree = tree_of(root, tmp_path / "more", ("vqa", "refcocog", "snli_ve"), init=str(run))
    more = train(configuration.parse(tree), console=QUIET)
    before, after = rows_of(run), rows_of(more)
    assert {task: after[task] for task in before} == before
    if kind == "none":
        assert not after and TABLE not in Twelve.from_pretrained(more / "model").state_dict()
    else:
        assert (after["refcocog"] == before["refcoco"]) == (kind == "head")
        assert after["snli_ve"] not in before.values()
    assert TwelveProcessor.from_pretrained(more / "model").task_tokens == kind
    assert len(evaluate_run(more, baselines=False, console=QUIET)) == 3
    again = tree_of(root, tmp_path / "tuned", ("refcoco",), init=str(more), task_tokens=kind)
    assert rows_of(train(configuration.parse(again), console=QUIET)) == after


def test_it_is_resumed(trained: tuple[str, Path], root: Path) -> None:
    kind, run = trained
    tree = tree_of(root, run, TASKS, task_tokens=kind)
    tree["training"]["iterations"] = 3
    assert train(configuration.parse(tree), resume=True, console=QUIET) == run
    wrong = tree_of(root, run, TASKS, task_tokens=next(other for other in TASK_TOKENS if other != kind))
    with pytest.raises(ConfigError, match="task_tokens"):
        train(configuration.parse(wrong), resume=True, console=QUIET)


def test_a_model_that_knows_tasks_keeps_its_kind(trained: tuple[str, Path], root: Path, tmp_path: Path) -> None:
    kind, run = trained
    other = next(each for each in TASK_TOKENS if each != kind)
    tree = tree_of(root, tmp_path / "run", ("vqa",), init=str(run), task_tokens=other)
    with pytest.raises(ConfigError, match=rf"model.task_tokens.*trained with '{kind}', found '{other}'"):
        train(configuration.parse(tree), console=QUIET)


def test_released_names_and_ours_agree(root: Path, tmp_path: Path) -> None:
    tree = tree_of(root, tmp_path / "run", ("vqa",), task_tokens="none")
    tree["model"]["architecture"]["task_specific_tokens"] = True
    with pytest.raises(ConfigError, match=r"expected task_specific_tokens false.*found true"):
        train(configuration.parse(tree), console=QUIET)
    del tree["model"]["task_tokens"]
    tree["model"]["architecture"]["task_specific_tokens"] = False
    run = train(configuration.parse(tree), console=QUIET)
    assert TwelveProcessor.from_pretrained(run / "model").task_tokens == "none"


@pytest.fixture(params=TASK_TOKENS)
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A model of random weights that takes images."""
    folder = tiny_model.make(tmp_path / "model", contrast=8)
    processor, model = TwelveProcessor.from_pretrained(folder), Twelve.from_pretrained(folder)
    processor.use_task_tokens(request.param)
    processor.save_pretrained(folder)
    if request.param == "none":
        model.config.task_specific_tokens = False
        bare = Twelve(model.config)
        bare.load_state_dict({name: value for name, value in model.state_dict().items() if name != TABLE})
        bare.save_pretrained(folder)
    return request.param, folder


def test_it_is_asked(asked: tuple[str, Path]) -> None:
    kind, folder = asked
    model = twelve.load(folder)
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    scene = model.scene(image)
    assert scene.answer("what colour is the ball ?").answer in tiny_model.ANSWERS
    assert scene.entails("a red ball").confidence > 0 and scene.locate("the ball").box
    assert model.verify(image, image[::-1].copy(), "both show a ball").confidence > 0
    images, captions = [image, image[::-1].copy()], ["a red ball", "it"]
    assert np.isfinite(model.match(images, captions).logits).all()
    assert np.isfinite(model.match(images, captions, shortlist=1).logits).sum() == 2
    words = scene.answer("what colour is it ?", explain=True).attention.words
    assert ("[TASK]" in words) == (kind != "none")
    boxes = [(0, 0, 20, 20), (10, 10, 40, 40)]
    assert scene.choose("the ball", boxes).confidence > 0
    assert scene.guess([("is it red ?", "yes")], boxes).confidence > 0


def test_its_graph_says_what_it_reads(asked: tuple[str, Path], tmp_path: Path) -> None:
    kind, folder = asked
    export(folder, tmp_path / "graph", output="region")
    about = json.loads((tmp_path / "graph" / "export.json").read_text(encoding="utf-8"))
    rows = {about["tasks"][task].get("row") for task in ("refcoco", "visual7w", "guesswhat")}
    assert len(rows) == {"dataset": 3, "head": 1, "none": 1}[kind] and (rows == {None}) == (kind == "none")
    assert ("task_rows" in about["inputs"]) == (kind != "none")


def test_a_model_without_a_table_has_none(asked: tuple[str, Path]) -> None:
    """Also where an earlier release saved rows for it."""
    kind, folder = asked
    file = folder / "processor_config.json"
    tree = json.loads(file.read_text(encoding="utf-8"))
    if kind == "none":
        del tree["task_tokens"]
        tree["token_rows"] = {task: row for row, task in enumerate(tiny_model.TASKS)}
        file.write_text(json.dumps(tree), encoding="utf-8")
        assert twelve.load(folder).processor.token_rows == {}
    file.write_text(json.dumps(tree | {"task_tokens": "sometimes"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="task_tokens must be one of dataset, head, none"):
        twelve.load(folder)
