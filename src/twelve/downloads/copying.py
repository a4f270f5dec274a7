"""Copies one file from a folder that is a mirror."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twelve.downloads import parts
from twelve.downloads.requests import Refused
from twelve.downloads.writing import begin, check_room, end, write

_PIECE = 1 << 20


def copy(source: Path, part: Path, *, size: int | None, advance: Callable[[int, int | None], None]) -> None:
    """Fill ``part`` from a file; a part that is there stays until the copy is complete.

    Args:
        size: bytes that are expected, if known.
        advance: called with (bytes so far, total).

    Raises:
        Refused: the file is missing, or is not this file.
        TwelveError: the disk is full, or cannot be written.
    """
    partial = part.with_name(f".{part.name}.copy")
    try:
        if not source.is_file():
            raise Refused("no such file")
        if part.exists() and source.samefile(part):
            raise Refused("is the part of the file that came so far: name another mirror")
        total = source.stat().st_size
        if size is not None and total != size:
            raise Refused(f"wrong length: expected {size:,} bytes, found {total:,}")
        if not total:
            raise Refused("is an empty file")
        check_room(part, total)
        with open(source, "rb") as origin:
            stream, got = begin(partial, 0), 0
            try:
                while piece := origin.read(_PIECE):
                    write(stream, piece)
                    advance(got := got + len(piece), total)
            finally:
                end(stream)
        if got != total:
            raise Refused("was changed while it was read")
        parts.forget(part)
        partial.replace(part)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
