"""A whole run in seconds: train one model on five tasks, look, checkpoint, resume bit for bit, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console

from twelve import config as configuration
from twelve.errors import TwelveError
from twelve.evaluation import recorded
from twelve.evaluation.results import read_results
from twelve.model.vilbert import Twelve
from twelve.run_folder import RunFolder
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)


def losses(run: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["iteration"]: line["losses"] for line in lines if line["kind"] == "step"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    training = {"iterations": 80, "eval_every": 20, "save_every": 20, "log_every": 1, "threads": 1}
    return train(configuration.parse(tiny.tree(root, run, training=training)), console=QUIET)


def test_it_learns_every_task(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = {result.task: result for result in evaluate_run(trained)}
    assert set(results) == set(tiny.TASKS)
    for task in tiny.TASKS:
        assert results[task].score.mean > results[task].baselines["shuffled images"].score + 10, task
    shown = capsys.readouterr().out
    for result in results.values():
        assert result.title in shown and f"split {result.protocol.split}" in shown
        assert result.score.low <= result.score.mean <= result.score.high
    written = json.loads((trained / "evaluation.json").read_text())
    assert written["facts"]["parameters"] > 0 and set(written["tasks"]) == set(tiny.TASKS)
    assert "majority" in results["vqa"].baselines and "trained box prior" in results["refcoco"].baselines
    assert all("chance" in result.baselines for result in results.values())
    assert read_results(trained / "evaluation.json") == ([*results.values()], written["facts"])
    assert set(recorded.read(RunFolder(trained).predictions)) == set(tiny.TASKS)


def test_loss_goes_down(trained: Path) -> None:
    steps = losses(trained)
    first, last = [steps[i] for i in range(1, 6)], [steps[i] for i in range(76, 81)]
    for task in ("vqa", "refcoco", "flickr30k"):
        assert sum(line[task] for line in last) < 0.8 * sum(line[task] for line in first), task


def test_the_run_folder_says_what_was_trained_on(trained: Path) -> None:
    data = json.loads((trained / "data.json").read_text())
    assert data["cleaned"]["mode"] == "test+val" and set(data["tasks"]) == set(tiny.TASKS)
    assert json.loads((trained / "machine.json").read_text())["torch"] == torch.__version__
    assert configuration.load(trained / "config.yaml").training.iterations == 80
    model = Twelve.from_pretrained(trained / "model")
    assert model.config.heads["answer"]["size"] == len(tiny.COLOURS)


def test_resume_is_bit_identical(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [tiny.tree(root, tmp_path / name) for name in ("whole", "cut")]
    for tree in trees:  # dropout, so that the generators' state counts
        tree["model"]["architecture"] |= {"hidden_dropout_prob": 0.1, "v_hidden_dropout_prob": 0.1}
    configured, parsed = map(configuration.parse, trees)
    whole = train(configured, console=QUIET)
    step, calls = Trainer._step, 0

    def dies(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        if calls == 8 * len(tiny.TASKS) + 3:  # in the middle of an iteration after the checkpoint of iteration 8
            raise KeyboardInterrupt
        return step(self, name)

    monkeypatch.setattr(Trainer, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train(parsed, console=QUIET)
    monkeypatch.undo()
    cut = train(parsed, resume=True, console=QUIET)
    assert losses(cut) == losses(whole)
    one, other = (Twelve.from_pretrained(run / "model").state_dict() for run in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_damaged_checkpoint_is_passed_over(root: Path, tmp_path: Path) -> None:
    parsed = configuration.parse(tiny.tree(root, tmp_path / "run"))
    run = train(parsed, console=QUIET)
    newest = sorted((run / "checkpoints").iterdir())[-1]
    (newest / "tensors.safetensors").write_bytes(b"cut")
    (run / "trained.json").unlink()  # it was killed after its last iteration
    train(parsed, resume=True, console=QUIET)
    assert "skipped" in (run / "metrics.jsonl").read_text()


def test_a_loss_that_is_not_finite_stops_before_the_update(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twelve.outputs.entailment import Entailment

    original = Entailment.loss

    def broken(self: Entailment, logits: torch.Tensor, targets: Any) -> torch.Tensor:
        return original(self, logits, targets) * float("nan")

    monkeypatch.setattr(Entailment, "loss", broken)
    with pytest.raises(TwelveError, match="loss of snli_ve is nan in iteration 0") as caught:
        train(configuration.parse(tiny.tree(root, tmp_path / "run")), console=QUIET)
    assert caught.value.exit_code == 1  # type: ignore[attr-defined]
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_existing_run_is_not_overwritten(root: Path, trained: Path) -> None:
    with pytest.raises(TwelveError, match=r"already holds a run.*--continue"):
        train(configuration.parse(tiny.tree(root, trained)), console=QUIET)


def test_other_features_than_the_checkpoints_are_refused(root: Path, trained: Path, tmp_path: Path) -> None:
    images = {f"coco/{number}": number for number in range(32)}
    tiny.write_regions(tmp_path / "regions", images, fingerprint="another")
    with pytest.raises(TwelveError, match="tiny-1"):
        evaluate_run(trained, tasks=["vqa"], settings=[f"regions={tmp_path / 'regions'}"], console=QUIET)


def test_the_schedule_stops_and_resumes_tasks(root: Path, tmp_path: Path) -> None:
    tree = tiny.tree(root, tmp_path / "run")
    tree["training"] |= {"iterations": 24, "eval_every": 1}
    tree["schedule"] = {"name": "stop-and-go"}
    run = train(configuration.parse(tree), console=QUIET)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    changes = [line["event"] for line in lines if line["kind"] == "event"]
    assert "stop" in changes
    trained_at = losses(run)
    assert any(len(found) < len(tiny.TASKS) for found in trained_at.values())
