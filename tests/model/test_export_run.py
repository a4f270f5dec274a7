"""Exporting a run whose data are at hand: compared on its tasks' examples, 8-bit weights measured on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from rich.console import Console

pytest.importorskip("onnx", reason="onnx is not installed (extra export)")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")

from twelve import config as configuration
from twelve.evaluation.evaluate import Evaluator
from twelve.export.check import Report, chosen, compared, samples_of
from twelve.export.export import export, open_model
from twelve.export.exported import Exported
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny.make(tmp_path_factory.mktemp("root"), train=8, val=4)
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "run")
    tree |= {"tasks": {task: tree["tasks"][task] for task in ("vqa", "flickr30k")}, "sources": {}}
    tree["training"] |= {"iterations": 2, "eval_every": 2}
    return train(configuration.parse(tree), console=QUIET)


@pytest.fixture(scope="module")
def answers(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("exports") / "answer"
    return out, export(run, out, output="answer", int8=True)


def test_it_is_measured_on_the_runs_examples(run: Path, answers: tuple[Path, Report]) -> None:
    _, report = answers
    official = {result.task: result for result in evaluate_run(run, tasks=["vqa"], baselines=False, console=QUIET)}
    assert report.examples == {"vqa": 4} and report.difference < 1e-4 and not report.lacking
    assert report.scores["vqa"][0] == pytest.approx(official["vqa"].score.mean)
    assert 0 <= report.agreement["vqa"] <= 1
    assert report.lines()[-1].startswith(f"  vqa: chooses the same {report.agreement['vqa']:.1%} of the time, official")
    assert json.loads(json.dumps(report.to_dict()))["scores"]["vqa"] == list(report.scores["vqa"])


def test_an_export_is_evaluated_as_the_model_is(run: Path, tmp_path: Path) -> None:
    report = export(run, tmp_path / "out", output="alignment")
    assert report.examples == {"flickr30k": 20}
    model, processor, config = open_model(run)
    assert config is not None
    (sample,), _ = samples_of(config, processor, "alignment")
    same, scores = compared(model, Exported.open(tmp_path / "out"), sample)
    assert same == 1 and scores is not None and scores[0] == scores[1]
    graph = Exported.open(tmp_path / "out")
    theirs = Evaluator(config, graph, processor, baselines=False).measure("flickr30k")  # type: ignore[arg-type]
    ours = Evaluator(config, model, processor, baselines=False).measure("flickr30k")
    assert theirs.metrics == ours.metrics and theirs.examples == 20


def test_another_choice_counts(run: Path) -> None:
    model, processor, config = open_model(run)
    (sample,), _ = samples_of(config, processor, "answer")
    before, _ = chosen(model, sample)
    with torch.no_grad():
        model.heads["answer"][-1].bias[processor.vocabularies["answer"].index(before[0])] -= 1000  # type: ignore[index, union-attr]
    after, _ = chosen(model, sample)
    changed, _, _ = open_model(run)
    same, scores = compared(changed, model, sample)
    assert same == sum(a == b for a, b in zip(before, after, strict=True)) / 4 < 1
    assert scores is not None and scores[0] != scores[1]


def test_without_its_data(run: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(run, tmp_path / "run"))
    text = (alone / "config.yaml").read_text()
    data = next(line for line in text.splitlines() if line.startswith("data:"))
    (alone / "config.yaml").write_text(text.replace(data, f"data: {tmp_path / 'gone'}"))
    report = export(alone, tmp_path / "out", output="answer")
    assert not report.examples and report.lacking.startswith("vqa: ")
    assert "random batches only (vqa: " in report.lines()[0]
