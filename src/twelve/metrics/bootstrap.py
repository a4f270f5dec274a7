"""Confidence intervals by resampling whole groups (images, or sentences whose images are near duplicates).

Examples of one image are not independent; resampling them one by one would give intervals that are too narrow
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its percentile interval, in the units of the values (0..1, or a difference of two scores)."""

    mean: float
    low: float
    high: float


def interval(
    values: NDArray[np.float64], groups: Sequence[str], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of ``values`` (N,), resampling whole groups with replacement.

    The mean of a resample is taken over its examples, so large groups weigh more, as they do in the score itself.
    """
    if len(values) != len(groups) or len(values) == 0:
        raise ValueError(
            f"expected at least one value and one group per value, found {len(values)} values and {len(groups)} groups"
        )
    # Not np.unique: NumPy pads every string to the longest, so one long id in a file could cost gigabytes.
    rows = {group: row for row, group in enumerate(sorted(set(groups)))}
    index = np.fromiter(map(rows.__getitem__, groups), dtype=np.int64, count=len(groups))
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    # In chunks: a resample is a vector as long as the number of groups.
    chunk = max(1, 4_000_000 // len(sums))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=size)
        means[start : start + size] = (weights @ sums) / (weights @ counts)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(np.mean(values)), float(low), float(high))
