"""Reading files of weights, of which nothing but tensors is trusted."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from twelve.errors import CheckpointError
from twelve.io.files import reading_remedy

_TORCH = (b"PK\x03\x04", b"\x80")
"""How torch's files begin: archives, and pickles before 1.6."""


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors file or a torch file of nothing but tensors and plain containers.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything else, numbers that are not finite among it.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", file=path, remedy="name a file of weights")
    tree: Any
    try:
        if path.suffix == ".safetensors":
            tree = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickles that are none of torch's; they are refused
                tree = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # safetensors, pickle and zipfile have an error each for a damaged file
        raise _unreadable(path, problem) from None
    if not isinstance(tree, Mapping) or not all(isinstance(value, Tensor) for value in tree.values()):
        raise CheckpointError("holds more than tensors by name", file=path, remedy="save model.state_dict() alone")
    state = {str(name): value for name, value in tree.items()}
    check_finite(state, path)
    return state


def _unreadable(path: Path, problem: Exception) -> CheckpointError:
    """What is wrong with a file of weights, to be raised; the libraries say it in numbers, or advise to trust it."""
    if isinstance(problem, OSError):
        return CheckpointError(
            f"cannot be read: {problem.strerror}", file=path, remedy=reading_remedy(problem, path, "copy it again")
        )
    asked = re.search(r"GLOBAL ([\w.]+)", str(problem))
    if asked is not None:
        return CheckpointError(
            f"holds more than tensors: it asks for {asked[1]}, so it may hold a program; nothing of it was run",
            file=path,
            remedy="use the official file, or save model.state_dict() alone",
        )
    with path.open("rb") as stream:
        known = path.suffix == ".safetensors" or stream.read(4).startswith(_TORCH)
    if not known:
        return CheckpointError("is no file of weights", file=path, remedy="name a .safetensors file, or one of torch")
    return CheckpointError("is no file of weights, or is damaged or cut short", file=path, remedy="fetch it again")


def check_finite(state: Mapping[str, Tensor], file: str | Path) -> None:
    """Refuse weights that make every answer NaN.

    Raises:
        CheckpointError: names the first such tensor.
    """
    for name, value in state.items():
        if not value.is_floating_point() or value.is_meta or bool(torch.isfinite(value.sum())):
            continue  # the sum is many times as fast as looking at each
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                "holds numbers that are not finite",
                file=file,
                record=name,
                remedy="use a copy of before, or train again",
            )


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of a data-parallel wrapper and with today's names of LayerNorm's parameters."""
    wrapped = bool(state) and all(name.startswith("module.") for name in state)
    state = {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}
    today = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for old, new in today.items():
        state = {re.sub(rf"{re.escape(old)}$", new, name): value for name, value in state.items()}
    return state
