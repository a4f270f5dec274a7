"""A second analysis of the means over all tasks. All arms share their seeds, so arms and seeds are a two-way layout,
whose residual tells how much a score varies (randomised blocks; Fisher, The Design of Experiments, 1935). With A arms
and S seeds, it has (A - 1) (S - 1) degrees of freedom; the t interval of one difference has S - 1.

It assumes that the residuals of all arms vary alike, and changes no verdict of a study. The largest share that an arm
has in their sum of squares shows whether one varies more than the others (Cochran, The Distribution of the Largest of a
Set of Estimated Variances, 1941). The ratio of the largest to the smallest would not: a residual of one arm is one of
the others, too, so with four arms that ratio is about 3 however much one of them varies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twelve.metrics.bootstrap import Interval
from twelve.study.bootstrap import Array, beyond, t_quantile
from twelve.study.cells import UNCOUNTED, gain_of, table
from twelve.study.finding_types import Findings
from twelve.study.multiple import ERROR, adjusted

LEAST_ARMS = 3
"""Of two arms, the analysis is the t interval over the seeds."""
LAYOUTS = 2000
"""Simulated layouts whose arms vary alike, with which :attr:`Pooled.share` is compared."""
ROUNDING = 1e-9
"""Points: smaller residuals are errors of rounding."""
REMAINS = " §"
"""After a difference that remains significant after Holm's correction by this analysis."""
SAID = (
    "A second analysis, which changes neither the answer nor another table. All arms share their seeds, so one "
    "residual variance (of normalised score ~ arm + seed) serves all differences, if it is the same in every arm."
)


@dataclass(frozen=True, slots=True)
class Pooled:
    """The residual of a layout of arms and seeds.

    Attributes:
        arms, seeds: how many.
        error: standard deviation of the residual, in the units of the scores.
        most: the arm whose residuals vary most; ``share``: its part of their sum of squares, per cent.
        by_chance: the largest share that 5% of layouts of this size exceed if all arms vary alike.
    """

    arms: int
    seeds: int
    error: float
    most: str
    share: float
    by_chance: float

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the residual."""
        return (self.arms - 1) * (self.seeds - 1)

    @property
    def unlike(self) -> bool:
        """Whether the arms vary too differently to be pooled."""
        return self.share > self.by_chance

    def difference(self, mean: float, arms: int = 2) -> tuple[Interval, float]:
        """The 95% interval of a difference of two arms, or of two differences (four arms), and its two-sided
        p-value."""
        error = self.error * (arms / self.seeds) ** 0.5
        half = t_quantile(self.freedom) * error
        return Interval(mean, mean - half, mean + half), beyond(mean / error, self.freedom)


def pooled(scores: Mapping[str, Sequence[float]]) -> Pooled | None:
    """The residual of the scores of arms in S seeds. Arms with equal scores count once. None if there are fewer than
    two arms or two seeds, or the residual is 0.

    Args:
        scores: arm -> (S,) scores, of the same tasks in the same seeds.

    Raises:
        ValueError: an arm lacks a seed, or a score is not a number.
    """
    if len({*map(len, scores.values())}) > 1 or not all(np.isfinite(seeds).all() for seeds in scores.values()):
        raise ValueError("expected a score of every arm in every seed, found gaps")
    distinct = dict[tuple[float, ...], str]()
    for arm, own in scores.items():
        distinct.setdefault(tuple(np.round(own, 9).tolist()), arm)
    names = [*distinct.values()]
    if len(names) < 2 or len(scores[names[0]]) < 2:
        return None
    layout = np.array([scores[name] for name in names])
    squares, (arms, seeds) = _squares(layout), layout.shape
    error = float(squares.sum() / (arms - 1) / (seeds - 1)) ** 0.5
    if error < ROUNDING:
        return None
    alike = np.random.default_rng(0).standard_normal((LAYOUTS, arms, seeds))
    return Pooled(
        arms=arms,
        seeds=seeds,
        error=error,
        most=names[int(squares.argmax())],
        share=float(_share(squares)),
        by_chance=float(np.quantile(_share(_squares(alike)), 1 - ERROR)),
    )


def _squares(layout: Array) -> Array:
    """(..., A) sum of the squared residuals of each arm, of layouts (..., A, S)."""
    within = layout - layout.mean(-1, keepdims=True)
    squares: Array = ((within - within.mean(-2, keepdims=True)) ** 2).sum(-1)
    return squares


def _share(squares: Array) -> Array:
    """(...) the largest of (..., A) values, per cent of their sum."""
    share: Array = 100 * squares.max(-1) / squares.sum(-1)
    return share


def by_pooling(found: Findings) -> str:
    """The differences over all tasks with intervals and p-values of the pooled residual, in a table after what it
    assumes; empty if an arm lacks a task, no difference is over all tasks, or there are fewer than three arms or two
    seeds."""
    tasks = {row.name for row in found.rows}
    compared = [each for each in found.comparisons if {cell.task for cell in each.cells} == tasks]
    if not compared or not all(tasks <= {*arm.tasks} for arm in found.arms):
        return ""
    layout = pooled(found.closed_seeds)
    if layout is None or layout.arms < LEAST_ARMS:
        return ""
    known = [layout.difference(each.every.mean, len(each.contrast.compared)) for each in compared]
    family = [p for each, (_, p) in zip(compared, known, strict=True) if not each.uncounted]
    corrected = iter(adjusted(family))
    rows = []
    for each, (gain, p) in zip(compared, known, strict=True):
        cells = [each.contrast.name, gain_of(gain), _shown(p)]
        if each.uncounted:
            rows.append([cells[0], cells[1] + UNCOUNTED, cells[2], ""])
        else:
            after = next(corrected)
            remains = len(family) > 1 and after <= ERROR and not layout.unlike
            rows.append([cells[0], cells[1] + REMAINS * remains, cells[2], _shown(after)])
    header = ["difference", "normalised score, all tasks, pooled", "p", "p after Holm's correction"]
    return "\n\n".join([f"{SAID} {_told(layout)}", table(header, rows), *_marks(rows)])


def _told(layout: Pooled) -> str:
    """The size of the residual, and whether the arms vary alike, in sentences."""
    return (
        f"The residual has a standard deviation of {layout.error:.1f} points and {layout.freedom} degrees of freedom. "
        f"The largest part of its sum of squares is that of {layout.most}, {layout.share:.0f}%; if all arms vary "
        f"alike, this part is at most {layout.by_chance:.0f}% in 95% of studies of this size."
        + " So they hardly vary alike: do not trust this table, in which no difference is marked as significant."
        * layout.unlike
    )


def _marks(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """What the marks of a table say, in a paragraph; nothing without marks."""
    marks = {
        REMAINS: "significant after Holm's correction, by this analysis",
        UNCOUNTED: "not counted, as in the table of means",
    }
    told = [f"{mark.strip()}: {said}." for mark, said in marks.items() if any(row[1].endswith(mark) for row in rows)]
    if told:
        yield " ".join(told)


def _shown(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
