"""How many updates a task has in models that train it with different tasks, and their validation scores after equally
many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twelve.progress import with_sign
from twelve.study.arms import Contrast
from twelve.study.cells import table
from twelve.study.finding_types import Curve, Findings

LONGER = 1.05
"""Ratio of updates above which a run is longer: its learning rate is still high where that of the other one ends."""
SAID = (
    "Updates of each task in both arms of a difference, and validation scores after equally many. The last two "
    "columns, in points: the validation score of the first arm's kept model, minus the second arm's last score after "
    "at most as many updates of the task as the first arm made, and minus its best score until then."
)
CAVEAT = "The difference from the last score favours the first arm, whose kept model is the best of many validations"


@dataclass(frozen=True, slots=True)
class EqualUpdates:
    """One task of a contrast whose two models train different tasks; one value for each seed.

    Attributes:
        first, second: updates of the task in both arms.
        last: validation score of the first arm's kept model minus the last one of the second arm after at most
            ``first`` updates of the task, in points.
        best: the same minus the best validation score until then.
    """

    contrast: Contrast
    task: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    last: tuple[float, ...]
    best: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(second / first for first, second in zip(self.first, self.second, strict=True))


def equal_updates(found: Findings) -> list[EqualUpdates]:
    """Of every contrast of two arms, the tasks that their models train with different other tasks. Left out are tasks
    whose second arm recorded no curve, has fewer updates than the first one, or left the task out of some iterations,
    and arms that begin with a model that another arm has trained: their updates are not all that the task had."""
    return [each for contrast in _contrasts(found) for each in _of_contrast(found, contrast)]


def _contrasts(found: Findings) -> Iterator[Contrast]:
    for comparison in found.comparisons:
        contrast = comparison.contrast
        arms = [found.plan.arm(name) for name in contrast.compared]
        if contrast.than is None and all(arm.start_arm is None for arm in arms):
            yield contrast


def _of_contrast(found: Findings, contrast: Contrast) -> Iterator[EqualUpdates]:
    first, second = (found.plan.arm(name) for name in contrast.compared)
    curves = {(curve.task, curve.seed): curve for curve in found.curves if curve.arm == second.name}
    for row in found.rows:
        if row.name not in contrast.tasks or set(first.model_of(row.name)) == set(second.model_of(row.name)):
            continue
        one, other = row.scores[first.name], row.scores[second.name]
        read = [
            _until(curves.get((row.name, seed)), *updates)
            for seed, *updates in zip(found.seeds, one.updates, other.updates, strict=True)
        ]
        if all(read):
            last = tuple(kept - scores[-1] for kept, scores in zip(one.validation, read, strict=True))
            best = tuple(kept - max(scores) for kept, scores in zip(one.validation, read, strict=True))
            yield EqualUpdates(contrast, row.name, one.updates, other.updates, last, best)


def _until(curve: Curve | None, most: int, updates: int) -> list[float]:
    """The validation scores of a model after at most so many updates of a task; empty if they are not known.

    Args:
        updates: of the task in the whole run. It is trained in every iteration if the last validation, at the run's
            end, is after as many.
    """
    if curve is None or not curve.points or curve.points[-1][0] != updates or updates < most:
        return []
    return [score for iteration, score in curve.points if iteration <= most]


def by_updates(found: Findings) -> str:
    """A table of :func:`equal_updates` and what it means; empty if there are none."""
    every = equal_updates(found)
    if not every:
        return ""
    header = ["difference at equal updates", "task", "updates in the first arm, by seed"]
    header += ["in the second arm, by seed", "ratio, by seed"]
    header += ["validation score minus the last one, by seed", "minus the best one, by seed"]
    titles = {row.name: row.title for row in found.rows}
    rows = [
        [
            each.contrast.name,
            titles[each.task],
            *("; ".join(f"{count:,}" for count in counts) for counts in (each.first, each.second)),
            ", ".join(f"{ratio:.1f}" for ratio in each.ratios),
            _points(each.last),
            _points(each.best),
        ]
        for each in every
    ]
    caveat = CAVEAT
    falls = found.plan.parsed().optimizer.decay == "linear"
    if falls and any(ratio > LONGER for each in every for ratio in each.ratios):
        caveat += (
            f"; where the ratio is above {LONGER}, both differences favour it, because the second arm's learning rate "
            "has not yet fallen"
        )
    return "\n\n".join([SAID, table(header, rows), f"{caveat}."])


def _points(seeds: Sequence[float]) -> str:
    return ", ".join(map(with_sign, seeds))
