"""Which of the classified boxes are kept: non-maximum suppression in every class, all classes at once.

The classes share one graph of the boxes that overlap; they differ in which box of a pair is the more certain. Which
boxes survive in a class is the only fixed point of "a box goes if a more certain one that overlaps it stays", and is
reached for all classes together, 64 in a machine word, in as many rounds as the longest chain of such boxes has links.
The result is that of one call of ``torchvision.ops.nms`` a class, bit for bit, ties included.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.regions.detectors.x152.proposals import closed

OVERLAP = 0.5
"""Of two boxes of one class that share more than this of their union, the less certain goes."""

_AT_ONCE = 2**25
"""Pairs of boxes times classes that are held in memory together."""


def select(
    boxes: Tensor, probabilities: Tensor, most: int, threshold: float = 0.0, *, background: bool = False
) -> tuple[Tensor, Tensor]:
    """The boxes that are the most certain of a class in which they survive.

    Args:
        boxes: (R, 4) float32 xyxy, pixels of the original image.
        probabilities: (R, 1 + C) float32, background first.
        most: keep the best so many.
        threshold: probabilities must be larger than this to count.
        background: count background as a class.

    Returns:
        The rows kept, (K,) int64, best first, and what each is ranked by, (K,) float32: its largest probability that
        counts, or 0 where none does. Equal ones are in the order of their rows.
    """
    scores = probabilities if background else probabilities[:, 1:]
    counts = survivors(boxes, scores).to(scores.device) & (scores > threshold)
    best = torch.where(counts, scores, 0).amax(dim=1)
    ranked, rows = best.sort(descending=True, stable=True)
    return rows[:most], ranked[:most]


def survivors(boxes: Tensor, scores: Tensor, overlap: float = OVERLAP) -> Tensor:
    """(R, C) bool: whether each of (R, 4) boxes survives in each class, given (R, C) scores. On the processor."""
    boxes, scores = boxes.cpu(), scores.cpu()
    first, second = _overlapping(closed(boxes), overlap)
    classes = scores.shape[1]
    everywhere = _packed(np.ones((len(boxes), classes), dtype=np.bool_))
    if not len(first):
        return torch.ones_like(scores, dtype=torch.bool)
    # Whether the earlier row of each pair is the more certain; of equals, it leads.
    size = max(1, _AT_ONCE // classes)
    parts = zip(torch.split(first, size), torch.split(second, size), strict=True)
    leads = np.concatenate([_packed((scores[one] >= scores[other]).numpy()) for one, other in parts])
    stays = _fixed_point(first.numpy(), second.numpy(), leads, everywhere)
    bits = np.unpackbits(stays.view(np.uint8), axis=1, count=classes)
    return torch.from_numpy(bits.astype(np.bool_))


def _overlapping(boxes: Tensor, overlap: float) -> tuple[Tensor, Tensor]:
    """(E,) rows and (E,) later rows of the pairs that overlap, in the arithmetic of ``torchvision.ops.nms``."""
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    pairs = (shared / (area[:, None] + area[None, :] - shared) > overlap).triu(diagonal=1)
    first, second = pairs.nonzero(as_tuple=True)
    return first, second


def _packed(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(N, C) flags as (N, W) words of 64 classes."""
    octets = np.packbits(flags, axis=1)
    return np.pad(octets, ((0, 0), (0, -octets.shape[1] % 8))).view(np.uint64)


def _fixed_point(
    first: NDArray[np.int64], second: NDArray[np.int64], leads: NDArray[np.uint64], everywhere: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """(R, W) the classes that each box survives in.

    Args:
        first, second: (E,) rows of the pairs that overlap.
        leads: (E, W) the classes in which the first of a pair is the more certain.
        everywhere: (R, W) every class, of every box.
    """
    above, below = np.concatenate((first, second)), np.concatenate((second, first))
    order = np.argsort(below, kind="stable")
    above, allowed = above[order], np.concatenate((leads, ~leads))[order]
    rows, starts = np.unique(below[order], return_index=True)
    stays = everywhere
    while True:
        now = everywhere.copy()
        now[rows] &= ~np.bitwise_or.reduceat(stays[above] & allowed, starts, axis=0)
        if np.array_equal(now, stays):
            return stays
        stays = now
