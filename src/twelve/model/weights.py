"""Reading files of weights, of which nothing but tensors is trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from twelve.errors import CheckpointError


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors file or a torch file of nothing but tensors and plain containers.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", file=path, remedy="name a file of weights")
    tree: Any
    try:
        if path.suffix == ".safetensors":
            tree = load_file(path)
        else:
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # safetensors, pickle and zipfile have an error each for a damaged file
        first = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise CheckpointError(f"not a readable file of weights: {first}", file=path, remedy="fetch it again") from None
    if not isinstance(tree, Mapping) or not all(isinstance(value, Tensor) for value in tree.values()):
        raise CheckpointError("holds more than tensors by name", file=path, remedy="save model.state_dict() alone")
    return {str(name): value for name, value in tree.items()}


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of a data-parallel wrapper and with today's names of LayerNorm's parameters."""
    wrapped = bool(state) and all(name.startswith("module.") for name in state)
    state = {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}
    today = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for old, new in today.items():
        state = {re.sub(rf"{re.escape(old)}$", new, name): value for name, value in state.items()}
    return state
