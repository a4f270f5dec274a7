"""Checks the headers of Arrow files and streams before Apache Arrow reads them.

A header may claim that a batch is compressed and a thousand times larger than the file, that it is outside the file, or
that a million batches are in one place. The checks bound all claims by the size of the file. Headers are FlatBuffers
tables; see https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format for the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAGIC = b"ARROW1"
_CONTINUED = -1
_SCHEMA, _RECORD_BATCH = 1, 3
"""Kinds of messages."""
_UNPACKED, _TIMES = 1 << 26, 20
"""Limit for the compressed columns of a file: so many bytes, or so many times the size of the file."""
_BLOCK = struct.Struct("<qi4xq")
_BUFFER = struct.Struct("<qq")


class BadHeader(ValueError):
    """A header that no region file has."""


class _Message(NamedTuple):
    """A message in a file: its kind, the sizes of its header and body in bytes, and the size that a compressed body
    claims to have when decompressed (None if it is not compressed)."""

    kind: int
    header: int
    body: int
    claimed: int | None


class _Table:
    """A FlatBuffers table in ``data``."""

    def __init__(self, data: memoryview, place: int) -> None:
        self.data, self.place = data, place
        self.fields = place - self.number("<i", place)
        self.size = self.number("<H", self.fields)

    @classmethod
    def root(cls, data: memoryview) -> _Table:
        return cls(data, int(_unpacked("<I", data, 0)))

    def number(self, kind: str, place: int) -> int:
        return int(_unpacked(kind, self.data, place))

    def field(self, number: int) -> int | None:
        """The position of a field; None if it is absent."""
        entry = 4 + 2 * number
        offset = self.number("<H", self.fields + entry) if entry + 2 <= self.size else 0
        return self.place + offset if offset else None

    def value(self, number: int, kind: str) -> int:
        place = self.field(number)
        return 0 if place is None else self.number(kind, place)

    def table(self, number: int) -> _Table | None:
        place = self.field(number)
        return None if place is None else _Table(self.data, place + self.number("<I", place))

    def structs(self, number: int, kind: struct.Struct) -> Iterator[tuple[int, ...]]:
        place = self.field(number)
        if place is None:
            return
        start = place + self.number("<I", place)
        count = self.number("<I", start)
        if start + 4 + count * kind.size > len(self.data):
            raise BadHeader(f"it claims {count:,} parts")
        yield from kind.iter_unpack(self.data[start + 4 : start + 4 + count * kind.size])


def _unpacked(kind: str, data: memoryview, place: int) -> int:
    if not 0 <= place <= len(data) - struct.calcsize(kind):
        raise BadHeader("it points outside of itself")
    (value,) = struct.unpack_from(kind, data, place)
    return int(value)


def check_file(whole: memoryview) -> bool:
    """Check that the batches of an Arrow file follow each other in it, and that compressed ones are within bounds.

    Returns:
        Whether batches are compressed, which is allowed for files without features.

    Raises:
        BadHeader: they do not.
    """
    end = len(whole) - len(_MAGIC) - 4
    if end < len(_MAGIC) or bytes(whole[: len(_MAGIC)]) != _MAGIC or bytes(whole[end + 4 :]) != _MAGIC:
        raise BadHeader("it does not begin and end like an Arrow file")
    size = _unpacked("<i", whole, end)
    if not 0 < size <= end:
        raise BadHeader(f"it claims a footer of {size:,} bytes")
    footer = _Table.root(whole[end - size : end])
    if any(True for _ in footer.structs(2, _BLOCK)):
        raise BadHeader("it has dictionaries")
    begin = len(_MAGIC) + 2
    schema = _message(whole, begin)
    free = begin if schema is None else begin + schema.header + schema.body
    claimed: list[int] = []
    for offset, header, body in footer.structs(3, _BLOCK):
        if offset < free or header < 8 or body < 0 or offset + header + body > end - size:
            raise BadHeader("a batch lies outside of it or in another one")
        if offset != free and _message(whole, free) is not None:
            raise BadHeader("its footer leaves a batch out")
        free = offset + header + body
        found = _message(whole, offset)
        if found is None or found[:3] != (_RECORD_BATCH, header, body):
            raise BadHeader("a batch is not where it should be")
        if found.claimed is not None:
            claimed.append(found.claimed)
    if _message(whole, free) is not None:
        raise BadHeader("its footer leaves a batch out")
    if sum(claimed) > max(_UNPACKED, _TIMES * len(whole)):
        raise BadHeader(f"its compressed columns claim {sum(claimed):,} bytes")
    return bool(claimed)


def check_stream(whole: memoryview) -> None:
    """Raise BadHeader if a batch of an Arrow stream is compressed. Bytes after the end or a cut are not read."""
    place = 0
    while (found := _message(whole, place)) is not None:
        if found.kind not in (_SCHEMA, _RECORD_BATCH):
            raise BadHeader("it has dictionaries")
        if found.claimed is not None:
            raise BadHeader("a batch is compressed")
        place += found.header + found.body


def _message(whole: memoryview, place: int) -> _Message | None:
    """The message at a position; None if there is no complete message."""
    if place + 8 > len(whole) or _unpacked("<i", whole, place) != _CONTINUED:
        return None
    size = _unpacked("<i", whole, place + 4)
    if size <= 0 or place + 8 + size > len(whole):
        return None
    table = _Table.root(whole[place + 8 : place + 8 + size])
    kind, body, content = table.value(1, "<B"), table.value(3, "<q"), table.table(2)
    if body < 0 or place + 8 + size + body > len(whole):
        return None
    claimed: int | None = None
    if kind == _RECORD_BATCH:
        if content is None or content.value(0, "<q") < 0:
            raise BadHeader("a batch has no rows")
        claimed = None if content.field(3) is None else 0
        for start, length in content.structs(2, _BUFFER):
            if start < 0 or length < 0 or start + length > body:
                raise BadHeader("a column lies outside of its batch")
            if claimed is not None and length:
                bytes_of_column = _unpacked("<q", whole, place + 8 + size + start)
                if bytes_of_column < -1:  # -1: this column is not compressed
                    raise BadHeader("a compressed column has no size")
                claimed += max(bytes_of_column, 0)
    return _Message(kind, 8 + size, body, claimed)
