"""Recall and ranks of caption-image retrieval.

There is no official program; SCAN, VSE++ and ALBEF agree on the numbers computed here (UNITER's counts too many hits).
They leave ties to the order that a sort happens to give: here a tie counts against the model, so that equal scores for
everything earn nothing. Axes: C captions, I images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAPTIONS = 5
"""Captions of an image that are measured: the first five, as every published number has it."""
TIES = "counted against the model"
ALL = "all"
PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "1k": "the first 1,000 images of the split in file order",
        "1k-5fold": "five galleries of 1,000 images, in file order, averaged",
        "5k": "the first 5,000 images of the split in file order",
        ALL: "all images of the split",
    }
)
"""Galleries that numbers are published on."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Of one direction. ``r1``, ``r5``, ``r10`` in per cent; ranks count from 1."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    mean_rank: float


def text_to_image_ranks(scores: NDArray[np.floating[Any]], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank from 0 of every caption's own image.

    Args:
        scores: (C, I), higher is better. A score that is not a number loses against every other.
        target: (C,) column of each caption's own image.

    Returns:
        (C,) images other than the own one whose score is not lower.
    """
    own = scores[np.arange(len(target)), target]
    return np.asarray((~(scores < own[:, None])).sum(axis=1) - 1, dtype=np.int64)


def image_to_text_ranks(scores: NDArray[np.floating[Any]], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Best rank from 0 of any of every image's own captions.

    Returns:
        (I',) captions of other images that score no lower than the best own one, for the I' images that have any.
    """
    own = scores[np.arange(len(target)), target]
    best = np.full(scores.shape[1], -np.inf, dtype=scores.dtype)
    with np.errstate(invalid="ignore"):  # what is not a number is meant to spread
        np.maximum.at(best, target, own)
    at_least = (~(scores < best[None, :])).sum(axis=0)
    at_least -= np.bincount(target[~(own < best[target])], minlength=scores.shape[1])
    return np.asarray(at_least[np.unique(target)], dtype=np.int64)


def recall(ranks: NDArray[np.int64]) -> Recall:
    """Summary of ranks that count from 0."""
    r1, r5, r10 = (100 * float((ranks < k).mean()) for k in (1, 5, 10))
    return Recall(r1, r5, r10, float(np.floor(np.median(ranks)) + 1), float(ranks.mean() + 1))


def gallery_rows(images: Sequence[str], most: int | None, captions: int = CAPTIONS) -> list[int]:
    """Which captions are measured: of the first ``most`` images (None: of all), the first ``captions`` each.

    Args:
        images: the image of every caption, in file order.

    Returns:
        Rows of ``images``, in order.
    """
    count: dict[str, int] = {}
    rows = []
    for row, image in enumerate(images):
        if image not in count and most is not None and len(count) == most:
            continue
        count[image] = count.get(image, 0) + 1
        if count[image] <= captions:
            rows.append(row)
    return rows
