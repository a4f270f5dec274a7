"""Which of the classified boxes are kept: non-maximum suppression in every class, all classes at once.

The classes share one graph of the boxes that overlap; they differ in which box of a pair is the more certain. Which
boxes survive in a class is the only fixed point of "a box goes if a more certain one that overlaps it stays", and is
reached for all classes together in as many rounds as the longest chain of such boxes has links. The result is that of
one call of ``torchvision.ops.nms`` a class, bit for bit, ties included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twelve.regions.x152.proposals import closed

OVERLAP = 0.5
"""Of two boxes of one class that share more than this of their union, the less certain goes."""

_AT_ONCE = 2**25
"""Pairs of boxes times classes that are held in memory together."""


def select(
    boxes: Tensor, probabilities: Tensor, most: int, threshold: float = 0.0, *, background: bool = False
) -> tuple[Tensor, Tensor]:
    """The boxes that are the most certain of a class in which they survive.

    Args:
        boxes: (R, 4) float32 xyxy, pixels of the original picture.
        probabilities: (R, 1 + C) float32, background first.
        most: keep the best so many.
        threshold: probabilities must be larger than this to count.
        background: count background as a class.

    Returns:
        The rows kept, (K,) int64, best first, and what each is ranked by, (K,) float32: its largest probability that
        counts, or 0 where none does. Equal ones are in the order of their rows.
    """
    scores = probabilities if background else probabilities[:, 1:]
    counts = survivors(boxes, scores) & (scores > threshold)
    best = torch.where(counts, scores, 0).amax(dim=1)
    ranked, rows = best.sort(descending=True, stable=True)
    return rows[:most], ranked[:most]


def survivors(boxes: Tensor, scores: Tensor, overlap: float = OVERLAP) -> Tensor:
    """(R, C) bool: whether each of (R, 4) boxes survives in each class, given (R, C) scores."""
    first, second = _overlapping(closed(boxes), overlap)
    classes = max(1, _AT_ONCE // max(1, len(first)))
    parts = [_fixed_point(first, second, part) for part in torch.split(scores, classes, dim=1)]
    return torch.cat(parts, dim=1)


def _overlapping(boxes: Tensor, overlap: float) -> tuple[Tensor, Tensor]:
    """(E,) rows and (E,) later rows of the pairs that overlap, in the arithmetic of ``torchvision.ops.nms``."""
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    pairs = (shared / (area[:, None] + area[None, :] - shared) > overlap).triu(diagonal=1)
    first, second = pairs.nonzero(as_tuple=True)
    return first, second


def _fixed_point(first: Tensor, second: Tensor, scores: Tensor) -> Tensor:
    """(R, C) bool survivors of (R, C) scores, given the pairs that overlap."""
    stays = torch.ones_like(scores, dtype=torch.bool)
    leads = scores[first] >= scores[second]  # of equals, the earlier row leads
    moving = torch.arange(scores.shape[1], device=scores.device)
    while len(moving):
        now = stays[:, moving]
        goes = torch.zeros(now.shape, dtype=torch.int16, device=now.device)
        goes.index_add_(0, second, (now[first] & leads).short())
        goes.index_add_(0, first, (now[second] & ~leads).short())
        then = goes == 0
        changed = (then != now).any(dim=0).nonzero().flatten()
        stays[:, moving] = then
        moving, leads = moving[changed], leads[:, changed]
    return stays
