"""Recall and ranks of caption-image retrieval.

There is no official program; SCAN, VSE++ and ALBEF agree on the numbers computed here (UNITER counts too many hits).
They break ties by sort order; here a tie counts against the model, so a constant score earns nothing.
Axes: C captions, I images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAPTIONS = 5
"""Only the first five captions of an image are measured, as in all published numbers."""
TIES = "counted against the model"
ALL = "all"
GIVEN = "given"
PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "1k": "the first 1,000 images of the split in file order",
        "1k-5fold": "five galleries of 1,000 images, in file order, averaged",
        "5k": "the first 5,000 images of the split in file order",
        ALL: "all images of the split",
        GIVEN: "the images of the captions in the result file, whatever their number",
    }
)
"""Galleries: those of published numbers, and a result file's own."""
SIZES: Mapping[str, tuple[int, int]] = MappingProxyType({"1k": (1, 1000), "1k-5fold": (5, 1000), "5k": (1, 5000)})
"""Protocol -> (number of galleries, images in each); "all" has the split's images."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Scores of one direction: ``r1``, ``r5``, ``r10`` in per cent; ranks from 1."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    mean_rank: float


def text_to_image_ranks(scores: NDArray[np.floating[Any]], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank, from 0, of every caption's own image.

    Args:
        scores: (C, I), higher is better. NaN loses against every other score.
        target: (C,) column of each caption's own image.

    Returns:
        (C,) number of other images whose score is not lower.

    Examples:
        >>> import numpy as np
        >>> text_to_image_ranks(np.array([[0.9, 0.1], [0.8, 0.3]]), np.array([0, 1]))
        array([0, 1])
    """
    own = scores[np.arange(len(target)), target]
    return np.asarray((~(scores < own[:, None])).sum(axis=1) - 1, dtype=np.int64)


def image_to_text_ranks(scores: NDArray[np.floating[Any]], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Best rank, from 0, among every image's own captions.

    Args:
        scores: (C, I), higher is better. NaN loses against every other score.
        target: (C,) column of each caption's own image.

    Returns:
        (I',) number of other images' captions that score no lower than the best own one, for images with captions.
    """
    own = scores[np.arange(len(target)), target]
    best = np.full(scores.shape[1], -np.inf, dtype=scores.dtype)
    with np.errstate(invalid="ignore"):  # NaN must propagate
        np.maximum.at(best, target, own)
    at_least = (~(scores < best[None, :])).sum(axis=0)
    at_least -= np.bincount(target[~(own < best[target])], minlength=scores.shape[1])
    return np.asarray(at_least[np.unique(target)], dtype=np.int64)


def recall(ranks: NDArray[np.int64]) -> Recall:
    """Summarize ranks that count from 0.

    Examples:
        >>> import numpy as np
        >>> recall(np.array([0, 0, 3, 20]))
        Recall(r1=50.0, r5=75.0, r10=75.0, median_rank=2.0, mean_rank=6.75)
    """
    r1, r5, r10 = (100 * float((ranks < k).mean()) for k in (1, 5, 10))
    return Recall(r1, r5, r10, float(np.floor(np.median(ranks)) + 1), float(ranks.mean() + 1))


def of_size(name: str, *images: int) -> str:
    """The name of a metric of a gallery that is not a published one."""
    return f"{name} of {' and '.join(map(str, sorted(images)))}"


def averaged(galleries: Sequence[NDArray[np.int64]]) -> Recall:
    """The mean of the scores of several galleries, each given by its ranks."""
    each = np.array([(r.r1, r.r5, r.r10, r.median_rank, r.mean_rank) for r in map(recall, galleries)])
    return Recall(*each.mean(axis=0).tolist())


def gallery_rows(images: Sequence[str], most: int | None, captions: int = CAPTIONS) -> list[int]:
    """Select the measured captions: the first ``captions`` of each of the first ``most`` images (None: all images).

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


def galleries(images: Sequence[str], count: int, size: int | None) -> list[list[int]]:
    """The measured captions of ``count`` galleries of ``size`` images each, in file order; None: all images.

    Args:
        images: the image of every caption, in file order.

    Returns:
        Rows of ``images`` for each gallery; the last ones have less than ``size`` images, or none, if the images do not
        suffice.
    """
    rows = gallery_rows(images, None if size is None else count * size)
    place = {image: number for number, image in enumerate(dict.fromkeys(images[row] for row in rows))}
    parts: list[list[int]] = [[] for _ in range(count)]
    for row in rows:
        parts[0 if size is None else place[images[row]] // size].append(row)
    return parts
