"""An output head of a program: the classes of docs/train-from-code.md in a file of their own, and without them."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import notebook
import pytest
import test_docs
import tiny
import torch
from PIL import Image
from rich.console import Console
from test_cli import fails
from torch import nn
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve.config import load_run, parse
from twelve.errors import CheckpointError, ConfigError
from twelve.export.check import drawn_batch
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.outputs.answer import Answer
from twelve.outputs.base import OUTPUTS, register
from twelve.runs.evaluate import evaluate_run
from twelve.runs.next_command import next_command
from twelve.runs.train import beginning, train
from twelve.tasks import base

SHOWN = [
    body.partition("\n\ntasks = ")[0]  # the classes, without training
    for body in test_docs.blocks(notebook.PAGE.read_text(encoding="utf-8"), "python")
    if "class OneAnswer(" in body or "class PooledAnswer(" in body
]
MODULE = "\n\n".join(
    ["from dataclasses import replace\n\nimport torch\n\nfrom twelve.outputs.answer import Answer", *SHOWN]
)
QUIET = Console(quiet=True)
SIZES: dict[str, Any] = {
    **{"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    **{"max_position_embeddings": 16, "v_feature_size": 8, "v_hidden_size": 24, "v_num_hidden_layers": 2},
    **{"v_num_attention_heads": 3, "v_intermediate_size": 32, "bi_hidden_size": 8, "bi_num_attention_heads": 2},
    **{"t_biattention_id": [0, 1], "v_biattention_id": [0, 1], "initializer_range": 0.2},
}


class Wide(Answer):
    """A head of one's own under the kind of another."""

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        return nn.Linear(fused_size, size)


def tree_of(folder: Path, task: str, run: str) -> dict[str, Any]:
    tree = tiny.tree(folder / "root", folder / "runs" / run, sources={})
    tree["tasks"] = {task: tree["tasks"]["vqa"]}
    return tree


def forget() -> None:
    """As in a new process."""
    sys.modules.pop("own_head", None)
    for kind, task in {"one-answer": "one-answer-vqa", "pooled-answer": "pooled-vqa"}.items():
        OUTPUTS.pop(kind, None)
        base._REGISTRY.pop(task, None)
    base._entry_points.cache_clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the module, data, and a run that was trained where the module is known."""
    folder = tmp_path_factory.mktemp("own")
    tiny.make(folder / "root")
    (folder / "own_head.py").write_text(MODULE)
    Image.new("RGB", (100, 100)).save(folder / "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.import_module("own_head")
        train(parse(tree_of(folder, "one-answer-vqa", "own")), console=QUIET)
        forget()
        yield folder


@pytest.fixture
def place(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That folder, in a process that does not know the module."""
    monkeypatch.chdir(made)
    yield made
    forget()


def test_the_model_records_it_and_a_program_that_imports_it_opens_it(place: Path) -> None:
    assert json.loads(Path("runs/own/model/config.json").read_text())["heads"]["one-answer"]["kind"] == "one-answer"
    importlib.import_module("own_head")
    (result,) = evaluate_run(Path("runs/own"), console=QUIET)
    assert result.task == "one-answer-vqa" and "bag of words" in result.baselines
    model = twelve.load("runs/own")
    assert model.methods == {"answer": ["one-answer-vqa"]} and isinstance(
        model.model.heads["one-answer"][0], nn.LayerNorm
    )
    found = model.scene(tiny.regions_of("coco/30", 30)).ask("answer", "what is it ?").to_dict()
    assert sum(share for _, share in map(dict.values, found["alternatives"])) <= 1 + 1e-6  # exclusive answers


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "runs/own"),
        ("report", "runs/own"),
        ("predict", "runs/own", "--image", "a.png", "--ask", "what is it ?"),
        ("serve", "runs/own"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_without_it_names_it(
    arguments: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails(monkeypatch, capsys, *arguments)
    assert code == 2 and "config.json [heads.one-answer]: its output 'one-answer' is none of twelve's" in error
    assert "import the module that registers it" in error and "lacks" not in error and "choose among" not in error


@pytest.mark.parametrize("open_it", [twelve.load, twelve.Twelve.from_pretrained, load_run])
def test_python_without_it_names_it(open_it: Callable[[str], object], place: Path) -> None:
    with pytest.raises(ConfigError, match="'one-answer' is none of twelve's") as caught:
        open_it("runs/own")
    assert "twelve.load('runs/own'), there" in str(caught.value)
    importlib.import_module("own_head")
    assert open_it("runs/own") is not None


def test_a_model_alone_names_it_too(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no configuration of a run names its task."""
    folder = str(shutil.copytree("runs/own/model", tmp_path / "model"))
    code, error = fails(monkeypatch, capsys, "predict", folder, "--image", "a.png", "--ask", "what is it ?")
    assert code == 2 and "'one-answer' is none of twelve's" in error and f"call twelve.load({folder!r}) there" in error
    with pytest.raises(ConfigError, match="'one-answer' is none of twelve's"):
        twelve.load(folder)


def test_an_installed_package_brings_it_to_the_commands(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "own_head-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-head\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[twelve.tasks]\none-answer-vqa = own_head:OneAnswerVQA\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert twelve.Twelve.from_pretrained("runs/own").config.heads.keys() == {"one-answer"}  # before any task is named
    forget()
    result = CliRunner().invoke(cli.app, ["evaluate", "runs/own", "--no-baselines"])
    assert result.exit_code == 0, (result.output, result.exception)
    task = base.get("one-answer-vqa")
    settings = twelve.load("runs/own").model.config
    assert next_command(Path("r"), settings, {task.name: (task, get_output(task.kind))}) == "twelve evaluate r"


def test_a_head_that_has_changed_since_names_its_class(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("own_head").OneAnswer, "head", Wide.head)
    for open_it in (twelve.load, twelve.Twelve.from_pretrained):
        with pytest.raises(
            CheckpointError, match=r"its head 'one-answer' has other weights than OneAnswer.head\(\) makes"
        ):
            open_it("runs/own")


def test_a_head_under_the_kind_of_another_is_refused_before_training(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tree_of(place, "vqa", "other")
    said = "Wide has a head of its own, but the model would record it as the kind 'answer' -> .*train-from-code"
    model, processor, data, known = beginning(parse(tree))
    data = replace(data, tasks={name: replace(task, output=Wide()) for name, task in data.tasks.items()})
    with pytest.raises(ConfigError, match=said):
        train(parse(tree), start=(model, processor, data, known), console=QUIET)
    monkeypatch.setitem(OUTPUTS, "answer", Wide())
    with pytest.raises(ConfigError, match=said):
        parse(tree)
    assert not Path("runs/other").exists()


def test_a_class_defined_again_replaces_itself(place: Path) -> None:
    """As in a cell of a notebook that is run twice."""
    first = importlib.import_module("own_head")
    again = importlib.reload(first)
    assert type(OUTPUTS["one-answer"]) is again.OneAnswer and type(base.get("one-answer-vqa")) is again.OneAnswerVQA
    with pytest.raises(ValueError, match="two outputs are of kind 'answer'"):
        register(Wide)


def test_a_class_defined_again_under_another_name_has_only_this(place: Path) -> None:
    own = importlib.import_module("own_head").OneAnswerVQA
    try:
        own.name = "renamed-vqa"
        base.register(own)
        assert "one-answer-vqa" not in base.all_tasks() and type(base.get("renamed-vqa")) is own
    finally:
        base._REGISTRY.pop("renamed-vqa", None)


def test_a_function_may_make_a_class_for_each_of_several_names(place: Path) -> None:
    own = importlib.import_module("own_head").OneAnswerVQA

    def make(called: str) -> None:
        class Made(own):  # type: ignore[misc, valid-type]
            name = called

        base.register(Made)

    names = {"made-one", "made-two"}
    try:
        for name in sorted(names):
            make(name)
        assert names < base.all_tasks().keys()
    finally:
        for name in names:
            base._REGISTRY.pop(name, None)


# --- a head on regions -----------------------------------------------------------------------------------------------
def batch_of(model: Twelve) -> dict[str, Any]:
    batch = drawn_batch(model.config, texts=2, length=5, images=3, regions=7, pairs=4)
    return {name: value for name, value in batch.items() if name != "task_rows" or model.config.task_specific_tokens}


def test_a_head_may_pool_regions(place: Path) -> None:
    """From training to a graph."""
    importlib.import_module("own_head")
    run = train(parse(tree_of(place, "pooled-vqa", "pooled")), console=QUIET)
    (result,) = evaluate_run(run, console=QUIET)
    assert result.task == "pooled-vqa" and result.upper_bound is None  # the vocabulary has every answer
    opened = twelve.load(run)
    found = opened.scene(tiny.regions_of("coco/30", 30)).ask("answer", "what is it ?").to_dict()
    assert found["answer"] in opened.processor.vocabularies["pooled-answer"]
    pytest.importorskip("onnx", reason="onnx is not installed (extra export)")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")
    from twelve.export.export import export

    assert export(run, place / "exported", output="pooled-answer").difference < 1e-4
    axes = json.loads((place / "exported" / "export.json").read_text())["outputs"]["logits"]["axes"]
    assert axes == ["pairs", len(opened.processor.vocabularies["pooled-answer"])]


@pytest.fixture
def pooled(place: Path) -> Twelve:
    importlib.import_module("own_head")
    return model_of("pooled-answer")


def model_of(kind: str) -> Twelve:
    torch.manual_seed(0)
    return Twelve(TwelveConfig(**SIZES | {"heads": {kind: {"kind": kind, "size": 5}}})).eval()


def test_padding_changes_nothing_that_a_head_pools(pooled: Twelve) -> None:
    batch = batch_of(pooled)
    wanted = pooled(**batch).logits["pooled-answer"]
    assert wanted.shape == (4, 5) and not batch["region_mask"].all()
    batch["features"][~batch["region_mask"]] = 7.0
    for packs in (True, False):
        pooled.packs = packs
        torch.testing.assert_close(pooled(**batch).logits["pooled-answer"], wanted)


def test_a_head_that_pools_gets_a_mask_where_nothing_is_padded(pooled: Twelve) -> None:
    batch = batch_of(pooled) | {"region_mask": None}
    wanted = pooled(**batch | {"region_mask": torch.ones(3, 7, dtype=torch.bool)}).logits["pooled-answer"]
    torch.testing.assert_close(pooled(**batch).logits["pooled-answer"], wanted)


@pytest.mark.parametrize("padded", [True, False])
def test_logits_that_are_not_of_regions_name_their_head(
    padded: bool, pooled: Twelve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mean(nn.Linear):
        def forward(self, regions: torch.Tensor) -> torch.Tensor:
            return super().forward(regions.mean(1))

    monkeypatch.setattr(
        type(OUTPUTS["pooled-answer"]), "head", lambda _, *, fused_size, visual_size, size: Mean(visual_size, size)
    )
    model = model_of("pooled-answer")
    batch = batch_of(model) | ({} if padded else {"region_mask": None})
    said = r"output 'pooled-answer': expected logits of each region, \(4, 7\) or \(4, 7, A\), found \(4, 5\) -> .*"
    with pytest.raises(ConfigError, match=f"{said}forward\\(self, regions, mask\\) .*train-from-code.md, A head on"):
        model(**batch)


# --- the bias of a head ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["answer", "region"])
def test_a_head_without_a_bias_starts_as_it_is(kind: str) -> None:
    head = nn.Sequential(nn.Identity()) if kind == "answer" else nn.Identity()
    get_output(kind).start_from(head, {})


def test_a_last_layer_with_another_bias_starts_as_it_is() -> None:
    head = nn.Linear(4, 2)  # of which a program makes the scores of three answers
    before = head.bias.detach().clone()
    get_output("answer").start_from(head, {"target": torch.ones(5, 3)})
    assert torch.equal(head.bias, before)
    get_output("answer").start_from(head, {"target": torch.ones(5, 2)})
    assert not torch.equal(head.bias, before)
