"""The regions of images: boxes, features and detector output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of one image, without the global region, which the batch adds.

    Attributes:
        image_id: id with its source, e.g. ``coco/391895``.
        width, height: size of the image in pixels.
        boxes: (R, 4) float32 x1, y1, x2, y2 in pixels.
        features: (R, F) float16, or the bits of bfloat16 in uint16 (:mod:`twelve.types.half_precision`), as a view of
            the memory map. None for files with boxes only.
        scores: (R,) float32 detector confidence in 0..1, or None.
        class_ids: (R,) int16 detector class, or None.
        class_probabilities: (R, C) float16 distribution over detector classes (for pretraining), or None.
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


class RegionReader(Protocol):
    """What reads the regions of images: from files, from memory, or of other images (a baseline)."""

    def get(self, image_id: str, max_regions: int | None = None, *, given: bool = False) -> Regions: ...

    def gather(
        self, image_ids: Sequence[str], max_regions: int | None = None, *, given: bool = False
    ) -> RegionBatch: ...


def first_regions(regions: Regions, most: int | None) -> Regions:
    """The first ``most`` regions of an image, as views; None keeps all."""
    return regions if most is None or len(regions.boxes) <= most else select(regions, slice(most))


def distinct_rows(boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """(K,) rows of (R, 4) boxes: each box once, at its first position."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return np.sort(first)


def joined(parts: Sequence[Regions]) -> Regions:
    """Concatenate sets of regions of one image. A field that one of them lacks (scores, classes) is dropped."""
    if len(parts) == 1:
        return parts[0]
    optional: dict[str, Any] = {}
    for name in OPTIONAL:
        columns = [getattr(part, name) for part in parts]
        optional[name] = None if any(column is None for column in columns) else np.concatenate(columns)
    return replace(parts[0], boxes=np.concatenate([part.boxes for part in parts]), **optional)


@dataclass(frozen=True, slots=True)
class RegionBatch:
    """The padded regions of several images. Row 0, counted in R, is the global region.

    Attributes:
        features: (I, R, F) float16 or bfloat16, as stored; row 0 is the mean of the image's features; zero in padding.
        boxes: (I, R, 5) float32 x1/W, y1/H, x2/W, y2/H, area fraction; row 0 is (0, 0, 1, 1, 1); zero in padding.
        counts: (I,) int64 number of rows that are not padding, including the global one.
    """

    features: torch.Tensor
    boxes: torch.Tensor
    counts: torch.Tensor
