"""``twelve parity``: what it finds, that it passes on the recordings, and that it can fail."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from twelve import parity
from twelve.errors import DataError, TwelveError
from twelve.outputs.answer import Answer
from twelve.parity.discover import Recording, discover
from twelve.parity.recording import largest, worst
from twelve.parity.report import Difference, show
from twelve.training.schedules.stop_and_go import Controller

JSON = ("dsg.json", "lr_schedule.json", "losses_scores.json")


@pytest.fixture
def model(goldens: Path) -> Path:
    return goldens / "model"


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """A copy of the small recordings that a test may spoil."""
    for name in (*JSON, "losses_scores.safetensors"):
        shutil.copy(model / name, tmp_path)
    return tmp_path


def change(file: Path, *path: str | int, value: Any) -> None:
    """Set one value inside a JSON file."""
    tree = json.loads(file.read_text())
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    file.write_text(json.dumps(tree))


def test_every_recording_is_found(model: Path) -> None:
    found = discover(model)
    assert {(recording.kind, recording.path.name) for recording in found} == {
        ("forward", "public_multitask"),
        ("retrieval", "public_multitask"),
        ("forward", "public_pretraining"),
        ("losses", "losses_scores.json"),
        ("stop_and_go", "dsg.json"),
        ("learning_rate", "lr_schedule.json"),
        ("train_trace", "trace.json"),
    }
    assert len(found) == 7


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("public_multitask/state.safetensors", "forward", "public_multitask"),
        ("public_multitask/retrieval_inputs.safetensors", "retrieval", "public_multitask"),
        ("losses_scores.safetensors", "losses", "losses_scores.json"),
        ("train_trace/params.safetensors", "train_trace", "train_trace/trace.json"),
        ("dsg.json", "stop_and_go", "dsg.json"),
    ],
)
def test_a_file_stands_for_its_recording(model: Path, name: str, kind: str, path: str) -> None:
    assert [(r.kind, r.path) for r in discover(model / name)] == [(kind, model / path)]


def test_small_recordings_pass_also_under_other_names(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*JSON, "losses_scores.safetensors"):
        (copy / name).rename(copy / f"other_{name}")
    (copy / "unrelated.json").write_text('{"a": 1}')
    (copy / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert parity.run(copy) == 0
    printed = capsys.readouterr().out
    assert "58 quantities compared, all within their tolerances" in printed
    assert "TASK1 loss" in printed


def test_forward_and_retrieval_pass(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.run(model / "public_multitask") == 0
    assert parity.run(model / "public_pretraining") == 0
    printed = capsys.readouterr().out
    assert "vil_prediction_gqa" in printed
    assert "masked_lm_loss" in printed
    assert "medr" in printed


def test_training_trace(model: Path) -> None:
    found = {d.quantity: d for d in parity.compare(Recording("train_trace", model / "train_trace/trace.json"))}
    assert all(difference.ok for difference in found.values()), found
    assert found["loss, relative"].largest < 1e-12
    assert found["loss (gradients dropped), relative"].largest < 1e-12
    assert found["distance of the two ways"].largest < 1e-9
    assert found["learning rate and decay by parameter"].largest == 0
    assert found["final parameters (float32)"].largest < 1e-4


@pytest.mark.parametrize(
    ("change_to", "quantities"),
    [
        ((("optimizer", "weight_decay"), 0.02), {"final parameters", "learning rate and decay by parameter"}),
        ((("optimizer", "eps"), 1e-5), {"final parameters", "loss, relative"}),
        ((("stopped_tasks_per_iteration",), {}), {"tasks trained"}),
        ((("head_lr",), 0.0051), {"final parameters", "head learning rate"}),
    ],
)
def test_training_trace_can_fail(
    model: Path, tmp_path: Path, change_to: tuple[tuple[str, ...], Any], quantities: set[str]
) -> None:
    folder = shutil.copytree(model / "train_trace", tmp_path / "train_trace")
    for name in ("state.safetensors", "meta.json"):
        (tmp_path / "m").mkdir(exist_ok=True)
        shutil.copy(model / "public_multitask" / name, tmp_path / "m")
    path, value = change_to
    change(folder / "trace.json", *path, value=value)
    tree = json.loads((folder / "trace.json").read_text())
    for step in tree["steps"]:  # one repetition is enough
        del step["loss_float32"], step["loss_set_to_none"]
    (folder / "trace.json").write_text(json.dumps(tree))
    params = load_file(folder / "params.safetensors")
    kept = {name: tensor for name, tensor in params.items() if not name.startswith("final_set_to_none")}
    save_file(kept, folder / "params.safetensors")
    found = parity.compare(Recording("train_trace", folder / "trace.json"))
    assert quantities <= {difference.quantity for difference in found if not difference.ok}


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("dsg.json", ("sequences", 0, "in_stop", 0), True),
        ("dsg.json", ("sequences", 5, "best", 0), None),
        ("dsg.json", ("sequences", 7, "num_bad", 1), 7),
        ("dsg.json", ("reset", "in_stop", 5), True),
        ("dsg.json", ("reset", "reset_before_index"), None),
        ("lr_schedule.json", ("cases", 2, "rows", 7, 4), [1e-5, 8e-5]),
        ("lr_schedule.json", ("cases", 1, "rows", 3, 2), False),
        ("lr_schedule.json", ("cases", 2, "final_global_step"), 9),
        ("lr_schedule.json", ("cases", 0, "loss_scale", "TASK1"), 1.0),
        ("losses_scores.json", ("TASK9", "loss"), 9.842),
        ("losses_scores.json", ("TASK4", "val_score_sum"), 3.0),
    ],
)
def test_a_changed_recording_fails(copy: Path, name: str, path: tuple[str | int, ...], value: Any) -> None:
    change(copy / name, *path, value=value)
    assert parity.run(copy / name) == 1


def test_our_mistakes_fail(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answer, "loss", lambda self, logits, targets: logits.sum())
    assert parity.run(model / "losses_scores.json") == 1
    monkeypatch.setattr(Controller, "reset", lambda self: None)
    assert parity.run(model / "dsg.json") == 1


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("losses_scores.json", ("TASK9", "type"), "L-logit", r"TASK9.*'L-logit' are not supported"),
        ("losses_scores.json", ("TASK9", "loss"), "high", r"TASK9\.loss"),
        ("dsg.json", ("params", "mode"), "min", r"params\.mode"),
        ("dsg.json", ("sequences",), [], "nothing to compare"),
        ("lr_schedule.json", ("cases", 0, "in_stop", "TASK1"), [True], "in_stop of TASK1 is incomplete"),
        ("lr_schedule.json", ("cases", 0, "tasks"), [], r"cases\.0\.tasks"),
    ],
)
def test_what_cannot_be_compared_is_said(
    copy: Path, name: str, path: tuple[str | int, ...], value: Any, message: str
) -> None:
    change(copy / name, *path, value=value)
    if message == "nothing to compare":
        change(copy / name, "reset", value=None)
    with pytest.raises(DataError, match=message):
        parity.run(copy / name)


@pytest.mark.parametrize("name", ["dsg.json", "losses_scores.safetensors"])
def test_damaged_files_are_named(copy: Path, name: str) -> None:
    file = copy / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match=name):
        parity.run(copy)


def test_missing_and_misshapen_tensors_are_named(copy: Path) -> None:
    file = copy / "losses_scores.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}  # not views of a file that is replaced
    save_file({name: tensor for name, tensor in tensors.items() if name != "TASK9.target"}, file)
    with pytest.raises(DataError, match=r"\[TASK9.target\]: this tensor is missing"):
        parity.run(file)
    save_file(tensors | {"TASK12.logits": torch.zeros(6, 5)}, file)
    with pytest.raises(DataError, match=r"\[TASK12\].*do not fit"):
        parity.run(file)
    file.unlink()
    with pytest.raises(DataError, match="no such file"):
        parity.run(copy / "losses_scores.json")


def test_incomplete_model_recordings_are_named(model: Path, tmp_path: Path) -> None:
    for name in ("meta.json", "inputs.safetensors", "outputs.safetensors"):
        shutil.copy(model / "public_multitask" / name, tmp_path)
    with pytest.raises(TwelveError, match=r"state\.safetensors"):
        parity.run(tmp_path)
    change(tmp_path / "meta.json", "model_class", value="SomethingElse")
    with pytest.raises(TwelveError, match="unknown model class 'SomethingElse'"):
        parity.run(tmp_path)


def test_a_trace_without_its_weights(model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model / "train_trace", tmp_path / "alone" / "trace")
    with pytest.raises(DataError, match="expected the weights that this run started from"):
        parity.run(folder)
    (folder / "batches.safetensors").unlink()
    with pytest.raises(DataError, match=r"batches\.safetensors"):
        parity.run(folder)


def test_nothing_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    (tmp_path / "b.txt").write_text("x")
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "b.txt"):
        with pytest.raises(DataError, match="no recording"):
            parity.run(path)
    with pytest.raises(DataError, match="no such file"):
        parity.run(tmp_path / "absent")


def test_differences_that_are_no_numbers_fail() -> None:
    nan = float("nan")
    assert largest(torch.tensor([nan]), torch.tensor([1.0])) == torch.inf
    assert largest(torch.tensor([1.0]), torch.tensor([1.0, 2.0])) == torch.inf
    assert worst([0.1, nan]) == torch.inf
    assert worst([0.1, -0.2]) == 0.2
    assert worst([]) == 0
    assert not Difference("q", nan, 1.0).ok


@pytest.mark.parametrize("terminal", [True, False])
def test_tables(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    name = "a quantity [with brackets] " + "and a very long name " * 4
    show("title", [Difference(name, 2e-5, 1e-4), Difference("another", float("inf"), 1e-4, "gone")], console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[with brackets]" in printed
    assert "2e-05" in printed
    assert "TOO LARGE" in printed
    assert "gone" in printed
    assert ("\x1b[" in printed) == terminal
