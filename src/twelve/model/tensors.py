"""Safe reading of weights in a model's folder.

Names, sizes and types are checked from the safetensors headers before anything is built or mapped. Only
``model.safetensors``, or the shards that ``model.safetensors.index.json`` lists, are read, and only in that folder.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError
from twelve.io import json_file
from twelve.io.hub import inside
from twelve.run_folder import INDEX, WEIGHTS

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_BYTES: Mapping[str, int] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Allowed types of weights -> bytes per number."""
_HEADER = 1 << 25
"""Maximum header size in bytes, three times that of a model with 100,000 tensors."""
_AXES = 8
_REMEDY = "use the file saved with the model"
_COPY = "copy it again"


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor according to its file's header."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


def weights_of(folder: Path) -> dict[str, Weight]:
    """List the weights in a folder written by ``save_pretrained``, by name.

    Raises:
        CheckpointError: there are none, or a file is damaged, not a regular file, or contradicts the index.
    """
    if os.path.lexists(folder / WEIGHTS):
        return _header(inside(folder, WEIGHTS))
    if not os.path.lexists(folder / INDEX):
        raise CheckpointError(
            f"no file named {WEIGHTS} here", file=folder, remedy="copy the whole folder that was saved"
        )
    index = inside(folder, INDEX)
    placed = json_file.read_object(index, remedy=_REMEDY).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        problem = "expected weight names mapped to files"
        raise CheckpointError(problem, file=index, record="weight_map", remedy=_REMEDY)
    shards: dict[str, set[str]] = {}
    for name, shard in placed.items():
        if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
            raise CheckpointError(
                f"expected a file named model-NUMBER-of-NUMBER.safetensors, found {str(shard)[:80]!r}",
                file=index,
                record=f"weight_map.{name[:80]}",
                remedy=_REMEDY,
            )
        shards.setdefault(shard, set()).add(name)
    found: dict[str, Weight] = {}
    for shard, names in sorted(shards.items()):
        there = _header(inside(folder, shard))
        for what, others in (("lacks", names - there.keys()), ("has beyond its index", there.keys() - names)):
            if others:
                some = ", ".join(sorted(others)[:3])
                raise CheckpointError(f"{what} {len(others)} weights: {some}", file=folder / shard, remedy=_REMEDY)
        found |= there
    return found


def read_weights(weights: Mapping[str, Weight]) -> dict[str, Any]:
    """Read the tensors listed by :func:`weights_of`.

    Raises:
        CheckpointError: a file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state: dict[str, Any] = {}
    for file in dict.fromkeys(weight.file for weight in weights.values()):
        try:
            state |= load_file(file)
        except (OSError, SafetensorError) as problem:
            raise CheckpointError(f"cannot be read: {problem}", file=file, remedy=_REMEDY) from None
    return state


def _header(file: Path) -> dict[str, Weight]:
    """Read a safetensors header and check its consistency and the file's size."""
    tree, start, size = _tree(file)
    notes = tree.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise _wrong(file, "expected texts", "__metadata__")
    found: dict[str, Weight] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in tree.items():
        found[name], (begin, end) = _weight(file, name, entry)
        spans.append((begin, end, name))
    place = 0
    for begin, end, name in sorted(spans):
        if begin != place:
            raise _wrong(file, f"expected it to start at byte {place:,}, found {begin:,}", name)
        place = end
    if place > size - start:
        raise _incomplete(file, start + place, size)
    if place != size - start:
        raise _wrong(file, f"expected {place:,} bytes of data, found {size - start:,}")
    return found


def _tree(file: Path) -> tuple[dict[str, Any], int, int]:
    """The JSON object of a header, the byte where the weights start, and the size of the file in bytes."""
    try:
        with json_file.opened(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            most = min(_HEADER, size - 8)
            if most < 2:
                raise _wrong(file, f"expected a header, found {size} bytes")
            if most < length <= _HEADER:
                raise _incomplete(file, 8 + length, size)
            if not 2 <= length <= most:
                raise _wrong(file, f"expected a header of at most {most:,} bytes, found {length:,}")
            tree = json_file.decode(stream.read(length).decode())
    except OSError as problem:
        raise CheckpointError(f"cannot be read: {problem.strerror}", file=file, remedy=_REMEDY) from None
    except UnicodeDecodeError:
        raise _wrong(file, "its header is not text") from None
    except json_file.Flaw as flaw:
        raise _wrong(file, flaw.problem, flaw.place) from None
    if not isinstance(tree, dict):
        raise _wrong(file, "its header is not a JSON object")
    return tree, 8 + length, size


def _weight(file: Path, name: str, entry: object) -> tuple[Weight, list[int]]:
    """A weight in a header, and where its bytes begin and end, counted from the start of the weights."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _wrong(file, "expected dtype, shape and data_offsets", name)
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise _wrong(file, f"expected dtype {', '.join(_BYTES)}, found {str(dtype)[:80]!r}", name)
    for numbers, most in ((shape, _AXES), (span, 2)):
        if not isinstance(numbers, list) or len(numbers) > most or any(type(n) is not int or n < 0 for n in numbers):
            raise _wrong(file, "shape and data_offsets must be integers", name)
    if len(span) != 2 or span[1] - span[0] != math.prod(shape) * _BYTES[dtype]:
        raise _wrong(file, f"{dtype} values of shape {shape} do not fill bytes {span}", name)
    return Weight(tuple(shape), dtype, file), span


def _incomplete(file: Path, least: int, size: int) -> CheckpointError:
    return _wrong(file, f"expected at least {least:,} bytes, found {size:,}: the file is incomplete", remedy=_COPY)


def _wrong(file: Path, problem: str, record: str | None = None, remedy: str = _REMEDY) -> CheckpointError:
    return CheckpointError(f"not a valid safetensors file: {problem}", file=file, record=record, remedy=remedy)
