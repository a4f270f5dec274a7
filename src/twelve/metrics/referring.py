"""Whether a predicted box matches the referred object: intersection over union of at least 0.5.

The official programs define overlap differently, so each convention has a name. The default is the Google toolbox's
(mjhucla/Google_Refexp_toolbox; Mao et al. 2016). Boxes are x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

Box: TypeAlias = Sequence[float]
THRESHOLD = 0.5


def iou(a: Box, b: Box) -> float:
    """The Google toolbox's IoU of two boxes, xyxy, on plain areas; 0 for boxes without area.

    Examples:
        >>> round(iou((0, 0, 10, 10), (5, 0, 15, 10)), 3)
        0.333
    """
    return _iou(a, b)


def iou_mattnet(a: Box, b: Box) -> float:
    """MAttNet's IoU (Yu et al. 2018), where overlaps of at most one pixel in width or height count as none."""
    return _iou(a, b, least=1)


def iou_inclusive(a: Box, b: Box) -> float:
    """The original 12-in-1 code's IoU, where a box includes both edge pixels: its width is x2 - x1 + 1."""
    return _iou(a, b, edge=1)


def _iou(a: Box, b: Box, edge: float = 0, least: float = 0) -> float:
    width, height = (min(a[end], b[end]) - max(a[end - 2], b[end - 2]) + edge for end in (2, 3))
    if width <= least or height <= least:
        return 0.0
    area_a, area_b = ((box[2] - box[0] + edge) * (box[3] - box[1] + edge) for box in (a, b))
    return width * height / (area_a + area_b - width * height)


CONVENTIONS: Mapping[str, Callable[[Box, Box], bool]] = MappingProxyType(
    {
        "google": lambda a, b: iou(a, b) >= THRESHOLD,
        "mattnet": lambda a, b: iou_mattnet(a, b) >= THRESHOLD,
        "original": lambda a, b: iou_inclusive(a, b) > THRESHOLD,
    }
)
"""Name of a program -> its test of a predicted box. ``original`` requires an IoU above 0.5."""


PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "google": "IoU of at least 0.5, plain areas, as the Google toolbox",
        "mattnet": "IoU of at least 0.5, the last pixel belongs to a box, as MAttNet",
        "original": "IoU of more than 0.5, both edge pixels belong to a box, as the original 12-in-1 code",
    }
)
"""Descriptions of the conventions."""


def hits(predicted: Sequence[Box], referred: Sequence[Box], convention: str = "google") -> list[bool]:
    """Whether each predicted box is correct.

    Args:
        predicted, referred: N boxes each, xyxy.
        convention: one of :data:`CONVENTIONS`.

    Examples:
        >>> hits([(0, 0, 10, 10)], [(0, 0, 10, 20)]), hits([(0, 0, 10, 10)], [(0, 0, 10, 20)], "original")
        ([True], [True])
    """
    right = CONVENTIONS[convention]
    return [right(prediction, truth) for prediction, truth in zip(predicted, referred, strict=True)]


def first_hits(
    k: int, ranked: Sequence[Sequence[Box]], referred: Sequence[Box], convention: str = "google"
) -> list[bool]:
    """Whether any of the first ``k`` boxes is correct; False where there is no box."""
    right = CONVENTIONS[convention]
    return [any(right(box, truth) for box in boxes[:k]) for boxes, truth in zip(ranked, referred, strict=True)]
