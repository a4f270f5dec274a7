"""From an image to what the network was trained on: mean subtracted, blue first, resized as OpenCV would.

The sizes and the arithmetic are those of the original extraction script and of ``cv2.resize`` with ``fx``, ``fy`` and
bilinear interpolation: an output pixel steps by 1/scale through the input, its coordinate is taken in double precision.
Without OpenCV, the result differs from it by rounding alone (3e-5 of 255 at most).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from twelve.errors import RegionError

SHORT_SIDE, LONG_SIDE = 800, 1333
"""Pixels that the short side is scaled to, unless the long one would have more than so many."""

MULTIPLE = 32
"""Pixels that a batch's sides are rounded up to."""

MEAN = (102.9801, 115.9465, 122.7717)
"""Of the levels of blue, green and red, 0..255."""

_CENTRED = (np.arange(256, dtype=np.float64)[:, None] - MEAN).astype(np.float32)
"""(256, 3) of each 8-bit level, what is left of it when the mean of each colour, blue first, is taken away."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready for the network.

    Attributes:
        pixels: (3, h, w) float32, blue first, mean subtracted; not padded.
        scale: pixels of it for one of the image.
        width, height: of the image.
    """

    pixels: Tensor
    scale: float
    width: int
    height: int

    @property
    def extent(self) -> tuple[int, int]:
        """(w, h) of the resized image."""
        return self.pixels.shape[2], self.pixels.shape[1]


def prepare(
    image: Image.Image, *, short_side: int = SHORT_SIDE, long_side: int = LONG_SIDE, legacy: bool = False
) -> Prepared:
    """An image ready for the network.

    Args:
        image: RGB or grey (:func:`twelve.regions.images.decode` makes RGB of every kind and turns it upright). Under
            ``legacy`` whatever Pillow opens, and its values are taken as they stand: indices of a palette, 16-bit
            levels.
        short_side, long_side: of the resized image, pixels.

    Raises:
        RegionError: the image is of a kind that does not work, or has no pixels.
    """
    levels = _levels(image, legacy)
    if levels.dtype == np.uint8:
        centred = np.stack([_CENTRED[levels[..., 2 - colour], colour] for colour in range(3)])
    else:
        centred = (levels.astype(np.float32)[..., ::-1].astype(np.float64) - MEAN).astype(np.float32)
        centred = np.ascontiguousarray(centred.transpose(2, 0, 1))
    scale = scale_of(image.width, image.height, short_side, long_side)
    return Prepared(resize(torch.from_numpy(centred), scale), scale, image.width, image.height)


def _levels(image: Image.Image, legacy: bool) -> NDArray[np.generic]:
    """(H, W, 3) levels of red, green and blue."""
    if 0 in image.size:
        raise RegionError("the image has no pixels")
    if not legacy and image.mode not in ("RGB", "L"):
        raise RegionError(f"the image is {image.mode}, not RGB", remedy="open it with twelve.regions.images.decode")
    levels = np.asarray(image)
    if levels.ndim == 2:
        levels = np.repeat(levels[..., None], 3, axis=2)
    if levels.shape[2] != 3:
        raise RegionError(f"the original program takes no {image.mode} images", remedy="convert it to RGB")
    return levels


def scale_of(width: int, height: int, short_side: int = SHORT_SIDE, long_side: int = LONG_SIDE) -> float:
    """By how much an image grows."""
    scale = short_side / min(width, height)
    return long_side / max(width, height) if round(scale * max(width, height)) > long_side else scale


def resize(pixels: Tensor, scale: float) -> Tensor:
    """(3, H, W) float32 -> (3, h, w), bilinear, without smoothing first; sides are rounded half to even."""
    for axis in (2, 1):
        length = pixels.shape[axis]
        count = max(1, round(length * scale))
        place = (np.arange(count) + 0.5) * (1 / scale) - 0.5
        before = np.floor(place)
        share = torch.from_numpy((place - before).astype(np.float32)).view(-1, *[1] * (2 - axis))
        first, second = (torch.from_numpy(np.clip(before + step, 0, length - 1).astype(np.int64)) for step in (0, 1))
        low, high = pixels.index_select(axis, first), pixels.index_select(axis, second)
        pixels = low.mul_(1 - share).add_(high.mul_(share))
    return pixels


def batch(prepared: Sequence[Prepared]) -> Tensor:
    """(I, 3, H, W): images side by side, zeros right and below up to the largest, rounded up to 32 pixels."""
    wide, high = (max(sides) for sides in zip(*(each.extent for each in prepared), strict=True))
    wide, high = (-(-side // MULTIPLE) * MULTIPLE for side in (wide, high))
    out = torch.zeros(len(prepared), 3, high, wide)
    for row, each in zip(out, prepared, strict=True):
        row[:, : each.pixels.shape[1], : each.pixels.shape[2]] = each.pixels
    return out
