"""Finding image files, their ids, and decoding them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from twelve.data.root import image_key
from twelve.errors import RegionError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def source_of(folder: Path) -> str:
    """The image source a folder stands for: what follows ``images`` in its path, else the folder's own name."""
    parts = folder.resolve().parts
    if "images" in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index("images")
        if last + 1 < len(parts):
            return parts[last + 1]
    return parts[-1]


def image_id(path: Path, source: str) -> str:
    """The id of the image in a file: its source and the key of data roots (:func:`twelve.data.root.image_key`)."""
    return f"{source}/{image_key(path.stem)}"


def list_images(folders: Sequence[Path], source: str) -> dict[str, Path]:
    """Image files by id, sorted by name within each folder (subfolders are not entered).

    Raises:
        RegionError: a folder is missing or empty, or two files have the same id.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise RegionError("no such folder of images", file=folder, remedy="check --images")
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        if not paths:
            raise RegionError("no image files here", file=folder, remedy="give the folder that holds them to --images")
        for path in paths:
            key = image_id(path, source)
            if key in found:
                raise RegionError(
                    f"the id {key} also belongs to {found[key]}", file=path, remedy="rename or remove one of the two"
                )
            found[key] = path
    return found


def decode(path: Path) -> Image.Image:
    """An RGB picture, upright (EXIF), opened by its content and not its suffix.

    Raises:
        OSError, ValueError, SyntaxError: what Pillow raises for a file that is not a whole picture.
    """
    with Image.open(path) as opened:
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        return upright if upright.mode == "RGB" else _flatten(upright)


def _flatten(picture: Image.Image) -> Image.Image:
    """To RGB; transparency shows white, as a page would."""
    if picture.mode in ("I;16", "I", "F"):
        # Pillow clips these modes to 0..255 instead of scaling them.
        values = np.asarray(picture, dtype=np.float64)
        top = max(float(values.max(initial=0.0)), 255.0)
        return Image.fromarray((values * (255.0 / top)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        page = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(page, layered).convert("RGB")
    return picture.convert("RGB")


def resized(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 pixels at ``size`` (width, height), bicubic."""
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return np.array(picture, dtype=np.uint8)
