"""Safe reading of weights files: tensors only."""

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
"""First bytes of torch files: archives, and pickles before torch 1.6."""


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Load tensors by name from a .safetensors file, or a torch file with only tensors and plain containers.

    Raises:
        CheckpointError: the file is missing or damaged, or contains anything else or non-finite numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", file=path, remedy="name a weights file")
    tree: Any
    try:
        if path.suffix == ".safetensors":
            tree = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about foreign pickles, which are rejected
                tree = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # safetensors, pickle and zipfile each have their own errors
        raise _unreadable(path, problem) from None
    if not isinstance(tree, Mapping) or not all(isinstance(value, Tensor) for value in tree.values()):
        raise CheckpointError(
            "expected only tensors by name, found other objects", file=path, remedy="save only model.state_dict()"
        )
    state = {str(name): value for name, value in tree.items()}
    check_finite(state, path)
    return state


def _unreadable(path: Path, problem: Exception) -> CheckpointError:
    """A readable error for a weights file; the libraries' own are cryptic or advise trusting the file."""
    if isinstance(problem, OSError):
        return CheckpointError(
            f"cannot be read: {problem.strerror}", file=path, remedy=reading_remedy(problem, path, "copy it again")
        )
    asked = re.search(r"GLOBAL ([\w.]+)", str(problem))
    if asked is not None:
        return CheckpointError(
            f"expected only tensors, found a reference to {asked[1]}, which could run code; nothing was run",
            file=path,
            remedy="use the official file, or save only model.state_dict()",
        )
    with path.open("rb") as stream:
        known = path.suffix == ".safetensors" or stream.read(4).startswith(_TORCH)
    if not known:
        return CheckpointError("not a weights file", file=path, remedy="name a .safetensors or torch file")
    return CheckpointError("not a weights file, or damaged or truncated", file=path, remedy="fetch it again")


def check_finite(state: Mapping[str, Tensor], file: str | Path) -> None:
    """Reject weights that are NaN or infinite.

    Raises:
        CheckpointError: names the first such tensor.
    """
    for name, value in state.items():
        if not value.is_floating_point() or value.is_meta or bool(torch.isfinite(value.sum())):
            continue  # the sum is much faster than checking each number
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                "contains numbers that are not finite",
                file=file,
                record=name,
                remedy="use an earlier copy, or train again",
            )


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip the prefix of data-parallel wrappers and modernize LayerNorm's parameter names."""
    wrapped = bool(state) and all(name.startswith("module.") for name in state)
    state = {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}
    today = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for old, new in today.items():
        state = {re.sub(rf"{re.escape(old)}$", new, name): value for name, value in state.items()}
    return state
