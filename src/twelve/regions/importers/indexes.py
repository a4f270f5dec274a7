"""Index files of HDF5 files: which row is which image.

``{id: row}``, ``[id of row 0, id of row 1, ...]``, or ``{id: {"idx": row, ...}}`` with sizes and counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twelve.errors import DataError, RegionError
from twelve.formats.pickles import read_pickle
from twelve.io import json_file
from twelve.regions.importers.base import COUNTS, HEIGHTS, WIDTHS, BadRecord, optional

_ROWS = ("idx", "index", "row")
_SHAPE = 'it should be {id: row} or {id: {"idx": row}}'


@dataclass(frozen=True, slots=True)
class Entry:
    """An image in an HDF5 file.

    Attributes:
        key: its id.
        row: in the file.
        file: number of the file, if there are several.
        width, height: pixels, if known.
        count: number of regions, if known; further rows are padding.
    """

    key: str
    row: int
    file: int | None = None
    width: int | None = None
    height: int | None = None
    count: int | None = None

    def at(self, row: int) -> Entry:
        """The same image in another row."""
        return replace(self, row=row)


def read_index(path: Path) -> dict[str, Entry]:
    """Read entries by id, from JSON or a (restricted) pickle.

    Raises:
        RegionError: the file is unreadable or not an index.
    """
    try:
        if path.suffix == ".json":
            found = json_file.read(path, RegionError, remedy=_SHAPE, most=json_file.LARGE)
        else:
            found = read_pickle(path, arrays=True)
        if isinstance(found, list):  # the ids, row by row
            found = {key: row for row, key in enumerate(found)}
        return {str(key): _entry(str(key), value) for key, value in dict(found).items()}
    except DataError as error:
        raise RegionError(f"not an index of images ({error.problem})", file=path, remedy=_SHAPE) from None
    except (ValueError, TypeError, BadRecord) as error:
        raise RegionError(f"not an index of images ({error})", file=path, remedy=_SHAPE) from error


def _entry(key: str, value: Any) -> Entry:
    if isinstance(value, int) and not isinstance(value, bool):
        return Entry(key, value)
    if not isinstance(value, Mapping):
        raise BadRecord(f"{key}: a {type(value).__name__}")
    row, file = optional(value, _ROWS), value.get("file")
    numbers = (optional(value, names) for names in (WIDTHS, HEIGHTS, COUNTS))
    width, height, count = (None if number is None else int(number) for number in numbers)
    return Entry(key, 0 if row is None else int(row), None if file is None else int(file), width, height, count)
