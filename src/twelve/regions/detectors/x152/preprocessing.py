"""Prepares images as the network was trained: mean subtracted, blue first, resized as by OpenCV.

Sizes and arithmetic are those of the original extraction script and of ``cv2.resize`` with ``fx``, ``fy`` and bilinear
interpolation: output pixels step by 1/scale through the input, with coordinates in double precision. The result differs
from OpenCV's by rounding only (at most 3e-5 of 255).
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
from twelve.regions.detectors.feature_extractor import PreparedImage

SHORT_SIDE, LONG_SIDE = 800, 1333
"""The short side is scaled to 800 pixels, unless the long side would exceed 1333."""
MULTIPLE = 32
"""The sides of a batch are rounded up to multiples of 32 pixels."""
MEAN = (102.9801, 115.9465, 122.7717)
"""Mean of blue, green and red, 0..255."""

_CENTRED = (np.arange(256, dtype=np.float64)[:, None] - MEAN).astype(np.float32)
"""(256, 3) each 8-bit level minus the mean of each colour, blue first."""


@dataclass(frozen=True, slots=True)
class Scaled(PreparedImage):
    """An image ready for the network: ``pixels`` (3, h, w) float32, blue first, mean subtracted, not padded.

    Attributes:
        scale: pixels of the network's input per pixel of the image.
    """

    scale: float

    @property
    def extent(self) -> tuple[int, int]:
        """(w, h) of the resized image."""
        return self.pixels.shape[2], self.pixels.shape[1]


def prepare(
    image: Image.Image, *, short_side: int = SHORT_SIDE, long_side: int = LONG_SIDE, legacy: bool = False
) -> Scaled:
    """Prepare an image for the network.

    Args:
        image: RGB or grey (:func:`twelve.regions.images.decode` converts every kind to RGB and rotates it upright).
            ``legacy``: anything that Pillow opens, with its values as stored: palette indices, 16-bit levels.
        short_side, long_side: of the resized image, pixels.

    Raises:
        RegionError: the image has an unsupported mode or no pixels.
    """
    levels = _levels(image, legacy)
    if levels.dtype == np.uint8:
        centreed = np.stack([_CENTRED[levels[..., 2 - colour], colour] for colour in range(3)])
    else:
        centreed = (levels.astype(np.float32)[..., ::-1].astype(np.float64) - MEAN).astype(np.float32)
        centreed = np.ascontiguousarray(centreed.transpose(2, 0, 1))
    scale = scale_of(image.width, image.height, short_side, long_side)
    return Scaled(resize(torch.from_numpy(centreed), scale), image.width, image.height, scale)


def _levels(image: Image.Image, legacy: bool) -> NDArray[np.generic]:
    """(H, W, 3) red, green and blue."""
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
    """The factor by which an image is enlarged."""
    scale = short_side / min(width, height)
    return long_side / max(width, height) if round(scale * max(width, height)) > long_side else scale


def resize(pixels: Tensor, scale: float) -> Tensor:
    """(3, H, W) float32 -> (3, h, w), bilinear, without antialiasing; sides are rounded half to even."""
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


def batch(prepared: Sequence[Scaled]) -> Tensor:
    """(I, 3, H, W): images padded with zeros on the right and below to the largest, rounded up to 32 pixels."""
    wide, high = (max(sides) for sides in zip(*(each.extent for each in prepared), strict=True))
    wide, high = (-(-side // MULTIPLE) * MULTIPLE for side in (wide, high))
    out = torch.zeros(len(prepared), 3, high, wide)
    for row, each in zip(out, prepared, strict=True):
        row[:, : each.pixels.shape[1], : each.pixels.shape[2]] = each.pixels
    return out
