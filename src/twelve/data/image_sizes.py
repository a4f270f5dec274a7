"""The size of an image file, or what is wrong with the file, mostly without decoding it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from twelve.errors import TwelveError
from twelve.formats.mistaken import what_is
from twelve.formats.records import check_regular

_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""Format -> what every file ends with; files of other formats are decoded."""
_TAIL = 64
"""Bytes at the end of a file that are read."""


def size_or_flaw(path: Path) -> tuple[int, int] | str:
    """Width and height of an image, or what is wrong with its file.

    A file that does not end as its format should (an interrupted download) is decoded, since it may be complete and
    have something after its end. So is a file of a format without such an end.
    """
    try:
        check_regular(path)
        if (found := what_is(path)) is not None:
            return found[0]
        with Image.open(path) as opened:
            size = opened.size
            if not _ends(path, opened.format):
                opened.load()
            return size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, TwelveError) as error:
        return error.problem if isinstance(error, TwelveError) else str(error)


def _ends(path: Path, kind: str | None) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        return kind in _END and _END[kind] in stream.read()
