"""What one image looks like to the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of one image, without the global region (the batch adds it).

    Attributes:
        image_id: id with its source, e.g. ``coco/391895``.
        width, height: of the photograph, pixels.
        boxes: (R, 4) float32, xyxy absolute pixels.
        features: (R, F) float16 (a view of the memory map, never a copy), or None for boxes-only files.
        scores: (R,) float32 detector confidence in 0..1, or None.
        class_ids: (R,) int16 detector class, or None.
    """

    image_id: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    features: NDArray[np.float16] | None = None
    scores: NDArray[np.float32] | None = None
    class_ids: NDArray[np.int16] | None = None
