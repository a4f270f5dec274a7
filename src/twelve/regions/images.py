"""Lists image files with their ids, and opens any image as upright RGB.

No file can stop a run or execute a program: only formats with plain decoders are opened (not PostScript, for example),
the number of pixels is limited before decoding, and only regular files are opened.
"""

from __future__ import annotations

import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from twelve.errors import InputError, RegionError, with_subject
from twelve.formats.data_root import image_key
from twelve.io.image_suffixes import IMAGE_FILE, beside, flaw_of, images_in, refuse_url
from twelve.regions.sizes import MAX_PIXELS

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are opened, whatever the suffix of a file."""

ImageLike: TypeAlias = "Path | str | bytes | Image.Image | NDArray[np.generic] | torch.Tensor"
"""Images that :func:`open_image` accepts."""

ACCEPTED = "a path, the bytes of a file, a Pillow image, an array or a tensor"
"""These types, for errors."""

MAX_SCANS = 200
"""Limit for the scans of a JPEG. Encoders write about ten; decoding one takes as long as a whole image."""

_ORIENTATION = 0x0112
_SCAN = b"\xff\xda"
"""The marker of a scan in a JPEG; its data never contains these two bytes."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OPENING = threading.Lock()
_TOO_MANY = "{} more than {:,} pixels"


class Foreign(ValueError):
    """A file that is no image at all."""


class TooLarge(ValueError):
    """An image with more pixels than allowed."""


class NotAnImage(TypeError):
    """An object of a type that is no image."""


def source_of(folder: Path) -> str:
    """The image source of a folder: what follows ``images`` in its path, else the folder's name."""
    parts = folder.resolve().parts
    if "images" in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index("images")
        if last + 1 < len(parts):
            return parts[last + 1]
    return parts[-1]


def image_id(path: Path, source: str) -> str:
    """The id of the image in a file: the source, and the key used in data roots
    (:func:`twelve.formats.data_root.image_key`)."""
    return printable(f"{source}/{image_key(path.name)}")


def printable(text: str) -> str:
    """``text`` with backslash escapes for what UTF-8 cannot encode; file names need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def list_images(folders: Sequence[Path], source: str) -> dict[str, Path]:
    """Files with an image suffix by id, sorted by name within each folder. Subfolders are not searched.

    Raises:
        InputError: a folder is missing or has no images.
        RegionError: two files have the same id.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in images_in(folder):
            key = image_id(path, source)
            if key in found:
                raise RegionError(
                    f"the id {key} also belongs to {found[key]}", file=path, remedy="rename or remove one of the two"
                )
            found[key] = path
    return found


def open_image(image: ImageLike | io.BytesIO, max_pixels: int = MAX_PIXELS, *, raw: bool = False) -> Image.Image:
    """Open an image from a path, the bytes of a file, a Pillow image, or an array, as RGB.

    Arrays are (H, W, 3) or (H, W), tensors (3, H, W) or (H, W), of uint8, or of floats in 0..1.

    Args:
        raw: leave a file or a Pillow image as Pillow opens it, neither upright nor RGB.

    Raises:
        OSError, ValueError, SyntaxError: it is not a complete image.
        NotAnImage: it is none of these types.
    """
    if isinstance(image, (str, Path)):
        return decode(Path(image), max_pixels, raw=raw)
    if isinstance(image, (bytes, bytearray, memoryview)):
        image = io.BytesIO(image)
    if isinstance(image, io.BytesIO):
        return _decoded(image, max_pixels, raw)
    if isinstance(image, Image.Image):
        _check_pixels(image.size, max_pixels)
        return image if raw else _rgb(_upright(image))
    if isinstance(image, torch.Tensor):
        image = _array(image, max_pixels)
    if isinstance(image, np.ndarray):
        _check_pixels(image.shape[:2], max_pixels)
        return Image.fromarray(_levels(image)).convert("RGB")
    raise NotAnImage(f"{type(image).__name__} is not an image")


def refused(image: ImageLike, error: Exception, accepted: str = ACCEPTED) -> InputError:
    """What to raise for an image that :func:`open_image` refused with this error.

    Args:
        accepted: the types that would be accepted.
    """
    file = image if isinstance(image, str | Path) else None
    remedy = "pass a complete image"
    if isinstance(error, NotAnImage):
        remedy = f"pass {accepted}"
    elif isinstance(error, TooLarge):
        remedy = "scale it down"
    elif isinstance(error, Foreign):
        remedy = IMAGE_FILE
    elif isinstance(image, np.ndarray | torch.Tensor):
        remedy = "pass uint8 levels or floats in 0..1, of shape H x W x 3 in an array, 3 x H x W in a tensor"
    elif file is not None and not os.path.exists(file):
        try:
            refuse_url(file)
        except InputError as refusal:
            return refusal
        remedy = "check its path"
    elif file is not None and os.path.isdir(file):
        remedy = "pass the path of one image file"
    problem = str(error) or type(error).__name__
    if isinstance(image, bytes | bytearray | memoryview):
        problem = with_subject("the data", problem)
    return InputError(problem, file=file, remedy=remedy)


def decode(path: Path, max_pixels: int = MAX_PIXELS, *, raw: bool = False) -> Image.Image:
    """Decode an image file as RGB, upright (EXIF). Its content determines the format; of several frames, the first is
    used.

    Args:
        max_pixels: larger images are refused.
        raw: leave the image as Pillow opens it, neither upright nor RGB.

    Raises:
        OSError, ValueError, SyntaxError: it is not a complete image.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        # A folder may have many such links, and the nearest name to each takes long.
        link = os.path.islink(path)
        raise ValueError("is a link to a missing file" if link else f"no such image{beside(path)}") from error
    except OSError as error:
        raise ValueError(error.strerror or "cannot be opened") from error
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its writer
        folder = "is a folder" if os.access(path, os.R_OK | os.X_OK) else "is a folder that you may not read"
        raise ValueError(folder if stat.S_ISDIR(found.st_mode) else "is not a regular file")
    if not found.st_size:
        raise ValueError("is empty")
    with open(path, "rb") as file:
        return _decoded(file, max_pixels, raw)


def _decoded(file: BinaryIO, max_pixels: int, raw: bool) -> Image.Image:
    with _opened(file, max_pixels) as opened:
        _check_pixels(opened.size, max_pixels)
        if opened.format in ("JPEG", "MPO"):
            _check_scans(file)
        try:
            opened.load()
        except OSError as error:
            raise OSError(f"the image is damaged or incomplete ({error})") from error
        return opened if raw else _rgb(_upright(opened))


def _opened(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open an image and read its header."""
    # Pillow's limit and the warning filters are global: one thread at a time changes them.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an image beyond the limit is an error, not a warning
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            Image.preinit()
            try:
                return Image.open(file, formats=_known())
            except UnidentifiedImageError:  # none of the usual formats
                Image.init()
                return Image.open(file, formats=_known())
        except UnidentifiedImageError as error:
            file.seek(0)
            if why := flaw_of(file.read(16)):
                raise Foreign(why) from error
            raise ValueError("the image is not in a supported format") from error
        except Image.DecompressionBombError as error:
            raise TooLarge(_TOO_MANY.format("it has", max_pixels)) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _known() -> list[str]:
    """The formats whose decoders are loaded: those of JPEG, PNG, GIF, BMP and PPM come first, all 40 take 0.1 s."""
    return [name for name in FORMATS if name in Image.OPEN]


def _check_pixels(size: Sequence[int], max_pixels: int) -> None:
    """Refuse too many pixels, or none, before any is decoded or copied."""
    if math.prod(size) > max_pixels:
        raise TooLarge(_TOO_MANY.format(f"{'x'.join(map(str, size))} are", max_pixels))
    if not math.prod(size):
        raise ValueError("the image has no pixels")


def _check_scans(file: BinaryIO) -> None:
    """Refuse a JPEG with thousands of scans, which would take minutes to decode."""
    place = file.tell()
    file.seek(0)
    scans = file.read().count(_SCAN)
    file.seek(place)
    if scans > MAX_SCANS:
        raise ValueError(f"has {scans:,} scans, a JPEG has at most {MAX_SCANS}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # invalid EXIF data raises nearly anything, but the pixels are complete
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    # Without its orientation, or the next reader would rotate it again.
    turned.info = {key: value for key, value in image.info.items() if key == "transparency"}
    return turned


def _rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; transparent pixels become white."""
    if image.mode == "RGB":
        return image
    if image.mode[0] in "IF":
        # Pillow clips modes with more than 8 bits to 0..255 instead of scaling them.
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        top = max(float(values.max(initial=0.0)), 255.0)
        return Image.fromarray((values * (255.0 / top)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        page = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(page, layered).convert("RGB")
    return image.convert("RGB")


def _array(tensor: torch.Tensor, max_pixels: int) -> NDArray[np.generic]:
    """(H, W, 3) or (H, W) from a tensor; raises ValueError for a tensor that cannot become an array."""
    try:
        _check_pixels(tensor.shape[-2:], max_pixels)
        values = tensor.detach().cpu()
        array: NDArray[np.generic] = (values.permute(1, 2, 0) if values.dim() == 3 else values).float().numpy()
    except (RuntimeError, TypeError) as error:  # a meta, sparse, nested or quantised tensor
        raise ValueError(f"a tensor that is not an array: {str(error).splitlines()[0]}") from error
    if values.is_floating_point():
        return array
    return array.astype(np.uint8 if values.dtype == torch.uint8 else np.int64)


def _levels(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) uint8 from the array of an image; raises ValueError for any other array."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3):
        raise ValueError(f"an array of shape {values.shape} is not an image: arrays are H x W x 3, tensors 3 x H x W")
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values, dtype=np.uint8)
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"an image of {values.dtype} values: give uint8, or floats in 0..1")
    floats = values.astype(np.float64)
    if not bool(((floats >= 0) & (floats <= 1)).all()):
        raise ValueError("an image of floats must lie in 0..1: give uint8 levels, and nothing normalised")
    return (floats * 255).round().astype(np.uint8)


def resized(
    image: Image.Image, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 pixels at ``size`` (width, height)."""
    if image.size != size:
        image = image.resize(size, resample)
    return np.array(image, dtype=np.uint8)
