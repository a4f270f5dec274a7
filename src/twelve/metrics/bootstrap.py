"""Confidence intervals: Wilson's of a share of right examples, one of each cluster; otherwise by resampling whole
clusters (images, or sentences whose images are near duplicates).

Examples of one image are not independent; resampling them one by one would give intervals that are too narrow
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).

Where every cluster has one example, which is right or wrong, nothing need be resampled: :func:`wilson` is more exact
for small samples. The percentile interval of 57 of 60 would reach to 100, which cannot be the share once errors were
seen.

If all clusters agree, as where every answer is right, every resample is the same, and the percentile interval has no
width, however few clusters there are. :func:`widened` then takes the bound of Wilson's score interval instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_NO_WIDTH = 1e-9
"""Largest width of an interval whose resamples differ by rounding alone."""
_PLACES = 12
"""Decimal places of bounds: sums of differences that cancel out leave about 1e-15, and then 0 would seem excluded."""
SHARE = (0.0, 1.0)
"""Bounds of a score, which may be a share of right examples; those of a difference of two scores are others."""


FEW = 10
"""With fewer clusters to resample, an interval is often too narrow."""
COVERED = {3: 88, 5: 81, 10: 92}
"""Clusters -> how many simulated 95% intervals that resample so many contain a true score of 70%, per cent; from
benchmarks/few_images.py."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its interval, in the units of the values (0..1, or a difference of two scores)."""

    mean: float
    low: float
    high: float


def interval(
    values: NDArray[np.float64],
    groups: Sequence[str],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] = SHARE,
) -> Interval:
    """Interval of the mean of ``values`` (N,): :func:`wilson` of values that are all 0 or 1, one of each cluster;
    otherwise the percentile interval from resampling whole clusters with replacement.

    The mean of a resample is taken over its examples, so large clusters weigh more, as they do in the score itself.

    Args:
        values: (N,) scores of examples.
        groups: (N,) what each belongs to, such as its image.
        resamples: how many; the same ``seed`` draws the same ones.
        level: share of the resamples' means inside the interval.
        bounds: of possible values: those of :func:`bounds_of_lead` for differences of two scores.

    Raises:
        ValueError: there are no values, or not one cluster for each.

    Examples:
        >>> import numpy as np
        >>> interval(np.array([1.0, 1.0, 0.0, 1.0]), ["a", "a", "b", "c"])
        Interval(mean=0.75, low=0.0, high=1.0)
        >>> found = interval(np.array([1.0, 1.0, 0.0, 1.0]), ["a", "b", "c", "d"])
        >>> round(found.low, 3), round(found.high, 3)
        (0.301, 0.954)
    """
    if len(values) != len(groups) or len(values) == 0:
        raise ValueError(
            f"expected at least one value and one group per value, found {len(values)} values and {len(groups)} groups"
        )
    index = numbered(groups)
    sums = np.bincount(index, weights=values)
    if bounds == SHARE and len(sums) == len(values) and _differ(values):
        return wilson(float(np.mean(values)), len(values), level=level)
    counts = np.bincount(index).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    # In chunks: a resample is a vector as long as the number of clusters.
    chunk = max(1, 4_000_000 // len(sums))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=size)
        means[start : start + size] = (weights @ sums) / (weights @ counts)
    low, high = percentiles(means, level)
    found = Interval(float(np.mean(values)), float(low), float(high))
    return widened(found, len(sums), level=level, bounds=bounds)


def percentiles(samples: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """(2, ...) bounds that contain the share ``level`` of (R, ...) resampled values, without those that are NaN; NaN
    where all are."""
    tail = (1 - level) / 2
    known = np.isfinite(samples).any(axis=0)
    bounds: NDArray[np.float64] = np.nanquantile(np.where(known, samples, 0), [tail, 1 - tail], axis=0).round(_PLACES)
    return np.where(known, bounds, np.nan)


def wilson(share: float, count: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share, 0..1, of ``count`` examples that are independent. It is wide enough for marks
    between 0 and 1 as well, which vary less.

    Examples:
        >>> found = wilson(0.95, 60)
        >>> round(found.low, 3), round(found.high, 3)
        (0.863, 0.983)
    """
    square = NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = (square * (share * (1 - share) / count + square / (4 * count * count))) ** 0.5 / (1 + square / count)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def is_share(values: NDArray[np.float64], groups: Sequence[str]) -> bool:
    """Whether :func:`interval` resamples nothing: every cluster has one example, which is right or wrong."""
    return len(set(groups)) == len(values) and bool(np.isin(values, (0.0, 1.0)).all())


def few_groups(count: int, unit: str = "images") -> str:
    """Why an interval that resamples this number of clusters cannot be trusted; empty if there are enough of them."""
    if count >= FEW:
        return ""
    numbers, shares = (f"{', '.join(map(str, most))} and {last}" for *most, last in (COVERED, COVERED.values()))
    return (
        f"expected at least {FEW} {unit} for an interval, found {count}: of simulated 95% intervals from {numbers} "
        f"{unit}, {shares} per cent contain the true score, 70%"
    )


def _differ(values: NDArray[np.float64]) -> bool:
    """Whether all values are 0 or 1, and both occur: :func:`widened` has the same interval where all are alike."""
    return bool(np.isin(values, (0.0, 1.0)).all() and 0 < values.sum() < len(values))


def widened(found: Interval, groups: int, *, level: float, bounds: tuple[float, float]) -> Interval:
    """The interval, if it has a width. Otherwise all clusters agree; how many of all clusters may not, is bounded by
    Wilson's score interval for 0 of G: at most z² / (G + z²), z = 1.96 for a level of 0.95. These clusters may have any
    value within ``bounds``. Of scores that are all 1, the lower end is G / (G + z²): 0.72 for 10, 0.96 for 100.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927), recommended for small
    samples by Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, Statistical Science 16 (2001).
    """
    if found.high - found.low > _NO_WIDTH:
        return found
    others = wilson(0.0, groups, level=level).high
    down, up = max(0.0, found.mean - bounds[0]), max(0.0, bounds[1] - found.mean)
    return Interval(found.mean, found.low - others * down, found.high + others * up)


def bounds_of_lead(baseline: NDArray[np.float64], *, known: bool) -> tuple[float, float]:
    """Bounds of a score in 0..1 minus a baseline's.

    Args:
        baseline: (N,) its values.
        known: they follow from the examples, as those of chance do, and are about the same in examples not seen: a
            score of at most 1 can lead a chance of 0.02 by 0.98. Otherwise a model gave them, and in examples not seen
            they may be anything in 0..1.
    """
    return (-float(baseline.max()), 1 - float(baseline.min())) if known else (-1.0, 1.0)


def part_intervals(
    values: NDArray[np.float64],
    groups: Sequence[str],
    parts: NDArray[np.bool_],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> list[Interval]:
    """:func:`interval` of the means of P parts of the values; those from resamples are all from the same ones.

    Args:
        values: (N,) values, or (P, N) where each part has values of its own.
        parts: (P, N) which values each part consists of; no part may be empty.
        bounds: of possible values, for each part; by default 0 and 1.

    Raises:
        ValueError: a part is empty.
    """
    if not parts.any(axis=1).all():
        raise ValueError("expected at least one value in each part, found an empty part")
    index = numbered(groups)
    count = int(index.max()) + 1
    inside = np.where(parts, values, 0.0)
    sums = np.stack([np.bincount(index, weights=row, minlength=count) for row in inside], axis=1)  # (G, P)
    sizes = np.stack([np.bincount(index, weights=row, minlength=count) for row in parts], axis=1)
    rng, means = np.random.default_rng(seed), np.empty((resamples, len(parts)))
    chunk = max(1, 4_000_000 // count)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        with np.errstate(invalid="ignore"):  # a resample can lack all clusters of a small part: 0 / 0
            means[start : start + size] = (weights @ sums) / (weights @ sizes)
    low, high = percentiles(means, level)
    found = inside.sum(axis=1) / parts.sum(axis=1)
    intervals = [Interval(*map(float, each)) for each in zip(found, low, high, strict=True)]
    several = np.count_nonzero(sizes, axis=0)
    each_bounds = [SHARE] * len(parts) if bounds is None else bounds
    rows = np.broadcast_to(values, parts.shape)
    return [
        wilson(each.mean, int(own), level=level)
        if limits == SHARE and own == part.sum() and _differ(row[part])
        else widened(each, int(own), level=level, bounds=limits)
        for each, own, limits, row, part in zip(intervals, several, each_bounds, rows, parts, strict=True)
    ]


def numbered(groups: Sequence[str]) -> NDArray[np.int64]:
    """(N,) number of each value's cluster, in the order of the clusters' names."""
    # Not np.unique: NumPy pads every string to the longest, so one long id in a file could cost gigabytes.
    rows = {group: row for row, group in enumerate(sorted(set(groups)))}
    return np.fromiter(map(rows.__getitem__, groups), dtype=np.int64, count=len(groups))
