"""Every protocol that published numbers use can be evaluated, and gives what ``twelve score`` gives."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_others
import tiny_web_captions
from rich.console import Console
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.errors import ConfigError, RegionError
from twelve.evaluation.results import read_results
from twelve.evaluation.submission import Unlabelled
from twelve.formats.data_root import DataRoot
from twelve.metrics.referring import PROTOCOLS
from twelve.report.write import write_report
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.score import score
from twelve.tasks.base import all_tasks, get
from twelve.types.examples import Example

QUIET = Console(quiet=True)
GOLDENS = Path(__file__).parents[1] / "goldens" / "metrics"
TASKS = ("coco", "flickr30k", "refcoco", "guesswhat")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_web_captions.make(tiny_others.make(tmp_path_factory.mktemp("root"), train=12, val=6))


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "run", training={"iterations": 2, "eval_every": 2})
    tree |= {"tasks": {task: tiny_others.settings(root, task) for task in TASKS}}
    return train(configuration.parse(tree), console=QUIET)


def test_every_protocol_of_result_files_is_one_of_evaluation() -> None:
    for task in all_tasks().values():
        assert set(task.scoring_protocols) - {"given"} <= set(task.protocols)  # the gallery of a file
        for name in task.protocols:
            assert task.protocol(task.test_split, name).name == name
        assert task.protocol(task.test_split).name == task.protocol_name() == next(iter(task.protocols))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_boxes_are_compared_as_in_result_files(protocol: str, tmp_path: Path) -> None:
    """The 120 hard pairs of the recordings, on which the three programs differ."""
    pairs = json.loads((GOLDENS / "refer" / "box_pairs.json").read_text())
    predicted, referred = (
        [(x, y, x + w, y + h) for x, y, w, h in (pair[key] for pair in pairs)] for key in ("pred_xywh", "gt_xywh")
    )
    examples = [Example(str(k), "", ("x/1",), box, "x/1", facts={"split": "val"}) for k, box in enumerate(referred)]
    predictions = [SimpleNamespace(value=box) for box in predicted]
    found = get("refcoco").measure_by(get("refcoco").protocol("val", protocol), examples, predictions)
    assert round(found.headline, 1) == {"google": 51.7, "mattnet": 50.8, "original": 54.2}[protocol]
    if protocol == "google":
        assert get("refcoco").measure(examples, predictions).headline == found.headline


@pytest.fixture(scope="module")
def usual(run: Path) -> dict[str, Any]:
    return {result.task: result for result in evaluate_run(run, console=QUIET)}


def test_numbers_of_a_smaller_gallery_are_called_so_everywhere(run: Path, usual: dict[str, Any]) -> None:
    assert usual["coco"].metric == "R@1 of 6" and usual["flickr30k"].metric == "R@1 of 6"
    assert usual["coco"].protocol.gallery == 6 and usual["coco"].protocol.name == "1k"
    assert "the split has only 6 images" in usual["coco"].protocol.note
    assert "only" not in usual["flickr30k"].protocol.note  # all images of the split are what it asks for
    said, names = io.StringIO(), ["coco", "flickr30k"]
    (three, other) = evaluate_run(run, tasks=names, gallery=3, console=Console(file=said, width=200))
    assert three.metric == other.metric == "R@1 of 3" and three.protocol.gallery == 3 and three.examples == 15
    text = " ".join(said.getvalue().split())
    assert "COCO retrieval, R@1 of 3 " in text and "gallery of 3 images" in text
    results, _ = read_results(run / "evaluation.json")
    assert {result.task: result.metric for result in results}["coco"] == "R@1 of 6"
    page = write_report(run).read_text(encoding="utf-8")
    assert "R@1 of 6" in page and "The gallery has 6 images" in page
    assert "R@1<" not in page.replace("instead of R@1<", "")


def test_protocols_are_chosen_by_name_or_task(run: Path, usual: dict[str, Any]) -> None:
    names = ["coco=5k", "original", "guesswhat=all"]
    found = {result.task: result for result in evaluate_run(run, protocols=names, baselines=False, console=QUIET)}
    chosen = {name: result.protocol.name for name, result in found.items()}
    assert chosen == {"coco": "5k", "flickr30k": "all", "refcoco": "original", "guesswhat": "all"}
    assert "more than 0.5" in found["refcoco"].protocol.note and usual["refcoco"].protocol.name == "google"
    assert (found["guesswhat"].examples, usual["guesswhat"].examples) == (6, 5)  # one game failed
    # An option that names no protocol of a task leaves that task as it is.
    assert found["flickr30k"].score == usual["flickr30k"].score


def test_all_games_are_scored_as_those_of_a_result_file(run: Path, root: Path, tmp_path: Path) -> None:
    games = get("guesswhat").read(DataRoot(root), "valid")
    chosen = {game.id: game.facts["object_ids"][number % 3] for number, game in enumerate(games)}
    (tmp_path / "results.json").write_text(json.dumps(chosen))
    predictions = [SimpleNamespace(value=number % 3) for number in range(len(games))]
    for name in ("success", "all"):
        protocol = get("guesswhat").protocol("valid", name)
        measured = get("guesswhat").measure_by(protocol, games, predictions)
        (official,) = (root / "guesswhat").glob("guesswhat.valid.jsonl*")
        scored = score("guesswhat", official, tmp_path / "results.json", name)
        assert measured.headline == scored.numbers["accuracy"].value
        assert len(measured.per_example) == scored.examples


def test_results_of_other_protocols_are_kept_beside(run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run, tmp_path / "run"))
    before = (run / "evaluation.json").read_text() if (run / "evaluation.json").exists() else None
    evaluate_run(run, protocols=["coco=all", "refcoco=original"], console=QUIET)
    results, _ = read_results(run / "evaluation-coco-all-refcoco-original.json")
    assert {result.task: result.protocol.name for result in results}["refcoco"] == "original"
    assert ((run / "evaluation.json").read_text() if before else None) == before
    (run / "evaluation-gallery-3.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"evaluation-gallery-3\.json"):
        evaluate_run(run, gallery=3, console=QUIET)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocols": ["coco=1k-5fold"]}, r"needs 5 galleries of 1,000 images.* 6 images -> .*--protocol coco=all"),
        ({"protocols": ["coco=10k"]}, r"COCO retrieval has no protocol '10k'"),
        ({"protocols": ["orignal"]}, r"has a protocol 'orignal' \(did you mean \"original\"\?\)"),
        ({"protocols": ["nlvr2=official"]}, r"'nlvr2' is not evaluated"),
        ({"tasks": ["refcoco"], "protocols": ["coco=1k"]}, r"'coco' is not evaluated"),
        ({"tasks": ["refcoco"], "gallery": 3}, r"no task that is evaluated ranks a gallery"),
        ({"settings": ["evaluation.protocols={coco: 1}"]}, r"evaluation\.protocols\.coco"),
        ({"settings": ["evaluation.protocols={coco: '1'}"]}, r"COCO retrieval has no protocol '1'"),
        ({"settings": ["evaluation.protocols={cocoo: 1k}"]}, r"unknown name 'cocoo'"),
    ],
)
def test_mistakes(run: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        evaluate_run(run, console=QUIET, **options)


def test_a_configuration_says_how_it_is_measured_and_the_command_overrides(run: Path) -> None:
    def measured(*settings: str, **options: Any) -> dict[str, Any]:
        results = evaluate_run(run, settings=settings, baselines=False, console=QUIET, **options)
        return {result.task: result.protocol.name for result in results}

    both = ["evaluation.gallery=3", "evaluation.protocols={coco: 5k, refcoco: original}"]
    usual = {"coco": "5k", "flickr30k": "3 images", "refcoco": "original", "guesswhat": "success"}
    assert measured(*both) == usual
    assert measured(*both, gallery=4) == usual | {"coco": "4 images", "flickr30k": "4 images"}
    assert measured(*both, protocols=["flickr30k=1k", "refcoco=google"]) == usual | {
        "flickr30k": "1k",
        "refcoco": "google",
    }
    assert measured(*both, protocols=["coco=1k"], gallery=4) == usual | {"coco": "1k", "flickr30k": "4 images"}


def test_a_split_without_public_answers_is_passed_over(root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(root, tmp_path / "root"))
    questions = root / "vqa" / "v2_OpenEnded_mscoco_val2014_questions.json"
    tree = json.loads(questions.read_text()) | {"data_subtype": "test-dev2015"}
    (root / "vqa" / "v2_OpenEnded_mscoco_test-dev2015_questions.json").write_text(json.dumps(tree))
    made = tiny.tree(root, tmp_path / "run", training={"iterations": 2, "eval_every": 2}, hold_out="test")
    made["tasks"] = {task: tiny_others.settings(root, task) for task in ("vqa", "refcoco")}
    made["tasks"]["vqa"] |= {"test_split": "test-dev"}
    run, said = train(configuration.parse(made), console=QUIET), io.StringIO()
    (result,) = evaluate_run(run, console=Console(file=said, width=300))
    assert result.task == "refcoco" and "not measured:" in said.getvalue()
    assert "--task vqa --split test-dev --submit FILE" in said.getvalue()
    with pytest.raises(Unlabelled):
        evaluate_run(run, tasks=["vqa"], console=QUIET)


# --- models that were only pretrained --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of pretraining on the colours of things, until it tells matching pairs."""
    captions = "conceptual_captions"
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "pretrained", sources={})
    tree["tasks"] = {captions: tiny_web_captions.settings(captions)}
    tree["training"] |= {"iterations": 150, "eval_every": 150, "save_every": 150}
    tree["schedule"] = {"name": "always-go"}
    return train(configuration.parse(tree), console=QUIET)


def test_a_pretrained_model_is_asked_for_retrieval(pretrained: Path) -> None:
    (result,) = evaluate_run(pretrained, tasks=["flickr30k"], split="val", allow_other_features=True, console=QUIET)
    assert result.metric == "R@1 of 6" and result.examples == 30 and "zero-shot" in result.protocol.note
    found = result.baselines["shuffled images"]
    assert result.metrics["image to text R@5 of 6"] >= 0 and result.score.mean > found.score
    said = CliRunner().invoke(cli.app, ["evaluate", str(pretrained), "--task", "vqa"])
    assert isinstance(said.exception, ConfigError)
    assert "no task 'vqa'; pretraining heads support retrieval only" in str(said.exception)


def test_a_model_folder_is_enough(pretrained: Path, run: Path, root: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(pretrained / "model", tmp_path / "alone"))
    before = sorted(path.name for path in alone.iterdir())
    options: dict[str, Any] = {"tasks": ["flickr30k"], "split": "val", "console": QUIET}
    (whole,) = evaluate_run(pretrained, **options)
    (part,) = evaluate_run(alone, settings=[f"data={root}"], **options)
    assert part.score.mean == whole.score.mean and part.metrics == whole.metrics
    assert sorted(path.name for path in alone.iterdir()) == before
    with pytest.raises(
        ConfigError, match=r"a model folder does not name its data -> name the data root: --set data=DATA"
    ):
        evaluate_run(alone, **options)
    known = Path(shutil.copytree(run / "model", tmp_path / "known"))
    (found,) = evaluate_run(known, tasks=["refcoco"], split="val", settings=sources(root), console=QUIET)
    (usual,) = evaluate_run(run, tasks=["refcoco"], split="val", console=QUIET)
    assert found.score.mean == usual.score.mean and "trained box prior" not in found.baselines
    with pytest.raises(ConfigError, match="no task 'vqa'"):
        evaluate_run(known, tasks=["vqa"], settings=sources(root), console=QUIET)
    with pytest.raises(RegionError, match="no such region store"):
        evaluate_run(known, split="val", settings=[f"data={tmp_path}"], console=QUIET)


def test_the_released_pretrained_model_has_no_task_and_no_token(pretrained: Path, root: Path, tmp_path: Path) -> None:
    """As twelve convert writes it."""
    alone = Path(shutil.copytree(pretrained / "model", tmp_path / "alone"))
    for file, values in (
        ("processor_config.json", {"task_outputs": {}, "max_text": {}, "token_rows": {}, "temperatures": {}}),
        ("config.json", {"task_specific_tokens": False, "max_position_embeddings": 16}),
    ):
        (alone / file).write_text(json.dumps(json.loads((alone / file).read_text()) | values))
    weights = load_file(alone / "model.safetensors")
    del weights["text.embedding.tasks.weight"]
    save_file(weights, alone / "model.safetensors", {"format": "pt"})
    options: dict[str, Any] = {"split": "val", "settings": [f"data={root}", "tasks.coco.max_text=12"], "console": QUIET}
    results = evaluate_run(alone, tasks=["coco"], **options)
    assert [result.metric for result in results] == ["R@1 of 6"] and "zero-shot" in results[0].protocol.note
    with pytest.raises(ConfigError, match=r"trained on no task -> name one: --task TASK"):
        evaluate_run(alone, **options)


def sources(root: Path) -> list[str]:
    return [f"data={root}", "sources={refcoco: flickr30k}"]
