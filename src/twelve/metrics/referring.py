"""Is the predicted box the referred thing: intersection over union of at least one half.

The official programs differ in what an overlap is, so each convention has its name. The one that counts here is the
Google toolbox's (mjhucla/Google_Refexp_toolbox; Mao et al. 2016). Boxes are x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

Box: TypeAlias = Sequence[float]
THRESHOLD = 0.5


def iou(a: Box, b: Box) -> float:
    """Plain areas, as the Google toolbox; 0 for boxes without area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return _share(width * height, (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def iou_mattnet(a: Box, b: Box) -> float:
    """MAttNet's: the last pixel belongs to the box, but overlaps of one pixel or less are none (Yu et al. 2018)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 1 or height <= 1:
        return 0.0
    return _share(width * height, (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def iou_inclusive(a: Box, b: Box) -> float:
    """The original 12-in-1 code's: both edge pixels belong to a box, so widths are x2 - x1 + 1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    return _share(
        width * height,
        (a[2] - a[0] + 1) * (a[3] - a[1] + 1),
        (b[2] - b[0] + 1) * (b[3] - b[1] + 1),
    )


def _share(overlap: float, area_a: float, area_b: float) -> float:
    return overlap / (area_a + area_b - overlap)


CONVENTIONS: Mapping[str, Callable[[Box, Box], bool]] = MappingProxyType(
    {
        "google": lambda a, b: iou(a, b) >= THRESHOLD,
        "mattnet": lambda a, b: iou_mattnet(a, b) >= THRESHOLD,
        "original": lambda a, b: iou_inclusive(a, b) > THRESHOLD,
    }
)
"""When a predicted box is right, by the name of the program that decides so. ``original`` asks for more than half."""


PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "google": "IoU of at least 0.5, plain areas, as the Google toolbox",
        "mattnet": "IoU of at least 0.5, the last pixel belongs to a box, as MAttNet",
        "original": "IoU of more than 0.5, both edge pixels belong to a box, as the original 12-in-1 code",
    }
)
"""The conventions in words."""


def hits(predicted: Sequence[Box], referred: Sequence[Box], convention: str = "google") -> list[bool]:
    """Whether each predicted box is right."""
    right = CONVENTIONS[convention]
    return [right(prediction, truth) for prediction, truth in zip(predicted, referred, strict=True)]


def first_hits(
    k: int, ranked: Sequence[Sequence[Box]], referred: Sequence[Box], convention: str = "google"
) -> list[bool]:
    """Whether any of the first ``k`` boxes is right; none is where there is no box."""
    right = CONVENTIONS[convention]
    return [any(right(box, truth) for box in boxes[:k]) for boxes, truth in zip(ranked, referred, strict=True)]


def precision_at(k: int, ranked: Sequence[Sequence[Box]], referred: Sequence[Box]) -> float:
    """Google toolbox's precision@k in 0..1: any of the first ``k`` boxes is right."""
    found = first_hits(k, ranked, referred)
    return sum(found) / len(found)
