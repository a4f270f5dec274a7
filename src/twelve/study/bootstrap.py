"""Two-level bootstrap intervals: seeds are resampled, and whole clusters of examples of every task in each seed.

Arms that are evaluated on the same examples are resampled with the same draws, so differences are paired. A resample
has one seed less than there are. This makes the variance over seeds right on average; with as many seeds as there are,
it would be too small by one over their number (McCarthy and Snowden, The Bootstrap and Finite Population Sampling,
1985).

Axes: S seeds, A arms, N examples, G clusters, R resamples, D seeds in a resample.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from twelve.metrics.bootstrap import Interval, percentiles

Array = NDArray[np.float64]
CHUNK = 4_000_000
"""Weights that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One task in one seed.

    Attributes:
        values: (A, N) contribution of each example to the score, 0..1, in every arm.
        groups: (N,) examples of one cluster are resampled together.
        baseline, upper_bound: scores, 0..1, that are 0 and 1 on the common scale.
    """

    values: Array
    groups: Sequence[str]
    baseline: float
    upper_bound: float

    def closed(self, means: Array) -> Array:
        """Normalised scores as shares: 0 at the baseline, 1 at the upper bound."""
        return (means - self.baseline) / (self.upper_bound - self.baseline)


@dataclass(frozen=True, slots=True)
class Resampled:
    """Means over the seeds.

    Attributes:
        points: task -> (R, A) scores, 0..1.
        closed: task -> (R, A) normalised scores as shares.
    """

    points: Mapping[str, Array]
    closed: Mapping[str, Array]

    @property
    def main_measure(self) -> Array:
        """(R, A) means over the tasks, on the common scale."""
        means: Array = np.stack([*self.closed.values()]).mean(0)
        return means


def observed(cells: Mapping[str, Sequence[Sampled]]) -> Resampled:
    """The observed values: each of the S "resamples" is a seed."""
    points = {task: np.stack([cell.values.mean(1) for cell in row]) for task, row in cells.items()}
    closed = {task: np.stack([cell.closed(cell.values.mean(1)) for cell in row]) for task, row in cells.items()}
    return Resampled(points, closed)


def two_level(
    cells: Mapping[str, Sequence[Sampled]], *, resamples: int = 2000, shared: bool, seed: int = 0
) -> Resampled:
    """Resample seeds, the same for every task, and the clusters of each task in every drawn seed.

    Args:
        cells: task -> one cell for each seed.
        shared: all seeds are evaluated on the same examples, so one draw of clusters is used for all of them; else
            every drawn seed has a draw of its own.
    """
    rng = np.random.default_rng(seed)
    count = len(next(iter(cells.values())))
    draws = rng.integers(0, count, (resamples, max(1, count - 1)))
    points, closed = {}, {}
    for task, row in cells.items():
        means = _shared(row, draws, rng) if shared else _own(row, draws, rng)
        points[task] = means.mean(1)
        baselines, upper_bounds = (
            np.array([getattr(cell, name) for cell in row]) for name in ("baseline", "upper_bound")
        )
        low, high = baselines[draws][..., None], upper_bounds[draws][..., None]
        closed[task] = ((means - low) / (high - low)).mean(1)
    return Resampled(points, closed)


def interval(samples: Array, mean: float, level: float = 0.95) -> Interval:
    """Percentile interval of resampled means (R,)."""
    low, high = percentiles(samples, level)
    return Interval(mean, float(low), float(high))


def t_interval(seeds: Sequence[float]) -> Interval | None:
    """Student's 95% interval of the mean of (S,) values, one of each seed; None for one seed."""
    if (count := len(seeds)) < 2:
        return None
    mean = float(np.mean(seeds))
    half = t_quantile(count - 1) * float(np.std(seeds, ddof=1)) / count**0.5
    return Interval(mean, mean - half, mean + half)


def welch_interval(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Welch's 95% interval of the mean of (S,) values minus that of (T,) others, which are independent of them and may
    vary more or less; S and T are 2 or more (Welch, The Generalization of 'Student's' Problem, 1947)."""
    mean, counts = float(np.mean(first) - np.mean(second)), np.array([len(first), len(second)])
    errors = np.array([np.var(first, ddof=1), np.var(second, ddof=1)]) / counts
    if (error := float(errors.sum())) == 0:
        return Interval(mean, mean, mean)
    half = t_quantile(error**2 / float((errors**2 / (counts - 1)).sum())) * error**0.5
    return Interval(mean, mean - half, mean + half)


def t_quantile(freedom: float, level: float = 0.95) -> float:
    """What Student's t with this many degrees of freedom (at least 1, not only whole numbers) exceeds in size with the
    probability 1 - ``level``: by default, its 0.975 quantile."""
    x, area = _t_areas(freedom)
    return float(freedom**0.5 * np.tan(np.interp(level, area, x)))


def detected(count: int, power: float = 0.8) -> float:
    """The difference, in standard deviations between seeds, whose t interval over ``count`` seeds (2 or more) does not
    contain 0 in ``power`` of all studies; seeds are normally distributed."""
    freedom, ratios = count - 1, 0.006 * (np.arange(1000) + 0.5)
    # The measured standard deviation over the true one is a chi variable over the root of its degrees of freedom.
    logs = (freedom - 1) * np.log(ratios) - freedom * ratios**2 / 2  # a power alone overflows with many seeds
    weights = np.exp(logs - logs.max())
    half, below = (t_quantile(freedom) * ratios).tolist(), NormalDist().cdf
    low, high = 0.0, 20.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        shift = middle * count**0.5
        outside = np.array([below(shift - each) + below(-shift - each) for each in half])
        low, high = (low, middle) if weights @ outside >= power * weights.sum() else (middle, high)
    return high


def t_probability(seeds: Sequence[float]) -> float:
    """Two-sided p-value of the mean of (S,) values, S of 2 or more, by Student's t: below 0.05 where their
    :func:`t_interval` does not contain 0."""
    mean, error = float(np.mean(seeds)), float(np.std(seeds, ddof=1)) / len(seeds) ** 0.5
    return float(mean == 0) if error == 0 else beyond(mean / error, len(seeds) - 1)


def beyond(t: float, freedom: float) -> float:
    """The probability that Student's t with this many degrees of freedom (at least 1) exceeds ``t`` in size."""
    x, area = _t_areas(freedom)
    return 1 - float(np.interp(np.arctan(abs(t) / freedom**0.5), x, area))


@functools.cache  # a page asks hundreds of times for the same few
def _t_areas(freedom: float) -> tuple[Array, Array]:
    """Angles x from 0 to 90 degrees, and the probability that t = freedom ** 0.5 * tan(x) is not exceeded in size.

    The density of x is proportional to cos(x) ** (freedom - 1).
    """
    x = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(x).clip(0) ** (freedom - 1)
    area = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return x, area / area[-1]


def significant(gain: Interval, seeds: Sequence[float]) -> int:
    """1 or -1, the sign of a difference, where neither its bootstrap interval nor the t interval over its (S,) seeds,
    where that is known, contains 0; else 0."""
    return 0 if by_bootstrap_alone(gain, seeds) else sign(gain)


def by_bootstrap_alone(gain: Interval, seeds: Sequence[float]) -> bool:
    """Whether the bootstrap interval of a difference does not contain 0, while the t interval over its (S,) seeds,
    where that is known, does: not significant."""
    spread = t_interval(seeds)
    return spread is not None and sign(gain) != 0 and sign(spread) == 0


def between(samples: Array, seeds: Array) -> float | None:
    """How much of the variance of resampled means (R,) comes from the choice of seeds, per cent: that of the mean of
    one value less than the (S,) observed ones, drawn from them. None for one seed, or without variance.

    Where seeds have examples of their own, the observed values differ by these too.
    """
    total = float(samples.var())
    return min(100.0, 100 * float(seeds.var()) / (len(seeds) - 1) / total) if len(seeds) > 1 and total > 0 else None


def sign(interval: Interval) -> int:
    """1 or -1 where an interval does not contain 0, else 0."""
    return (interval.low > 0) - (interval.high < 0)


def _own(row: Sequence[Sampled], draws: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """(R, D, A) means, with a draw of clusters for every drawn seed."""
    means = np.empty((*draws.shape, len(row[0].values)))
    for number, cell in enumerate(row):
        where = np.nonzero(draws == number)
        sums, counts = _by_group(cell)
        found = [
            (weights @ sums) / (weights @ counts)[:, None] for weights in _weights(len(counts), len(where[0]), rng)
        ]
        means[where] = np.concatenate([np.empty((0, means.shape[2])), *found])
    return means


def _shared(row: Sequence[Sampled], draws: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """(R, D, A) means, with one draw of clusters for all seeds of a resample."""
    known = [_by_group(cell) for cell in row]
    sums, counts = np.stack([sums for sums, _ in known]), known[0][1]
    parts, start = [], 0
    for weights in _weights(len(counts), len(draws), rng):
        every = np.einsum("rg,sga->rsa", weights, sums, optimize=True) / (weights @ counts)[:, None, None]
        parts.append(np.take_along_axis(every, draws[start : start + len(weights), :, None], axis=1))
        start += len(weights)
    return np.concatenate(parts)


def _by_group(cell: Sampled) -> tuple[Array, Array]:
    """(G, A) sums of the values and (G,) numbers of examples, for clusters in sorted order."""
    _, index = np.unique(np.asarray(cell.groups), return_inverse=True)
    sums: Array = np.stack([np.bincount(index, weights=values) for values in cell.values], axis=1).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def _weights(groups: int, rows: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """(rows, G) how often each cluster is drawn, in chunks."""
    size = max(1, CHUNK // groups)
    chances = np.full(groups, 1 / groups)
    return (rng.multinomial(groups, chances, size=min(size, rows - start)) for start in range(0, rows, size))
