"""Tab-separated files of bottom-up attention, and of LXMERT, with the detector's classes.

One image per line, with arrays in base64::

    image_id image_w image_h num_boxes boxes features
    img_id img_h img_w objects_id objects_conf attrs_id attrs_conf num_boxes boxes features

A first line with these names is optional. The number of columns tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.io.files import reading_remedy
from twelve.regions.importers.base import HEIGHTS, KEYS, WIDTHS, BadRecord, ImageRecord, RawRegions, decoded, first_of

COLUMNS: Mapping[int, Sequence[str]] = {
    6: ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features"),
    10: (
        *("img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf"),
        *("num_boxes", "boxes", "features"),
    ),
}
_LONGEST = 2**28
"""Longest line, in bytes; 100 regions of 2,048 numbers take 1.1 million."""
_STEP = 1000


class TsvFiles:
    """One or several such files.

    Raises:
        RegionError: a file cannot be read.
    """

    format = "tsv"
    unit = "kB"

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        try:
            self.total = sum(path.stat().st_size // _STEP for path in paths)
        except OSError as error:
            raise _unreadable(paths[0], error) from error

    def records(self) -> Iterator[ImageRecord | tuple[str, str]]:
        for path in self.paths:
            try:
                with path.open("rb") as stream:
                    yield from self._lines(path, stream)
            except OSError as error:
                raise _unreadable(path, error) from error

    def close(self) -> None:
        """Nothing stays open."""

    def _lines(self, path: Path, stream: BinaryIO) -> Iterator[ImageRecord | tuple[str, str]]:
        number, columns = 0, None
        while line := stream.readline(_LONGEST):
            number += 1
            label = f"{path.name} line {number}"
            if len(line) == _LONGEST:
                raise RegionError("a line without an end", file=path, record=number, remedy="give a TSV file")
            cells = line.rstrip(b"\r\n").split(b"\t")
            if number == 1 and cells[0].decode("latin1") in KEYS:
                columns = [cell.decode("latin1") for cell in cells]
                continue
            names = columns or COLUMNS.get(len(cells))
            if names is None or len(names) != len(cells):
                yield (
                    label,
                    f"{len(cells)} columns, not {' or '.join(map(str, COLUMNS)) if not columns else len(columns)}",
                )
                continue
            fields = dict(zip(names, cells, strict=True))
            key = first_of(fields, KEYS).decode("utf-8", errors="backslashreplace")
            yield ImageRecord(f"{label}, {key}", key, partial(_load, fields), max(1, len(line) // _STEP))


def _load(fields: Mapping[str, bytes]) -> RawRegions:
    count = _integer(first_of(fields, ("num_boxes",)), "num_boxes")

    def column(name: str, kind: str, rows_of: int | None = 1) -> NDArray[Any]:
        values = decoded(fields[name], np.dtype(kind))
        each = rows_of if rows_of is not None else (len(values) // count if count else 0)
        if len(values) != count * each:
            raise BadRecord(f"{name}: {len(values)} numbers for {count} boxes")
        return values.reshape(count, each) if rows_of != 1 else values

    for name in ("boxes", "features"):
        if name not in fields:
            raise BadRecord(f"no {name} in it")
    return RawRegions(
        width=_integer(first_of(fields, WIDTHS), "the width"),
        height=_integer(first_of(fields, HEIGHTS), "the height"),
        boxes=column("boxes", "<f4", 4),
        features=column("features", "<f4", None),
        scores=column("objects_conf", "<f4") if "objects_conf" in fields else None,
        class_ids=column("objects_id", "<i8") if "objects_id" in fields else None,
    )


def _integer(cell: bytes, name: str) -> int:
    try:
        value = int(cell)
    except ValueError:
        raise BadRecord(f"{name} is {cell[:20].decode('latin1')!r}") from None
    if value < 0:
        raise BadRecord(f"{name} is negative")
    return value


def _unreadable(path: Path, error: OSError) -> RegionError:
    return RegionError(
        f"cannot be read: {error.strerror}", file=path, remedy=reading_remedy(error, path, "check the path")
    )
