"""Reads official files record by record; every error names the file, the record, what was expected, and what to do.

Datasets are JSON objects, JSON lines (also packed with gzip) or pickles (pickles.py). A :class:`Record` is one object
of such a file, and knows its place in it. Files of gigabytes are streamed (json_streams.py). docs/data.md summarises
what is accepted in a file, and what is refused.
"""

from __future__ import annotations

import gzip
import math
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader, TextIOWrapper
from itertools import count as counting
from pathlib import Path
from typing import IO, Any

from twelve.errors import Again, DataError
from twelve.io import json_file
from twelve.io.files import reading_remedy
from twelve.io.invalid import beginning
from twelve.io.json_file import DECODER, limit

AGAIN = Again("download the file again")
REMEDY = Again("compare this record with the official file, or download the file again")
LONGEST = 1 << 26
"""Most bytes or characters of one record; those of datasets are thousands of times smaller."""
FURTHEST = 1e6
"""Largest coordinate, in pixels."""
_UNPACKED, _TIMES = 1 << 22, 100
"""A packed file unpacks to at most so many bytes, or so many times its size: text packs about ten times smaller."""
EMPTY = 100_000
"""Most consecutive empty lines that are skipped."""
_ARCHIVED = 1 << 26
"""Most bytes that an archive of numbers may unpack to."""
_WHOLE = 1 << 63
"""Ids are smaller whole numbers than this."""


class Record:
    """One object of a dataset's file.

    Attributes:
        fields: its keys and values as they were read.
        file: the file that it is in.
        place: its place in the file, for messages: ``line 12``, ``annotations[3]``.
    """

    __slots__ = ("fields", "file", "place")

    def __init__(self, fields: object, file: Path, place: str | None) -> None:
        self.file, self.place = file, place
        if type(fields) is not dict and not isinstance(fields, Mapping):  # the first is quick, and nearly always true
            raise self.error(f"expected an object with fields, found {describe(fields)}")
        self.fields: Mapping[str, Any] = fields

    def error(self, problem: str, remedy: str = REMEDY) -> DataError:
        """An error about this record, to raise."""
        return DataError(problem, file=self.file, record=self.place, remedy=remedy)

    def _wrong(self, key: str, problem: str) -> DataError:
        """An error about a field, to raise; where the record is the whole file, its place is the field."""
        return DataError(f"field {key!r}{problem}", file=self.file, record=self.place or key, remedy=REMEDY)

    def _missing(self, key: str, expected: str) -> DataError:
        """An error about a field that is not there, to raise. A whole file without it is probably another file."""
        problem = f" is missing (expected {expected})"
        if self.place is not None:
            return self._wrong(key, problem)
        found = ", ".join(map(repr, list(self.fields)[:8])) or "no field"
        remedy = f"this may be a file of another dataset: name the one that has {key!r}"
        return DataError(f"field {key!r}{problem}, found {found}", file=self.file, record=key, remedy=remedy)

    def _value(self, key: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        if key not in self.fields:
            raise self._missing(key, expected)
        value = self.fields[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self._wrong(key, f" must be {expected}, found {describe(value)}")
        return value

    def one_of(self, *keys: str) -> str:
        """The first of these keys that the record has: releases of a file may spell a field differently."""
        for key in keys:
            if key in self.fields:
                return key
        raise self.error(f"field {' or '.join(map(repr, keys))} is missing")

    def text(self, key: str) -> str:
        """A string that can be written as UTF-8 and holds no NUL."""
        value = self.fields.get(key)
        if type(value) is str and _plain(value):
            return value
        return self._writable(key, self._value(key, str, "a string"))

    def identifier(self, key: str) -> str:
        """A string that is not empty."""
        value = self.text(key)
        if not value.strip():
            raise self._wrong(key, " must not be empty")
        return value

    def _writable(self, key: str, value: str) -> str:
        if not writable(value):
            raise self._wrong(key, f" must be text, found {describe(value)} with half a character or NUL")
        return value

    def integer(self, key: str) -> int:
        """A whole number."""
        return self._whole(key, self._value(key, int, "a whole number"))

    def _whole(self, key: str, value: int) -> int:
        if not -_WHOLE <= value < _WHOLE:
            raise self._wrong(key, f" must be a whole number of 64 bits, found {describe(value)}")
        return int(value)

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._value(key, (int, float), "a finite number")
        if not finite(value):
            raise self._wrong(key, f" must be a finite number, found {describe(value)}")
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.fields.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, f" must be true or false, found {describe(value)}")
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
        items = self.items(key)
        try:
            if _plain("".join(items)):  # all of them at once: files have millions of these lists
                return items[:]
        except TypeError:
            pass
        return [self._writable(key, self._item(key, item, str, "strings")) for item in items]

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers."""
        return [self._whole(key, self._item(key, item, int, "whole numbers")) for item in self.items(key)]

    def _item(self, key: str, item: Any, kind: type, expected: str) -> Any:
        if not isinstance(item, kind) or isinstance(item, bool):
            raise self._wrong(key, f" must be {expected}, found {describe(item)} among them")
        return item

    def numbers(self, key: str, count: int, most: float = FURTHEST) -> tuple[float, ...]:
        """A list of ``count`` finite numbers, none further than ``most`` from zero."""
        values = self.items(key)
        expected = f"{count} finite numbers"
        if len(values) != count:
            raise self._wrong(key, f" must be {expected}, found {len(values)} values")
        for value in values:
            if not finite(value):
                raise self._wrong(key, f" must be {expected}, found {describe(value)} among them")
            if abs(value) > most:
                raise self._wrong(key, f" goes beyond {most:,.0f}: {describe(value)}")
        return tuple(float(value) for value in values)

    def records(self, key: str) -> Iterator[Record]:
        """The objects of a list."""
        above = f"{self.place}." if self.place else ""
        for index, item in enumerate(self.items(key)):
            yield Record(item, self.file, f"{above}{key}[{index}]")


def finite(value: object) -> bool:
    """Whether a value is a number, other than a boolean, that is finite as a float."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 300 digits
        return False


def _plain(text: str) -> bool:
    """Whether it is plain that a string is :func:`writable`."""
    return text.isascii() and "\0" not in text


def writable(text: str) -> bool:
    """Whether a string can be written as UTF-8 and holds no NUL, which ends strings elsewhere."""
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def steering(text: str) -> str | None:
    """The first control character in a text that is no tab and ends no line, such as ``U+0000``; None without one."""
    found = _STEERING.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def describe(value: object) -> str:
    """The type and the beginning of a value, for an error."""
    return f"{type(value).__name__} {beginning(value)}"


def read_object(path: Path) -> Record:
    """A file that is one JSON object.

    Raises:
        DataError: unreadable, not JSON (names line and column), or not an object.
    """
    return Record(read_json(path), path, None)


def read_json(path: Path) -> Any:
    """Any JSON file; raises DataError as :func:`read_object` does."""
    try:
        check_regular(path)
    except OSError as error:
        raise unreadable(path, error) from None
    return json_file.read(path, DataError, remedy=REMEDY, most=json_file.LARGE, strict=False)


def read_lines(path: str | Path) -> Iterator[Record]:
    """The records of a file with one JSON object a line, read lazily; empty lines are skipped, ``.gz`` is unpacked.

    Raises:
        DataError: unreadable, or a line that is not a JSON object (names its number).
    """
    for record in read_each_line(Path(path)):
        if isinstance(record, DataError):
            raise record
        yield record


def read_each_line(path: Path) -> Iterator[Record | DataError]:
    """As :func:`read_lines`, with the error instead of a line that is not a JSON object; the lines after it follow.

    Raises:
        DataError: unreadable, or not text, from a line on (names its number).
    """
    empty = 0
    for number, line in text_lines(path):
        place, empty = f"line {number}", empty + 1
        if line.strip():
            empty = 0
            try:
                record: Record | DataError = Record(parse(line, path, place), path, place)
            except DataError as error:
                record = (_one_document(path) if number == 1 else None) or error
            yield record
        elif empty > EMPTY:
            raise DataError(f"more than {EMPTY:,} empty lines in a row", file=path, record=place, remedy=REMEDY)


def parse(text: str, path: Path, place: str) -> Any:
    """The JSON value of a line; raises DataError where it is not valid."""
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        problem = f"expected one JSON object a line: {limit(error)}"
        raise DataError(problem, file=path, record=place, remedy=REMEDY) from None


def _one_document(path: Path) -> DataError | None:
    """What is wrong with a file whose first line is no JSON object, if the whole file is one JSON value."""
    try:
        if path.stat().st_size > LONGEST:
            return None
        with open_text(path) as stream:
            text = stream.read(LONGEST).strip()
        value = DECODER.decode(text) if "\n" in text else None
    except (OSError, ValueError, RecursionError, EOFError, zlib.error):
        return None
    if value is None:
        return None
    what = "an object with the fields" if isinstance(value, dict) else "a list"
    fields = ", ".join(map(repr, list(value)[:5])) if isinstance(value, dict) else ""
    problem = f"expected one JSON object a line, found {what} {fields}".rstrip() + " that goes over several lines"
    remedy = Again("this may be a file of another dataset: name one with an object in each line")
    return DataError(problem, file=path, remedy=remedy)


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of a text file; ``.gz`` is unpacked.

    Raises:
        DataError: unreadable, or a line that is not UTF-8 or longer than any record (names its number).
    """
    try:
        with _open(path) as stream:
            for number in counting(1):
                line = stream.readline(LONGEST + 1)
                if not line:
                    return
                problem = f"a line of more than {LONGEST:,} bytes" if len(line) > LONGEST else None
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    text, problem = "", problem or f"not UTF-8: {error.reason} at byte {error.start} of the line"
                if problem:
                    raise DataError(problem, file=path, record=f"line {number}", remedy=REMEDY)
                yield number, text
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from None


def open_text(path: Path) -> IO[str]:
    """A text file, open for reading; ``.gz`` is unpacked."""
    return TextIOWrapper(_open(path), encoding="utf-8-sig")


def check_regular(path: Path) -> None:
    """Raise DataError for a folder, and for pipes and devices, which may have no end.

    Raises:
        OSError: it does not exist.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise DataError(f"is {what}, not a file", file=path, remedy=Again("move it away and download the file again"))


def _open(path: Path) -> BufferedReader | _Unpacked:
    check_regular(path)
    return _Unpacked(path) if path.suffix == ".gz" else path.open("rb")


class _Unpacked(gzip.GzipFile):
    """A gzip file that refuses to unpack to more than text could."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._path, self._most = path, max(_UNPACKED, _TIMES * path.stat().st_size)

    def _checked(self, data: bytes) -> bytes:
        if self.tell() > self._most:
            problem = f"unpacks to over {self._most:,} bytes, more than text of its size could hold"
            raise DataError(problem, file=self._path, remedy=AGAIN)
        return data

    def readline(self, size: int | None = -1) -> bytes:
        return self._checked(super().readline(size))

    def read1(self, size: int = -1) -> bytes:
        return self._checked(super().read1(size))


def unpacks_within(path: Path) -> None:
    """Raise DataError for a zip archive that unpacks to more than numbers or text could."""
    if not zipfile.is_zipfile(path):
        return
    most = max(_ARCHIVED, _TIMES * path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > most:
            raise DataError(f"unpacks to over {most:,} bytes", file=path, remedy=AGAIN)


def unreadable(path: Path, error: Exception) -> DataError:
    """An error about a file that cannot be read, to raise."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = reading_remedy(error, path, AGAIN)
    return DataError(f"cannot be read: {reason}", file=path, remedy=remedy)
