"""A folder of examples: writing it, opening it, and the sequence that reads from its mapped files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twelve.data.examples.codec import Codec
from twelve.errors import DataError
from twelve.formats.records import read_object
from twelve.types.examples import Example

ROWS, VALUES, ENTRY = "rows.arrow", "values.arrow", "entry.json"
TEXTS = ("id", "text")
"""Fields of an example that are written as they are; the first ones."""
CODED = tuple(field.name for field in fields(Example) if field.name not in TEXTS)
"""Fields whose values are numbered."""
BATCH = 1 << 15
"""Rows of a record batch (the last one may have fewer)."""
KNOWN_VALUES = 1 << 18
"""Distinct values of a field that are held while writing; beyond them, values may be written again."""
KNOWN_OBJECTS = 1 << 17
"""Objects, which readers share between examples, that are held so that they need not be encoded again."""
DECODED = 1 << 9
"""Decoded values that are held while reading: those that many examples share. Every worker holds its own of each entry,
so that more of them would be a copy of the data in each (a VQA question's answers take a kilobyte and a half)."""
SETTLED = 5.0
"""Seconds after which a change of a file shows in its times: the clocks of file systems may be coarse, and differ."""
HELD = ("images", "group")
"""Columns whose distinct values are decoded once: preparing a run goes through them many times."""
_ROWS = pa.schema([(name, pa.string()) for name in TEXTS] + [(name, pa.int32()) for name in CODED])
_VALUES = pa.schema([("value", pa.string())])


class _Values:
    """Numbers values, and writes those that are new."""

    def __init__(self, writer: pa.ipc.RecordBatchFileWriter, codec: Codec) -> None:
        self._writer, self._codec = writer, codec
        self._texts: list[str] = []
        self.written = 0
        self._known: dict[str, dict[str, int]] = {name: {} for name in CODED}
        self._objects: dict[str, dict[int, tuple[int, Any]]] = {name: {} for name in CODED}

    def number(self, name: str, value: Any) -> int:
        """The row of a field's value."""
        objects = self._objects[name]
        if (found := objects.get(id(value))) is not None:
            return found[0]
        known, text = self._known[name], self._codec.encode(value)
        number = known.get(text)
        if number is None:
            if len(known) == KNOWN_VALUES:
                known.clear()
            number = known[text] = self.written + len(self._texts)
            self._texts.append(text)
            if len(self._texts) == BATCH:
                self.flush()
        if len(objects) == KNOWN_OBJECTS:
            objects.clear()
        objects[id(value)] = (number, value)  # held, so that no other object gets its id
        return number

    def flush(self) -> None:
        self._writer.write_batch(pa.record_batch([self._texts], schema=_VALUES))
        self.written += len(self._texts)
        self._texts.clear()


def write_examples(folder: Path, examples: Iterable[Example], codec: Codec) -> int:
    """Write examples into a new folder, and return their number.

    Raises:
        TypeError: a value is of a type that the codec does not know.
        UnicodeEncodeError: a text holds half a surrogate pair.
        OSError: the disk is full.
    """
    folder.mkdir()
    count = 0
    with ExitStack() as stack:
        rows, values = (
            stack.enter_context(pa.ipc.new_file(stack.enter_context(pa.OSFile(str(folder / name), "wb")), schema))
            for name, schema in ((ROWS, _ROWS), (VALUES, _VALUES))
        )
        numbers = _Values(values, codec)
        columns: list[list[Any]] = [[] for _ in _ROWS.names]
        ids, texts, *others = columns
        coded = [(column, name, attrgetter(name)) for column, name in zip(others, CODED, strict=True)]
        for example in examples:
            ids.append(example.id)
            texts.append(example.text)
            for column, name, value in coded:
                column.append(numbers.number(name, value(example)))
            count += 1
            if len(ids) == BATCH:
                _write_rows(rows, columns)
        _write_rows(rows, columns)
        numbers.flush()
    sums = {name: checksum(folder / name) for name in (ROWS, VALUES)}
    (folder / ENTRY).write_text(json.dumps({"examples": count, "sha256": sums}), encoding="utf-8")
    return count


def _write_rows(writer: pa.ipc.RecordBatchFileWriter, columns: list[list[Any]]) -> None:
    writer.write_batch(pa.record_batch([pa.array(c, t) for c, t in zip(columns, _ROWS.types, strict=True)], _ROWS))
    for column in columns:
        column.clear()


def checksum(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits. A file that several splits read is hashed once in a process, unless it
    has changed since or a moment before."""
    state = path.stat()
    if time.time() - max(state.st_ctime, state.st_mtime) < SETTLED:
        return _hashed(path)
    return _settled(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


def _hashed(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(1 << 12)
def _settled(path: Path, state: tuple[int, ...]) -> str:
    return _hashed(path)


def open_examples(folder: Path, codec: Codec) -> Examples:
    """The examples in a folder that :func:`write_examples` wrote.

    Raises:
        DataError: a file is missing, or is not as it was written.
    """
    entry = read_object(folder / ENTRY)
    sums = entry.record("sha256")
    for name in (ROWS, VALUES):
        try:
            found = checksum(folder / name)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", file=folder / name) from None
        if found != sums.text(name):
            raise DataError("not as it was written", file=folder / name)
    try:
        files = _Files(folder, codec)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read: {error}", file=folder) from None
    if files.count != entry.integer("examples"):
        raise DataError("not as it was written", file=folder)
    return Examples(files)


class Examples(Sequence[Example]):
    """The examples of a folder, or those at ``rows`` (N,); a slice is a view."""

    def __init__(self, files: _Files, rows: NDArray[np.integer] | None = None) -> None:
        self._files, self._rows = files, rows

    def __len__(self) -> int:
        return self._files.count if self._rows is None else len(self._rows)

    @property
    def entry(self) -> str:
        """Name of the folder; that of an entry of the cache stands for its content."""
        return self._files.folder.name

    @property
    def whole(self) -> Examples:
        """All examples of the folder."""
        return self if self._rows is None else Examples(self._files)

    @property
    def rows(self) -> NDArray[np.integer]:
        """(N,) places of these examples in the folder."""
        return np.arange(len(self), dtype=np.int32) if self._rows is None else self._rows

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Examples: ...
    def __getitem__(self, index: int | slice) -> Example | Examples:
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self))))
        row = int(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"example {row} of {len(self)}")
        row %= len(self)
        return self._files.example(row if self._rows is None else int(self._rows[row]))

    def __iter__(self) -> Iterator[Example]:
        files = self._files
        for batch, rows in _by_batch(self.rows):
            columns = [column[batch].take(pa.array(rows)).to_pylist() for column in files.texts.values()]
            columns += [map(files.value, column[batch][rows].tolist()) for column in files.codes.values()]
            yield from map(Example, *columns)

    def take(self, rows: NDArray[np.integer]) -> Examples:
        """The examples at ``rows`` (N,), in their order."""
        rows = rows if self._rows is None else self._rows[rows]
        return Examples(self._files, rows.astype(np.int32))

    def texts(self) -> Iterator[str]:
        """The text of each example."""
        return self._column("text")

    def ids(self) -> Iterator[str]:
        """The id of each example."""
        return self._column("id")

    def _column(self, name: str) -> Iterator[str]:
        texts, rows = self._files.texts[name], self._rows
        if rows is None:
            yield from (text for batch in texts for text in batch.to_pylist())
            return
        for part in _parts(texts, rows):
            yield from part

    def codes(self, column: str) -> NDArray[np.int32]:
        """(N,) number of each example's value of a field other than id and text; different values have different
        numbers, and equal ones may."""
        codes: NDArray[np.int32] = np.concatenate([np.zeros(0, np.int32), *self._files.codes[column]])
        return codes if self._rows is None else codes[self._rows]

    def values(self, codes: NDArray[np.integer]) -> Iterator[Any]:
        """The values that have these numbers (N,), none of which is held."""
        return self._files.decoded(codes)

    def encoded(self, codes: NDArray[np.integer]) -> Iterator[str]:
        """The same as texts, as the codec writes them."""
        return self._files.encoded(codes)

    def distinct(self, column: str) -> tuple[list[Any], NDArray[np.int32]]:
        """Distinct values of a field, in order of first occurrence, and (N,) which of them each example has."""
        if column not in HELD:
            return _merged(self.codes(column), self._files)
        values, codes = self._files.held(column)
        if self._rows is None:
            return values, codes
        used, codes = _renumbered(codes[self._rows])
        return [values[code] for code in used.tolist()], codes


class _Files:
    """The mapped files of a folder; pickled as its path, so that another process maps them again."""

    def __init__(self, folder: Path, codec: Codec) -> None:
        self.folder, self.codec = folder, codec
        rows, values = (_batches(folder / name, schema) for name, schema in ((ROWS, _ROWS), (VALUES, _VALUES)))
        self.count = sum(len(batch) for batch in rows)
        self.texts = {name: [batch.column(name) for batch in rows] for name in TEXTS}
        # The mapped bytes themselves: to_numpy() would import pandas, where that is installed.
        self.codes = {
            name: [np.frombuffer(batch.column(name).buffers()[1], np.int32, len(batch)) for batch in rows]
            for name in CODED
        }
        self._values = [batch.column(0) for batch in values]
        self.value = lru_cache(DECODED)(self._value)
        self._held: dict[str, tuple[list[Any], NDArray[np.int32]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Files, (self.folder, self.codec)

    def held(self, column: str) -> tuple[list[Any], NDArray[np.int32]]:
        """Distinct values of a column of :data:`HELD`, and codes, computed when they are first asked for."""
        if column not in self._held:
            codes = np.concatenate([np.zeros(0, np.int32), *self.codes[column]])
            self._held[column] = _merged(codes, self)
        return self._held[column]

    def encoded(self, numbers: NDArray[np.integer]) -> Iterator[str]:
        for part in _parts(self._values, numbers):
            yield from part

    def decoded(self, numbers: NDArray[np.integer]) -> Iterator[Any]:
        for part in _parts(self._values, numbers):
            yield from self.codec.decode_all(part)

    def _value(self, number: int) -> Any:
        return self.codec.decode(self._values[number // BATCH][number % BATCH].as_py())

    def example(self, row: int) -> Example:
        batch, place = divmod(row, BATCH)
        texts = [column[batch][place].as_py() for column in self.texts.values()]
        return Example(*texts, *(self.value(int(column[batch][place])) for column in self.codes.values()))


def _by_batch(rows: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.integer]]]:
    """(record batch, rows in it) of ``rows`` (N,), in their order, as many of one batch as are next to each other."""
    for part in np.split(rows, np.flatnonzero(np.diff(rows // BATCH)) + 1) if len(rows) else ():
        yield int(part[0]) // BATCH, part % BATCH


def _parts(batches: Sequence[pa.Array], rows: NDArray[np.integer]) -> Iterator[list[str]]:
    """The texts at ``rows`` (N,), in their order, those of a record batch together."""
    for batch, places in _by_batch(rows):
        yield batches[batch].take(pa.array(places)).to_pylist()


def _renumbered(codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Distinct codes, in order of first occurrence, and (N,) which of them each code is."""
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last assignment, of the first place, stays
    used = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    places = np.zeros(len(first), np.int32)
    places[used] = np.arange(len(used))
    return used, places[codes]


def _merged(codes: NDArray[np.int32], files: _Files) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct values, in order of first occurrence, and new codes; equal values with different codes become one."""
    used, codes = _renumbered(codes)
    of: dict[Any, int] = {}
    merged = [of.setdefault(value, len(of)) for value in files.decoded(used)]
    return list(of), np.array(merged, np.int32)[codes]


def _batches(path: Path, schema: pa.Schema) -> list[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    if reader.schema != schema:
        raise DataError("of another version", file=path)
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
