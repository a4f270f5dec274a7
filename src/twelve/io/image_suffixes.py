"""What image files are called, and how they begin: what can be told of a file before anything is decoded."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"P"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
)
"""Of :data:`twelve.regions.images.FORMATS`; WebP and AVIF stand in containers, after four bytes of their own."""


def flaw(path: Path) -> str:
    """Why a file can hold no image, as far as its first bytes tell; an empty string where it may."""
    if not path.exists():
        return "no such image"
    if not path.is_file():  # opening a pipe would wait for its writer
        return "is a folder" if path.is_dir() else "is no regular file"
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return error.strerror or "cannot be opened"
    if not head:
        return "is empty"
    contained = (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:8] == b"ftyp"
    return "" if contained or head.startswith(_BEGINNINGS) else "is no image, by its first bytes"
