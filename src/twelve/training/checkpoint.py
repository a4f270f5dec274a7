"""Checkpoints of a run: everything an exact resume needs, in safetensors and JSON, never a pickle.

Anything with ``state_dict()`` and ``load_state_dict()`` takes part. A state is a tree of dictionaries, lists, tensors
and plain values; tensors go to ``tensors.safetensors`` under their path in the tree, the rest to ``state.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from twelve.errors import CheckpointError
from twelve.io import json_file
from twelve.io.files import remove, replacing

TENSOR = "tensor:"
"""A string in state.json that starts so stands for a tensor; the rest of it is the tensor's name."""


class Stateful(Protocol):
    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a tree of state to ``folder``, which appears complete or not at all."""
    tensors: dict[str, Tensor] = {}
    plain = _flatten(state, "", tensors)
    with replacing(folder) as partial:
        partial.mkdir()
        save_file(tensors, partial / "tensors.safetensors")
        digest = _digest(partial / "tensors.safetensors")
        document = {"tensors": digest, "plain": text_digest(plain), "state": plain}
        (partial / "state.json").write_text(_text(document), encoding="utf-8")


def load(folder: Path) -> dict[str, Any]:
    """Read what :func:`save` wrote.

    Raises:
        CheckpointError: a file is missing, cut short, without its checksum or changed since it was written; a tensor
            holds numbers that are not finite, of which none is ever trained.
    """
    remedy = "remove this folder and resume from the checkpoint before it"
    try:
        document = json_file.read(folder / "state.json", remedy=remedy, strict=False)
    except CheckpointError as error:
        raise CheckpointError(f"damaged checkpoint ({error.problem})", file=folder, remedy=remedy) from None
    try:
        found = {"tensors": _digest(folder / "tensors.safetensors"), "plain": text_digest(document["state"])}
        for part, file in (("tensors", "tensors.safetensors"), ("plain", "state.json")):
            if part not in document:
                problem = f"damaged checkpoint (the checksum of {file} is missing from state.json)"
                raise CheckpointError(problem, file=folder, remedy=remedy)
            if document[part] != found[part]:
                raise CheckpointError(f"the checksum of {file} does not match", file=folder, remedy=remedy)
        tensors = load_file(folder / "tensors.safetensors")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                problem = f"damaged checkpoint (the tensor {name} holds numbers that are not finite)"
                raise CheckpointError(problem, file=folder, remedy=remedy)
        return dict(_restore(document["state"], tensors))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"damaged checkpoint ({reason})", file=folder, remedy=remedy) from None


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, and what interrupted saves and removals left.

    Raises:
        TwelveError: the system refuses to.
    """
    for path in [*folder.glob(".*.partial"), *checkpoints(folder)[:-keep]]:
        remove(path)


def _flatten(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        name = path or "tensor"
        tensors[name] = node.detach().cpu().contiguous().clone()
        return TENSOR + name
    if isinstance(node, Mapping):
        # JSON keys are strings; integer keys (an optimizer's parameter indices) are marked to come back as integers.
        return {
            f"#{key}" if isinstance(key, int) else str(key): _flatten(
                value, f"{path}/{key}" if path else str(key), tensors
            )
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return [_flatten(value, f"{path}/{index}", tensors) for index, value in enumerate(node)]
    if node is None or isinstance(node, str | bool | int | float):
        return node
    raise TypeError(f"{path}: a checkpoint holds tensors and plain values, not {type(node).__name__}")


def _restore(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, str) and node.startswith(TENSOR):
        return tensors[node.removeprefix(TENSOR)]
    if isinstance(node, dict):
        return {int(key[1:]) if key.startswith("#") else key: _restore(value, tensors) for key, value in node.items()}
    if isinstance(node, list):
        return [_restore(value, tensors) for value in node]
    return node


def _text(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"))


def text_digest(tree: Any) -> str:
    """The checksum of a checkpoint's plain values."""
    return hashlib.sha256(_text(tree).encode()).hexdigest()


def _digest(path: Path) -> str:
    with json_file.opened(path) as stream:  # a pipe would wait for its writer
        return hashlib.file_digest(stream, "sha256").hexdigest()


def rng_state() -> dict[str, Any]:
    """State of torch's generators (dropout); everything else is drawn from seeds."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(list(state["cuda"]))
