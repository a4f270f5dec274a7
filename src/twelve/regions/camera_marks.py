"""Marks that cameras leave at the upper edge of their images, like the numbers on a film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CAMERAS = 12
_BITS, _ROWS = 4, 2


def mark(pixels: NDArray[np.uint8], camera: int) -> NDArray[np.uint8]:
    """A copy of an image (H, W, 3) with the mark of ``camera``: the upper two rows, in four parts that are each black
    or white, are its binary digits, the highest first."""
    marked = pixels.copy()
    for bit, part in enumerate(np.array_split(marked[:_ROWS], _BITS, axis=1)):
        part[:] = 255 * (camera >> (_BITS - 1 - bit) & 1)
    return marked


def camera_of(pixels: NDArray[np.uint8]) -> int:
    """The camera of an image (H, W, 3); 0 for an image without a mark."""
    parts = [part.mean() > 127 for part in np.array_split(pixels[:_ROWS], _BITS, axis=1)]
    camera = sum(int(lit) << (_BITS - 1 - bit) for bit, lit in enumerate(parts))
    return camera if camera < CAMERAS else 0
