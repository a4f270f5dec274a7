"""Which groups of tasks to train together: predicted from affinities of tasks, and compared with what was measured.

A cell is a group of tasks and the set of groups that it is trained with, itself included. Its gain is its score there
minus its score alone. The prediction is TAG's (Fifty et al. 2021, section 3.3): the mean affinity of the others for it;
alone, 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np

from twelve.study.bootstrap import Array, interval

Set: TypeAlias = tuple[str, ...]
"""Names of groups, in a fixed order."""
Partition: TypeAlias = tuple[Set, ...]


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation of predictions and gains.

    Attributes:
        mean: of their means over the seeds.
        low, high, median: of the bootstrap. The median may be far from ``mean``: a resample has fewer seeds.
        seeds: of each seed.
    """

    mean: float
    low: float
    high: float
    median: float
    seeds: tuple[float, ...]


class CellOf(NamedTuple):
    """A group, and the groups that it is trained with, itself included."""

    group: str
    together: Set


def group_affinity(tasks: Sequence[str], affinity: Array, groups: Mapping[str, Sequence[str]]) -> Array:
    """(G, G) mean affinity of the tasks of one group for those of another; within a group, for its other tasks.

    Args:
        affinity: (T, T) of the task of a row for the task of a column, in the order of ``tasks``.

    Returns:
        Rows and columns in the order of ``groups``; NaN within a group of one task.
    """
    place = {task: number for number, task in enumerate(tasks)}
    found = np.full((len(groups), len(groups)), np.nan)
    for row, ours in enumerate(groups.values()):
        for column, theirs in enumerate(groups.values()):
            pairs = [affinity[place[one], place[other]] for one in ours for other in theirs if one != other]
            if pairs:
                found[row, column] = np.mean(pairs)
    return found


def cells(groups: Sequence[str]) -> list[CellOf]:
    """Every group in every set of at least two groups that holds it, small sets first."""
    return [
        CellOf(group, together)
        for size in range(2, len(groups) + 1)
        for together in combinations(groups, size)
        for group in together
    ]


def predicted(cell: CellOf, groups: Sequence[str], affinity: Array) -> float:
    """The predicted gain of a cell: the mean affinity (G, G) of the others for its group; 0 if there are none."""
    place = {group: number for number, group in enumerate(groups)}
    others = [affinity[place[other], place[cell.group]] for other in cell.together if other != cell.group]
    return float(np.mean(others)) if others else 0.0


def ranks(values: Array) -> Array:
    """(N,) ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Array = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


def spearman(first: Array, second: Array) -> float:
    """Rank correlation; NaN if one of the two is constant."""
    one, other = (ranks(values) - ranks(values).mean() for values in (first, second))
    size = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / size) if size > 0 else float("nan")


def rank_correlation(expected: Array, measured: Array, *, resamples: int = 2000, seed: int = 0) -> Correlation:
    """Rank correlation of predictions and gains, both means over seeds, with a bootstrap interval over seeds and cells.

    A resample has one seed less than there are (bootstrap.py), and as many cells as there are; those in which either
    side is constant are left out.

    Args:
        expected, measured: (S, C) of every cell in every seed; both are of the same seeds, or one has a single row.
    """
    rng = np.random.default_rng(seed)
    seeds, count = max(len(expected), len(measured)), expected.shape[1]
    one, other = (np.broadcast_to(values, (seeds, count)) for values in (expected, measured))
    found = []
    for _ in range(resamples):
        chosen, places = rng.integers(0, seeds, max(1, seeds - 1)), rng.integers(0, count, count)
        found.append(spearman(one[chosen].mean(0)[places], other[chosen].mean(0)[places]))
    samples = np.array(found)
    samples = samples[np.isfinite(samples)]
    mean, each = spearman(one.mean(0), other.mean(0)), tuple(map(spearman, one, other))
    if not len(samples):
        return Correlation(mean, float("nan"), float("nan"), float("nan"), each)
    around = interval(samples, mean)
    return Correlation(mean, around.low, around.high, float(np.median(samples)), each)


# --- partitions ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Ranked:
    """A partition of the groups into models.

    Attributes:
        expected: its predicted gain, a mean over the groups.
        gain: its measured one, points of normalised score, against each group alone.
    """

    partition: Partition
    expected: float
    gain: float


def partitions(items: Sequence[str], count: int) -> Iterator[Partition]:
    """Every partition into ``count`` sets, whose members are in the order of ``items``."""
    if not items:
        if count == 0:
            yield ()
        return
    *rest, last = items
    for smaller in partitions(rest, count - 1) if count else ():
        yield (*smaller, (last,))
    for smaller in partitions(rest, count):
        for place, own in enumerate(smaller):
            yield (*smaller[:place], (*own, last), *smaller[place + 1 :])


def ranked(groups: Sequence[str], count: int, affinity: Array, gains: Mapping[CellOf, float]) -> list[Ranked]:
    """All partitions into ``count`` models, the one with the best prediction first.

    Args:
        affinity: (G, G), see :func:`group_affinity`.
        gains: measured gain of every cell with more than one group.
    """
    found = []
    for partition in partitions(groups, count):
        own = [CellOf(group, together) for together in partition for group in together]
        expected = float(np.mean([predicted(cell, groups, affinity) for cell in own]))
        gain = float(np.mean([gains[cell] if len(cell.together) > 1 else 0.0 for cell in own]))
        found.append(Ranked(partition, expected, gain))
    return sorted(found, key=lambda each: -each.expected)
