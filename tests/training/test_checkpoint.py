"""Checkpoints keep trees of state exactly, and damage is recognised."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from twelve.errors import CheckpointError
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
    for step in (3, 20, 100):
        checkpoint.save(tmp_path / f"step-{step:07}", {"step": step})
    checkpoint.prune(tmp_path, 2)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-0000020", "step-0000100"]


def test_only_tensors_and_plain_values(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a/b"):
        checkpoint.save(tmp_path / "step-1", {"a": {"b": object()}})
