"""Checkpoints of a run: everything an exact resume needs, in safetensors and JSON, never a pickle.

A state is a tree of dictionaries, lists, tensors and plain values. Tensors are written to ``tensors.safetensors`` under
their path in the tree, everything else to ``state.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from twelve.errors import CheckpointError, located_problem
from twelve.io import json_file
from twelve.io.files import remove, replacing
from twelve.run_folder import RunFolder

TENSOR = "tensor:"
"""A string in state.json with this prefix stands for the tensor whose name follows it."""


class Stateful(Protocol):
    """What a checkpoint keeps."""

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


def record_in(folder: Path) -> Mapping[str, Any]:
    """The record (sameness.py) in a checkpoint, whose tensors are not read; empty if it is damaged or has none."""
    found: Any = json_file.read_or_none(folder / "state.json")
    for key in ("state", "record"):
        found = found.get(key) if isinstance(found, dict) else None
    return _restore(found, {}) if isinstance(found, dict) else {}


def prune(run: RunFolder, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, and what interrupted saves and removals left.

    Raises:
        TwelveError: the system refuses to.
    """
    for path in [*run.checkpoints.glob(".*.partial"), *run.saved()[:-keep]]:
        remove(path)


def newest(run: RunFolder) -> tuple[Path, dict[str, Any], list[str]] | None:
    """The newest intact checkpoint of a run: its folder, its state, and a note on each newer one that is damaged.

    Returns:
        None where the run has no checkpoint.

    Raises:
        CheckpointError: it has some, and all are damaged.
    """
    skipped: list[str] = []
    for folder in reversed(run.saved()):
        try:
            return folder, load(folder), skipped
        except CheckpointError as error:
            skipped.append(f"skipped: {located_problem(str(folder), error.problem)}")
    if skipped:
        raise CheckpointError(
            f"none of the {len(skipped)} checkpoints is intact ({skipped[0]})",
            file=run.checkpoints,
            remedy="copy them again, or train anew: --set run=ANOTHER, without --resume or --continue",
        )
    return None


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
