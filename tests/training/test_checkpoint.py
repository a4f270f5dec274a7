"""Checkpoints keep trees of state exactly, and damage is recognised."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from twelve.errors import CheckpointError, TwelveError
from twelve.run_folder import RunFolder
from twelve.training import checkpoint

STATE = {
    "model": {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.5], dtype=torch.float64)},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0)}, 12: {"exp": torch.ones(2)}},
        "groups": [{"lr": 0.1, "p": [0, 12]}],
    },
    "best": -math.inf,
    "none": None,
    "text": "plain",
}


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "step-1", STATE)
    found = checkpoint.load(tmp_path / "step-1")
    assert torch.equal(found["model"]["a.weight"], STATE["model"]["a.weight"])
    assert found["model"]["a.bias"].dtype == torch.float64
    assert torch.equal(found["optimizer"]["state"][12]["exp"], torch.ones(2))
    assert found["optimizer"]["groups"] == [{"lr": 0.1, "p": [0, 12]}]
    assert found["best"] == -math.inf and found["none"] is None and found["text"] == "plain"


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damage_is_recognised(tmp_path: Path, file: str, damage: str) -> None:
    folder = tmp_path / "step-1"
    checkpoint.save(folder, STATE)
    path = folder / file
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[-3 if file == "tensors.safetensors" else 14] ^= 1
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="step-1"):
        checkpoint.load(folder)


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (3, 20, 100):
        checkpoint.save(run.checkpoint(step), {"step": step})
    checkpoint.prune(run, 2)
    assert [path.name for path in run.saved()] == ["step-0000020", "step-0000100"]


def test_only_tensors_and_plain_values(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a/b"):
        checkpoint.save(tmp_path / "step-1", {"a": {"b": object()}})


def changed(change: Callable[[Any], Any], *, stamped: bool = False) -> Callable[[Path], None]:
    """A state.json that is JSON, but not the one that was written; ``stamped`` with the checksum of what it holds."""

    def apply(folder: Path) -> None:
        tree = change(json.loads((folder / "state.json").read_text()))
        if stamped:
            tree["plain"] = checkpoint.text_digest(tree["state"])
        (folder / "state.json").write_text(json.dumps(tree))

    return apply


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a list": changed(lambda tree: [tree]),
    "nothing": changed(lambda tree: None),
    "no state": changed(lambda tree: {"tensors": tree["tensors"]}),
    "state is a number": changed(lambda tree: tree | {"state": 3}, stamped=True),
    "state is a list": changed(lambda tree: tree | {"state": [1]}, stamped=True),
    "a tensor that is not there": changed(lambda tree: tree | {"state": {"a": "tensor:no"}}, stamped=True),
    "a key that is no number": changed(lambda tree: tree | {"state": {"#a": 1}}, stamped=True),
    "another value": changed(lambda tree: tree | {"state": tree["state"] | {"text": "other"}}),
    "too deep": lambda folder: (folder / "state.json").write_text("[" * 100000),
    "not text": lambda folder: (folder / "state.json").write_bytes(b"\xff"),
    "foreign tensors": lambda folder: save_file({"a": torch.ones(2)}, folder / "tensors.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_foreign_or_changed_file_is_one_line(tmp_path: Path, damage: str) -> None:
    checkpoint.save(tmp_path / "step-1", STATE)
    DAMAGE[damage](tmp_path / "step-1")
    with pytest.raises(CheckpointError, match=r"step-1: (damaged checkpoint|the checksum).*-> remove this folder"):
        checkpoint.load(tmp_path / "step-1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "step-1", STATE)
    (tmp_path / "step-1" / name).unlink()
    os.mkfifo(tmp_path / "step-1" / name)
    with pytest.raises(CheckpointError, match=r"step-1: damaged checkpoint.*not a regular file.*-> remove this folder"):
        checkpoint.load(tmp_path / "step-1")


@pytest.mark.parametrize("part,file", [("plain", "state.json"), ("tensors", "tensors.safetensors")])
def test_a_checkpoint_without_a_checksum_is_refused(part: str, file: str, tmp_path: Path) -> None:
    """Whatever is changed together with a checksum that is left out would be taken for what was written."""
    checkpoint.save(tmp_path / "step-1", STATE)
    changed(lambda tree: {key: value for key, value in tree.items() if key != part})(tmp_path / "step-1")
    with pytest.raises(CheckpointError, match=f"step-1: .*checksum of {file} is missing.*-> remove this folder"):
        checkpoint.load(tmp_path / "step-1")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_named(number: float, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "step-1", {"model": {"a.weight": torch.tensor([1.0, number])}})
    with pytest.raises(CheckpointError, match=r"step-1: .*model/a\.weight holds numbers that are not finite"):
        checkpoint.load(tmp_path / "step-1")


def test_full_disk_leaves_the_checkpoints_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "step-1", STATE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TwelveError, match="step-2 cannot be written: No space left"):
        checkpoint.save(tmp_path / "step-2", STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert checkpoint.load(tmp_path / "step-1")["text"] == "plain"
