"""Whether bytes are an image that may be decoded. Nothing here decodes a pixel or touches a file."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from twelve.regions.images import open_image
from twelve.web.limits import Limits
from twelve.web.problems import ServiceError

KINDS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (b"\xff\xd8\xff", ("JPEG", "MPO")),
    (b"\x89PNG\r\n\x1a\n", ("PNG",)),
    (b"GIF87a", ("GIF",)),
    (b"GIF89a", ("GIF",)),
    (b"BM", ("BMP",)),
    (b"RIFF", ("WEBP",)),
)
"""First bytes -> Pillow's formats. Few and plain: whatever can be read can be attacked."""
IMAGES = ("application/octet-stream", "image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
"""Content types of an uploaded image; what it is, its bytes say."""
NAMES = "JPEG, PNG, WebP, GIF or BMP"
MAX_STRETCH = 50
"""Longer side by shorter side: a sliver would become millions of pixels where it is enlarged to be looked at."""
MAX_READS = 200_000
"""Pieces that an image is read in: a GIF of 16 MB has 125,000, a PNG of 16 MB hardly more than 10,000."""


class TooManyPieces(ValueError):
    """The bytes of a file were read in more pieces than allowed."""


class Pieces(io.BytesIO):
    """The bytes of a file, readable a limited number of times.

    Pillow reads headers piece by piece in Python; millions of empty comments before a few pixels take half a minute.
    """

    def __init__(self, data: bytes, max_reads: int) -> None:
        super().__init__(data)
        self.left = max_reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file; raises TooManyPieces after the allowed number of calls."""
        self.left -= 1
        if self.left < 0:
            raise TooManyPieces("the image is made of too many pieces")
        return super().read(size)


def check(data: bytes, limits: Limits) -> int:
    """Read an image's header; returns its width times height.

    Raises:
        ServiceError: 413, 415 or 422; says why.
    """
    if not data:
        raise ServiceError(422, "there are no bytes", "send an image")
    if len(data) > limits.max_bytes:
        raise ServiceError(413, f"an image of more than {limits.max_bytes:,} bytes", "send a smaller one")
    formats = next((formats for start, formats in KINDS if data.startswith(start)), None)
    if formats is None:
        raise ServiceError(415, "this is no kind of image that is read", f"send {NAMES}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(Pieces(data, MAX_READS), formats=formats) as opened:
                width, height = opened.size
                moving = "JPEG" not in formats and getattr(opened, "is_animated", False)
        except Image.DecompressionBombError:
            raise _too_large(limits) from None
        except TooManyPieces:
            raise _too_many_pieces() from None
        except Exception:  # whatever a reader trips over, these bytes are no image
            raise _broken() from None
    if width * height > limits.max_pixels:
        raise _too_large(limits)
    if max(width, height) > MAX_STRETCH * min(width, height):
        raise ServiceError(422, f"{width} x {height} pixels are too narrow an image", "crop it")
    if moving:
        raise ServiceError(422, "the image moves", "send one of its frames")
    return width * height


def decoded(data: bytes, limits: Limits) -> Image.Image:
    """The upright RGB image.

    Raises:
        ServiceError: 422; it is not whole.
    """
    try:
        return open_image(Pieces(data, MAX_READS), limits.max_pixels)
    except MemoryError:
        raise
    except TooManyPieces:
        raise _too_many_pieces() from None
    except Exception:  # decoders raise nearly anything on bytes that were made to break them
        raise _broken() from None


def _too_large(limits: Limits) -> ServiceError:
    return ServiceError(422, f"an image of more than {limits.max_pixels:,} pixels", "send a smaller one")


def _too_many_pieces() -> ServiceError:
    return ServiceError(422, "the image's file is made of too many pieces", "save it again without comments, as PNG")


def _broken() -> ServiceError:
    return ServiceError(422, "the image is damaged or not whole", f"send a whole {NAMES} file")
