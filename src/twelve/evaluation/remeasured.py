"""Intervals of a metric that is no mean over examples, such as an F1 score: a task computes it again on each resample.

The resamples are those of :mod:`twelve.metrics.bootstrap`: whole clusters, drawn with replacement. An example can be
in one several times, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twelve.errors import one_line
from twelve.evaluation.parts import divided
from twelve.evaluation.results import Baseline, ScoredPart
from twelve.metrics.bootstrap import SHARE, Interval, numbered, percentiles, widened
from twelve.outputs import Output
from twelve.types.examples import Example
from twelve.types.measurement import Measurement
from twelve.types.predictions import Prediction

ROUNDED = 0.02
"""Largest difference, in points, between a mean over examples and the same number as an official program rounds it."""
MOST_EXAMPLES, FEWEST_RESAMPLES = 1_000_000, 200
"""Most examples in all resamples together, because a task's own code is slow, and fewest resamples nevertheless."""
MOST_FAILED = 0.05
"""Largest share of resamples on which the metric may fail, as where a small one has no positive example."""
OURS = ""
"""Name of the model among its baselines."""

Measured = Callable[[Sequence[Prediction], Sequence[Example]], Measurement]


def is_mean(found: Measurement) -> bool:
    """Whether the headline metric is the mean of the examples' contributions, but for rounding."""
    return abs(found.headline - 100 * float(np.mean(found.per_example))) <= ROUNDED


@dataclass(frozen=True, slots=True)
class Remeasured:
    """A metric of predictions, of the model and of its baselines, on resamples of the same examples.

    Attributes:
        measured: measures predictions of examples, which it gets in this order.
        examples, groups: the measured examples, and what each belongs to.
        predictions: baseline, or OURS, -> lists of predictions, whose metrics are averaged.
        resamples: most resamples.
    """

    measured: Measured
    examples: Sequence[Example]
    groups: Sequence[str]
    predictions: Mapping[str, Sequence[Sequence[Prediction]]]
    resamples: int

    def intervals(self) -> tuple[Interval, dict[str, Interval]] | str:
        """The interval of the score, and that of the lead over each baseline, per cent; or why there are none."""
        return self._compared(np.arange(len(self.examples)), tuple(self.predictions))

    def parts(self, output: Output) -> tuple[ScoredPart, ...]:
        """The metric on every kind of example that occurs often enough (evaluation/parts.py), and the best baseline
        there. A part on which it fails is left out."""
        found = []
        for (kind, value), mask in zip(*divided(output, self.examples, self.groups), strict=True):
            rows = np.flatnonzero(mask)
            try:
                scores = {name: self._score(name, rows) for name in self.predictions}
            except Exception:  # the task's own code
                continue
            if not np.isfinite([*scores.values()]).all():
                continue
            best = max((name for name in scores if name != OURS), key=lambda name: scores[name], default=None)
            compared = self._compared(rows, (OURS,) if best is None else (OURS, best))
            if isinstance(compared, str):
                continue
            score, leads = compared
            baseline = None if best is None else Baseline(best, scores[best], leads[best])
            groups = len({self.groups[int(row)] for row in rows})
            found.append(ScoredPart(kind, value, len(rows), groups, score, baseline))
        return tuple(found)

    def _score(self, name: str, rows: NDArray[np.int64]) -> float:
        examples = [self.examples[row] for row in rows]
        lists = ([each[row] for row in rows] for each in self.predictions[name])
        return float(np.mean([self.measured(each, examples).headline for each in lists]))

    def _compared(self, rows: NDArray[np.int64], names: Sequence[str]) -> tuple[Interval, dict[str, Interval]] | str:
        """Intervals on some of the examples, of the model and its leads over the named baselines; or why there are
        none."""
        index = numbered([self.groups[row] for row in rows])
        count = int(index.max()) + 1
        number = min(self.resamples, max(FEWEST_RESAMPLES, MOST_EXAMPLES // len(rows)))
        rng, values, problem = np.random.default_rng(0), np.full((number, len(names)), np.nan), ""
        for each in range(number):
            drawn = np.repeat(rows, rng.multinomial(count, np.full(count, 1 / count))[index])
            try:
                values[each] = [self._score(name, drawn) for name in names]
            except Exception as error:  # the task's own code
                problem = problem or one_line(f"{type(error).__name__}: {error}")[:200]
        known = np.isfinite(values).all(axis=1)
        if 1 - known.mean() > MOST_FAILED:
            failed = f"{int((~known).sum()):,} of {number:,}"
            return f"it cannot be computed on {failed} resamples ({problem or 'it is not finite there'})"
        whole, kept = [self._score(name, rows) for name in names], values[known]
        ours = names.index(OURS)
        score = _interval(whole[ours], kept[:, ours], count, SHARE)
        return score, {
            name: _interval(whole[ours] - whole[column], kept[:, ours] - kept[:, column], count, (-1.0, 1.0))
            for column, name in enumerate(names)
            if column != ours
        }


def unknown(mean: float, *, lead: bool) -> Interval:
    """The widest interval that a score in per cent, or a lead, can have: of one that cannot be computed."""
    return Interval(mean, min(mean, -100.0 if lead else 0.0), max(mean, 100.0))


def _interval(mean: float, samples: NDArray[np.float64], groups: int, bounds: tuple[float, float]) -> Interval:
    """The percentile interval of samples; all in per cent, but for ``bounds``, in 0..1."""
    low, high = map(float, percentiles(samples))
    found = widened(Interval(mean / 100, low / 100, high / 100), groups, level=0.95, bounds=bounds)
    return Interval(mean, 100 * found.low, 100 * found.high)
