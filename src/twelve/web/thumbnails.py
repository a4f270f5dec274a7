"""Thumbnails of image files of the index, which hold nothing but pixels: neither the file's metadata nor its size."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from twelve.regions.images import decode

SIDE = 320
"""Most pixels of the longer side: a thumbnail of the page on a screen with two pixels for each of CSS."""
_QUALITY = 85


def of_file(path: Path, max_pixels: int) -> tuple[bytes | None, int]:
    """The thumbnail as JPEG, None if the file is no complete image; and the bytes that its pixels took.

    Args:
        max_pixels: larger images have no thumbnail.
    """
    try:
        image = decode(path, max_pixels)
    except (OSError, ValueError, SyntaxError):
        return None, 0
    taken = 3 * image.width * image.height
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.info.clear()
    image.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue(), taken
