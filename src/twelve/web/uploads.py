"""Checks of encoded images, from their headers, and safe decoding. Nothing is written to a file."""

from __future__ import annotations

import io
import re
import warnings
from email.message import Message

from fastapi import Request
from PIL import Image

from twelve.regions.images import open_image
from twelve.web.limits import Limits
from twelve.web.problems import ServiceError, curl

KINDS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (b"\xff\xd8\xff", ("JPEG", "MPO")),
    (b"\x89PNG\r\n\x1a\n", ("PNG",)),
    (b"GIF87a", ("GIF",)),
    (b"GIF89a", ("GIF",)),
    (b"BM", ("BMP",)),
    (b"RIFF", ("WEBP",)),
)
"""First bytes -> Pillow's formats. Every further format would be a further target for attacks."""
IMAGES = ("application/octet-stream", "image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
"""Content types of an upload. The format is determined from the bytes."""
FORM = "multipart/form-data"
NAMES = "JPEG, PNG, WebP, GIF or BMP"
MAX_STRETCH = 50
"""Maximum aspect ratio. Extractors enlarge the shorter side, which would give a sliver millions of pixels."""
MAX_READS = 200_000
"""Maximum number of reads per image. A GIF of 16 MB takes 125,000, a PNG of 16 MB about 10,000."""


class TooManyPieces(ValueError):
    """The bytes of a file were read in more pieces than allowed."""


class Pieces(io.BytesIO):
    """The bytes of a file, readable a limited number of times.

    Pillow reads headers piece by piece in Python, so millions of empty comments would take half a minute.
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


def check_kind(request: Request) -> None:
    """Raise ServiceError (415) for an upload that is neither an image nor a form, from its content type.

    Browsers let every web page send a form to every URL, with the header Origin: such a form is refused (403).
    """
    kind, origin = kind_of(request.headers.get("content-type", "")), request.headers.get("origin")
    if kind == FORM and origin is not None:
        problem = f"expected a form from a program, found one from a web page (Origin: {origin[:60]})"
        raise ServiceError("foreign_origin", problem, "send the image itself as the body, with its content type")
    if kind in (*IMAGES, FORM):
        return
    problem = f"expected an image, found {_sent(kind)}"
    raise ServiceError("unsupported_type", problem, f"{curl(request)}; {IMAGES[0]} works for every format")


def check_json(request: Request) -> None:
    """Raise ServiceError (415) for a request that is not sent as JSON, from its content type."""
    kind = kind_of(request.headers.get("content-type", ""))
    if not re.fullmatch(r"application/([^/]+\+)?json", kind):
        problem = f"expected JSON, found {_sent(kind)}"
        raise ServiceError("unsupported_type", problem, "send the header Content-Type: application/json")


def check_encoding(request: Request) -> None:
    """Raise ServiceError (415) for a compressed body."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        problem = f"expected a body without Content-Encoding, found {coding[:60]}"
        raise ServiceError("unsupported_type", problem, "send the body uncompressed, without this header")


def _sent(kind: str) -> str:
    return f"the content type {kind[:60]}" if kind else "no Content-Type header"


def kind_of(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.split(";")[0].strip().lower()


def file_of(body: bytes, request: Request) -> bytes:
    """The image in the body of an upload: the body itself, or the only part of a form."""
    content_type = request.headers["content-type"]
    if kind_of(content_type) != FORM:
        return body
    header = Message()
    header["content-type"] = content_type
    mark = b"--" + str(header.get_boundary()).encode("utf-8", "replace")
    head, _, rest = body.partition(b"\r\n\r\n")
    data, _, end = rest.partition(b"\r\n" + mark)
    if head.startswith(mark + b"\r\n") and b"filename" in head and end.rstrip() == b"--":
        return data
    found = _found_in(body, mark, head, end) if header.get_boundary() else "no boundary in the header Content-Type"
    problem = f"expected a form with one file and nothing else, found {found}"
    raise ServiceError("invalid_input", problem, curl(request))


def _found_in(body: bytes, mark: bytes, head: bytes, end: bytes) -> str:
    """What a form has instead of one file.

    Args:
        mark: what each part begins with, and the end.
        head: what stands before the first empty line.
        end: what follows the mark after the first part.
    """
    parts = body.count(mark + b"\r\n")
    if not body.startswith(mark):
        return "a body that does not begin with its boundary" if body else "an empty body"
    if parts != 1:
        return f"{parts} parts"
    if b"filename" not in head:
        return "a text"
    return "more after its end" if end.startswith(b"--") else "no end"


def check(data: bytes, limits: Limits) -> int:
    """Read the header of an image and return its width times height.

    Raises:
        ServiceError: 413, 415 or 422; the image cannot be read, or exceeds a limit.
    """
    if not data:
        raise ServiceError("invalid_image", "the image is empty", "send an image")
    if len(data) > limits.max_bytes:
        raise ServiceError("too_large", f"the image has more than {limits.max_bytes:,} bytes", "send a smaller image")
    formats = next((formats for start, formats in KINDS if data.startswith(start)), None)
    if formats is None:
        raise ServiceError("unsupported_type", "unsupported image format", f"send {NAMES}")
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
        except Exception:  # Pillow raises many kinds of errors for damaged files
            raise _broken() from None
    if width * height > limits.max_pixels:
        raise _too_large(limits)
    if max(width, height) > MAX_STRETCH * min(width, height):
        raise ServiceError("invalid_image", f"an image of {width} x {height} pixels is too narrow", "crop it")
    if moving:
        raise ServiceError("invalid_image", "the image is an animation", "send one of its frames")
    return width * height


def decoded(data: bytes, limits: Limits) -> Image.Image:
    """The decoded image, RGB and upright.

    Raises:
        ServiceError: 422; the image is damaged.
    """
    try:
        return open_image(Pieces(data, MAX_READS), limits.max_pixels)
    except MemoryError:
        raise
    except TooManyPieces:
        raise _too_many_pieces() from None
    except Exception:  # decoders raise many kinds of errors for malicious files
        raise _broken() from None


def _too_large(limits: Limits) -> ServiceError:
    return ServiceError(
        "too_many_pixels", f"the image has more than {limits.max_pixels:,} pixels", "send a smaller image"
    )


def _too_many_pieces() -> ServiceError:
    return ServiceError(
        "invalid_image", "the image file consists of too many pieces", "save it again as PNG, without comments"
    )


def _broken() -> ServiceError:
    return ServiceError(
        "invalid_image",
        "the image is damaged or incomplete",
        f"send a complete {NAMES} file; with curl, by --data-binary, not -d",
    )
