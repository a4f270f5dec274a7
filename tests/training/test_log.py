"""Trackers get what metrics.jsonl holds; one that is not installed is said before anything is read."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console

from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.settings import TrainingSettings
from twelve.training import checkpoint
from twelve.training.devices import Devices
from twelve.training.log import RunLog, check_trackers, flat
from twelve.training.provenance import commit

QUIET = Console(quiet=True)


def test_a_resumed_run_keeps_whole_lines_of_every_kind_up_to_its_checkpoint(tmp_path: Path) -> None:
    first = '{"kind": "event", "iteration": 1, "event": "stop"}\n'
    gone = [
        '{"iteration": 1}\n',
        '{"kind": "kept", "iteration": 1}\n',
        '{"kind": "step", "iteration": 3}\n',
        '{"k',
    ]
    (tmp_path / "metrics.jsonl").write_text("".join([first, *gone]))
    log = RunLog(RunFolder(tmp_path), Devices(TrainingSettings(), tmp_path), ())
    log.keep_until(2)
    assert (tmp_path / "metrics.jsonl").read_text() == first and log.lines == 1
    assert log.events() == [{"iteration": 1, "event": "stop"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=6, val=2)


def parsed(root: Path, folder: Path, **training: Any) -> configuration.RunConfig:
    tree = tiny.tree(root, folder)
    tree |= {"tasks": {name: tree["tasks"][name] for name in ("vqa", "refcoco")}}
    tree["training"] |= {"iterations": 4, "eval_every": 2} | training
    return configuration.parse(tree)


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_tensorboard_shows_losses_scores_and_the_configuration(root: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train(parsed(root, tmp_path / "run", trackers=["tensorboard"]), console=QUIET)
    shown: dict[str, list[tuple[int, float]]] = {}
    for folder in {path.parent for path in run.rglob("events.out.tfevents*")}:
        events = accumulator.EventAccumulator(str(folder))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            shown[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    for task in ("vqa", "refcoco"):
        steps = {line["iteration"]: line["losses"][task] for line in logged(run) if line["kind"] == "step"}
        validations = {line["iteration"]: line["score"] for line in logged(run) if line.get("task") == task}
        assert dict(shown[f"loss/{task}"]) == pytest.approx(steps)
        assert dict(shown[f"validation/{task}"]) == pytest.approx(validations)
    assert [at for at, _ in shown["step/lr"]] == [1, 2, 3, 4]
    assert any("batch_size" in path.read_text() for path in run.rglob("hparams.yml"))


def test_without_a_tracker_nothing_of_one_is_written(root: Path, tmp_path: Path) -> None:
    run = train(parsed(root, tmp_path / "run"), console=QUIET)
    assert not list(run.rglob("events.out*")) and len(logged(run)) == 8


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_said_first(
    root: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    monkeypatch.setattr("twelve.runs.new_model.prepare", None)  # nothing is read
    with pytest.raises(ConfigError, match=rf"\[training\.trackers\]: the tracker {name} is not installed.*pip install"):
        train(parsed(root, tmp_path / "run", trackers=[name]), console=QUIET)
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_an_installed_tracker_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module == "tensorboardX" or None)
    check_trackers(["tensorboard"])


def test_a_configuration_is_flattened_for_trackers() -> None:
    tree = {"a": {"b": 1, "c": None, "d": [1, 2]}, "e": "x", "f": {}}
    assert flat(tree) == {"a.b": 1, "a.d": "[1, 2]", "e": "x"}


def test_a_run_says_what_it_read(root: Path, tmp_path: Path) -> None:
    run = train(parsed(root, tmp_path / "run"), console=QUIET)
    data, machine = (json.loads((run / name).read_text()) for name in ("data.json", "machine.json"))
    questions = "vqa/v2_OpenEnded_mscoco_train2014_questions.json"
    assert {questions, "refcoco/instances.json", "snli_ve/snli_ve_dev.jsonl"} <= set(data["files"])
    assert all(Path(root, name).stat().st_size == found["bytes"] for name, found in data["files"].items())
    assert data["regions"] == {"coco": "tiny-1"} | ({"flickr30k": "tiny-1"} if "flickr30k" in data["regions"] else {})
    assert machine["torch"] == torch.__version__ and "commit" in machine
    file = root / questions
    before = file.read_bytes()
    file.write_bytes(before.replace(b"what colour", b"What colour", 1))
    other = train(parsed(root, tmp_path / "other"), console=QUIET)
    file.write_bytes(before)
    changed = json.loads((other / "data.json").read_text())["files"]
    assert [name for name in changed if changed[name] != data["files"][name]] == [questions]


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    package = tmp_path / "src" / "twelve"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (tmp_path / ".git").mkdir()
    assert commit(tmp_path) is None  # a folder that git does not know
    (tmp_path / ".git").rmdir()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit(tmp_path) == head
    (package / "__init__.py").write_text("changed = 1")
    assert commit(tmp_path) == head + "+"


def test_a_checkpoint_that_miscounts_its_log_is_resumed(root: Path, tmp_path: Path) -> None:
    train(parsed(root, tmp_path / "run"), console=QUIET)
    folder = RunFolder(tmp_path / "run").saved()[-1]
    checkpoint.save(folder, checkpoint.load(folder) | {"logged": "x"})
    RunFolder(tmp_path / "run").trained.unlink()  # it was killed before its end
    train(parsed(root, tmp_path / "run"), console=QUIET, resume=True)
