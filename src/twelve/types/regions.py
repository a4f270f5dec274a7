"""What one image looks like to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of one image, without the global region (the batch adds it).

    Attributes:
        image_id: id with its source, e.g. ``coco/391895``.
        width, height: of the photograph, pixels.
        boxes: (R, 4) float32, xyxy absolute pixels.
        features: (R, F) float16, or the bits of bfloat16 in uint16 (:mod:`twelve.types.half_precision`); a view of the
            memory map, never a copy. None for boxes-only files.
        scores: (R,) float32 detector confidence in 0..1, or None.
        class_ids: (R,) int16 detector class, or None.
        class_probabilities: (R, C) float16 distribution over the detector's classes (pretraining), or None.
    """

    image_id: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    features: NDArray[np.float16] | NDArray[np.uint16] | None = None
    scores: NDArray[np.float32] | None = None
    class_ids: NDArray[np.int16] | None = None
    class_probabilities: NDArray[np.float16] | None = None


OPTIONAL = ("features", "scores", "class_ids", "class_probabilities")


def select(regions: Regions, rows: slice | NDArray[np.int64]) -> Regions:
    """Some regions of an image, in the order of ``rows``; a slice gives views."""
    optional: dict[str, Any] = {
        name: None if part is None else part[rows] for name in OPTIONAL for part in (getattr(regions, name),)
    }
    return replace(regions, boxes=regions.boxes[rows], **optional)


def first_regions(regions: Regions, most: int | None) -> Regions:
    """The first ``most`` regions of an image, as views; None keeps all."""
    return regions if most is None or len(regions.boxes) <= most else select(regions, slice(most))


def distinct_rows(boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """(K,) rows of (R, 4) boxes: each box once, at its first position."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return np.sort(first)


def joined(parts: Sequence[Regions]) -> Regions:
    """Several sets of regions of one image as one, in order. What one of them lacks (scores, classes), all lack."""
    if len(parts) == 1:
        return parts[0]
    optional: dict[str, Any] = {}
    for name in OPTIONAL:
        columns = [getattr(part, name) for part in parts]
        optional[name] = None if any(column is None for column in columns) else np.concatenate(columns)
    return replace(parts[0], boxes=np.concatenate([part.boxes for part in parts]), **optional)


@dataclass(frozen=True, slots=True)
class RegionBatch:
    """The regions of several images, padded, with the global region in row 0. R counts it.

    Attributes:
        features: (I, R, F) float16 or bfloat16, as the files have it; row 0 is the mean of all the image's features;
            zero beyond ``counts``.
        boxes: (I, R, 5) float32: x1/W, y1/H, x2/W, y2/H, area fraction; row 0 is (0, 0, 1, 1, 1); zero beyond.
        counts: (I,) int64 number of rows that hold something, the global one included.
    """

    features: torch.Tensor
    boxes: torch.Tensor
    counts: torch.Tensor
