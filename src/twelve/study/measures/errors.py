"""Where two arms differ: their scores by kind of example, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twelve.metrics.bootstrap import Interval
from twelve.study.bootstrap import Array, Sampled, by_bootstrap_alone, interval, observed, significant, two_level

LEAST = 20
"""Fewest examples, in all seeds together, of a value that is compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two arms on the examples of one seed.

    Attributes:
        first, second: (N,) contribution of each example to the score of either arm, 0..1.
        groups: (N,) examples of one cluster are resampled together.
        kinds: kind -> (N,) value of each example.
    """

    first: Array
    second: Array
    groups: Sequence[str]
    kinds: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class KindDifference:
    """Two arms on the examples of one value of a kind; scores and their difference in per cent.

    Attributes:
        examples: of all seeds.
        gain: the first score minus the second; ``seeds``: the same of each seed.
        same: a kind before this one that has a value with exactly these examples; empty if there is none.
    """

    kind: str
    value: str
    examples: int
    first: float
    second: float
    gain: Interval
    seeds: tuple[float, ...]
    same: str = ""

    @property
    def significant(self) -> bool:
        """Whether neither interval of the gain contains 0 (bootstrap.py)."""
        return significant(self.gain, self.seeds) != 0

    @property
    def by_bootstrap_alone(self) -> bool:
        """Whether, of both intervals of the gain, only the t interval over the seeds contains 0."""
        return by_bootstrap_alone(self.gain, self.seeds)


def differences(seeds: Sequence[Compared], *, shared: bool, resamples: int = 2000) -> list[KindDifference]:
    """The differences of two arms for each kind and value that all seeds have.

    Args:
        shared: all seeds are evaluated on the same examples (bootstrap.py).
    """
    found, known = [], dict[tuple[bytes, ...], str]()
    for kind in [name for name in seeds[0].kinds if all(name in seed.kinds for seed in seeds)]:
        columns = [np.array(seed.kinds[kind]) for seed in seeds]
        for value in sorted(set.intersection(*(set(column.tolist()) for column in columns))):
            rows = [np.flatnonzero(column == value) for column in columns]
            if sum(map(len, rows)) >= LEAST:
                same = known.setdefault(tuple(own.tobytes() for own in rows), kind)
                each = _difference(kind, value, seeds, rows, shared, resamples)
                found.append(each if same == kind else replace(each, same=same))
    return found


def _difference(
    kind: str,
    value: str,
    seeds: Sequence[Compared],
    rows: Sequence[np.ndarray[tuple[int], np.dtype[np.int64]]],
    shared: bool,
    resamples: int,
) -> KindDifference:
    cells = [
        Sampled(np.stack([seed.first[own], seed.second[own]]), [seed.groups[row] for row in own.tolist()], 0.0, 1.0)
        for seed, own in zip(seeds, rows, strict=True)
    ]
    by_seed = 100 * observed({value: cells}).points[value]
    seen, gains = by_seed.mean(0), tuple((by_seed[:, 0] - by_seed[:, 1]).tolist())
    drawn = 100 * two_level({value: cells}, resamples=resamples, shared=shared).points[value]
    gain = interval(drawn[:, 0] - drawn[:, 1], float(seen[0] - seen[1]))
    return KindDifference(kind, value, sum(map(len, rows)), float(seen[0]), float(seen[1]), gain, gains)


def spread(found: Sequence[KindDifference]) -> dict[str, float]:
    """Kind -> standard deviation of the gain over its values, weighted by examples: how much the kind tells about where
    an arm wins."""
    kinds: dict[str, list[KindDifference]] = {}
    for each in found:
        kinds.setdefault(each.kind, []).append(each)
    result = {}
    for kind, own in kinds.items():
        gains, weights = np.array([each.gain.mean for each in own]), [each.examples for each in own]
        result[kind] = float(np.sqrt(np.average((gains - np.average(gains, weights=weights)) ** 2, weights=weights)))
    return result
