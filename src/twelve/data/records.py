"""Official files, record by record: every error names the file, the record, what was expected and what to do.

Datasets come as one JSON object, as JSON lines (also packed with gzip), or as pickles (pickles.py). A :class:`Record`
is one object of such a file that knows where it stands. Files of gigabytes are streamed (streams.py).
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from twelve.errors import DataError

REMEDY = "compare this record with the official file, or download the file again"


class Record:
    """One object of a dataset's file.

    Attributes:
        fields: its keys and values as they were read.
        file: the file it stands in.
        place: where in the file, for people: ``line 12``, ``annotations[3]``.
    """

    __slots__ = ("fields", "file", "place")

    def __init__(self, fields: object, file: Path, place: str | None) -> None:
        self.file, self.place = file, place
        if not isinstance(fields, Mapping):
            raise self.error(f"expected an object with fields, found {describe(fields)}")
        self.fields: Mapping[str, Any] = fields

    def error(self, problem: str, remedy: str = REMEDY) -> DataError:
        """An error about this record, to be raised."""
        return DataError(problem, file=self.file, record=self.place, remedy=remedy)

    def _value(self, key: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        if key not in self.fields:
            raise self.error(f"field {key!r} is missing (expected {expected})")
        value = self.fields[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.error(f"field {key!r} must be {expected}, found {describe(value)}")
        return value

    def one_of(self, *keys: str) -> str:
        """The first of the keys that is there: releases of a file may spell a field differently."""
        for key in keys:
            if key in self.fields:
                return key
        raise self.error(f"field {' or '.join(map(repr, keys))} is missing")

    def text(self, key: str) -> str:
        """A string."""
        return str(self._value(key, str, "a string"))

    def integer(self, key: str) -> int:
        """A whole number."""
        return int(self._value(key, int, "a whole number"))

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._value(key, (int, float), "a finite number")
        if isinstance(value, bool) or not math.isfinite(value):
            raise self.error(f"field {key!r} must be a finite number, found {describe(value)}")
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.fields.get(key)
        if not isinstance(value, bool):
            raise self.error(f"field {key!r} must be true or false, found {describe(value)}")
        return value

    def record(self, key: str) -> Record:
        """An object."""
        value = self._value(key, Mapping, "an object with fields")
        return Record(value, self.file, f"{self.place}.{key}" if self.place else key)

    def items(self, key: str) -> list[Any]:
        """A list."""
        value: list[Any] = self._value(key, list, "a list")
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        return [str(self._item(key, item, str, "strings")) for item in self.items(key)]

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers."""
        return [int(self._item(key, item, int, "whole numbers")) for item in self.items(key)]

    def _item(self, key: str, item: Any, kind: type, expected: str) -> Any:
        if not isinstance(item, kind) or isinstance(item, bool):
            raise self.error(f"field {key!r} must be {expected}, found {describe(item)} among them")
        return item

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """A list of ``count`` finite numbers."""
        values = self.items(key)
        expected = f"{count} finite numbers"
        if len(values) != count:
            raise self.error(f"field {key!r} must be {expected}, found {len(values)} values")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self.error(f"field {key!r} must be {expected}, found {describe(value)} among them")
        return tuple(float(value) for value in values)

    def records(self, key: str) -> Iterator[Record]:
        """The objects of a list."""
        above = f"{self.place}." if self.place else ""
        for index, item in enumerate(self.items(key)):
            yield Record(item, self.file, f"{above}{key}[{index}]")


def describe(value: object) -> str:
    """A value's type and its beginning, for an error."""
    text = repr(value)
    return f"{type(value).__name__} {text[:40]}{'...' if len(text) > 40 else ''}"


def read_object(path: Path) -> Record:
    """A file that is one JSON object.

    Raises:
        DataError: unreadable, not JSON (names line and column), or not an object.
    """
    return Record(read_json(path), path, None)


def read_json(path: Path) -> Any:
    """Any JSON file; raises DataError as :func:`read_object` does."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"not valid JSON: {error.msg}", file=path, record=place, remedy=REMEDY) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(path, error) from None


def read_lines(path: Path) -> Iterator[Record]:
    """A file with one JSON object a line, read as it is asked for; empty lines are passed over. ``.gz`` is unpacked.

    Raises:
        DataError: unreadable, or a line that is not a JSON object (names its number).
    """
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                place = f"line {number}"
                try:
                    fields = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"expected one JSON object a line: {error.msg}", file=path, record=place, remedy=REMEDY
                    ) from None
                yield Record(fields, path, place)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(path, error) from None


def open_text(path: Path) -> IO[str]:
    """A text file, unpacked as it is read when its name ends in ``.gz``."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def unreadable(path: Path, error: Exception) -> DataError:
    """An error about a file that cannot be read at all."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"cannot be read: {reason}", file=path, remedy="download the file again")
