"""A folder of examples: writing it, opening it, and the sequence that reads from its mapped files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from functools import lru_cache
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
DECODED = 1 << 18
"""Decoded values that are held while reading."""
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
        for example in examples:
            columns[0].append(example.id)
            columns[1].append(example.text)
            for column, name in zip(columns[2:], CODED, strict=True):
                column.append(numbers.number(name, getattr(example, name)))
            count += 1
            if len(columns[0]) == BATCH:
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
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        if self._rows is not None:
            yield from (files.example(int(row)) for row in self._rows)
            return
        for batch in range(len(files.texts["id"])):
            columns = [column[batch].to_pylist() for column in files.texts.values()]
            columns += [map(files.value, column[batch].tolist()) for column in files.codes.values()]
            yield from map(Example, *columns)

    def take(self, rows: NDArray[np.integer]) -> Examples:
        """The examples at ``rows`` (N,), in their order."""
        rows = rows if self._rows is None else self._rows[rows]
        return Examples(self._files, rows.astype(np.int32))

    def texts(self) -> Iterator[str]:
        """The text of each example."""
        texts = self._files.texts["text"]
        if self._rows is None:
            return (text for batch in texts for text in batch.to_pylist())
        return (texts[row // BATCH][row % BATCH].as_py() for row in map(int, self._rows))

    def codes(self, column: str) -> NDArray[np.int32]:
        """(N,) number of each example's value of a field other than id and text; different values have different
        numbers, and equal ones may."""
        codes: NDArray[np.int32] = np.concatenate([np.zeros(0, np.int32), *self._files.codes[column]])
        return codes if self._rows is None else codes[self._rows]

    def value(self, code: int) -> Any:
        """The value that has a number."""
        return self._files.value(code)


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
        self.value = lru_cache(DECODED)(self._decoded)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Files, (self.folder, self.codec)

    def _decoded(self, number: int) -> Any:
        return self.codec.decode(self._values[number // BATCH][number % BATCH].as_py())

    def example(self, row: int) -> Example:
        batch, place = divmod(row, BATCH)
        texts = [column[batch][place].as_py() for column in self.texts.values()]
        return Example(*texts, *(self.value(int(column[batch][place])) for column in self.codes.values()))


def _batches(path: Path, schema: pa.Schema) -> list[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    if reader.schema != schema:
        raise DataError("of another version", file=path)
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
