"""Selects boxes: non-maximum suppression within each class, for all classes at once.

All classes share one graph of overlapping boxes and differ in which box of a pair has the higher score. The boxes that
survive in a class are the unique fixed point of "a box is dropped if a better box that overlaps it is kept". It is
computed for all classes together, 64 in a machine word, in as many rounds as the longest chain of such boxes. The
result equals one call of ``torchvision.ops.nms`` per class, bit for bit, ties included.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.regions.detectors.x152.proposals import closed

OVERLAP = 0.5
"""IoU above which the weaker of two boxes is dropped."""

_AT_ONCE = 2**25
"""Largest number of pairs times classes in memory together."""


def select(
    boxes: Tensor, probabilities: Tensor, most: int, threshold: float = 0.0, *, background: bool = False
) -> tuple[Tensor, Tensor]:
    """The boxes with the highest probability of a class in which they survive.

    Args:
        boxes: (R, 4) float32 xyxy, pixels of the original image.
        probabilities: (R, 1 + C) float32, background first.
        most: number of boxes to keep.
        threshold: only probabilities above it count.
        background: treat background as a class.

    Returns:
        The rows kept, (K,) int64, best first, and their scores, (K,) float32: the highest probability that counts, or
        0. Rows of equal score keep their order.
    """
    scores = probabilities if background else probabilities[:, 1:]
    counts = survivors(boxes, scores).to(scores.device) & (scores > threshold)
    best = torch.where(counts, scores, 0).amax(dim=1)
    ranked, rows = best.sort(descending=True, stable=True)
    return rows[:most], ranked[:most]


def survivors(boxes: Tensor, scores: Tensor, overlap: float = OVERLAP) -> Tensor:
    """(R, C) bool: whether each of (R, 4) boxes survives in each class, given (R, C) scores. Runs on the CPU."""
    boxes, scores = boxes.cpu(), scores.cpu()
    first, second = _overlapping(closed(boxes), overlap)
    classes = scores.shape[1]
    everywhere = _packed(np.ones((len(boxes), classes), dtype=np.bool_))
    if not len(first):
        return torch.ones_like(scores, dtype=torch.bool)
    # Whether the earlier row of each pair has the higher score, or an equal one.
    size = max(1, _AT_ONCE // classes)
    parts = zip(torch.split(first, size), torch.split(second, size), strict=True)
    leads = np.concatenate([_packed((scores[one] >= scores[other]).numpy()) for one, other in parts])
    stays = _fixed_point(first.numpy(), second.numpy(), leads, everywhere)
    bits = np.unpackbits(stays.view(np.uint8), axis=1, count=classes)
    return torch.from_numpy(bits.astype(np.bool_))


def _overlapping(boxes: Tensor, overlap: float) -> tuple[Tensor, Tensor]:
    """(E,) rows and (E,) later rows of the overlapping pairs, in the arithmetic of ``torchvision.ops.nms``."""
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
    """(R, W) the classes in which each box survives.

    Args:
        first, second: (E,) rows of the overlapping pairs.
        leads: (E, W) the classes in which the first of a pair has the higher score.
        everywhere: (R, W) all classes, for every box.
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
