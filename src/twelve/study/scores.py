"""The scores of a study's tasks, as observed and as resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twelve.errors import DataError
from twelve.evaluation.own_kinds import SEEN, UNSEEN
from twelve.metrics.bootstrap import Interval
from twelve.metrics.retrieval import of_size
from twelve.study.arms import Arm, Contrast
from twelve.study.bootstrap import Array, Resampled, Sampled, interval, observed, two_level
from twelve.study.finding_types import Curve, Part
from twelve.study.measures.errors import LEAST
from twelve.study.plan import EARLIER_GALLERY, Plan
from twelve.study.results import AGAIN, Result, read_result, result_file

EARLIER_METRIC = "R@1"
"""What results of retrieval called their metric before they said how many images were ranked."""
SHUFFLED = "shuffled images"
RESAMPLES_ALONE = 1000
"""Most resamples of each seed by itself: these intervals are only compared with 0."""
MODELS_OWN = (SHUFFLED,)
"""Baselines that depend on a model: those of the first arm's model count for all arms."""


class TaskResults:
    """The results of one task: seed -> arm -> result, checked to be on the same examples in all arms of a seed."""

    def __init__(self, plan: Plan, out: Path, name: str, seeds: Sequence[int], arms: Sequence[Arm]) -> None:
        self.name, base = name, plan.base(name).name
        self._plan = plan
        self.arms = tuple(arm.name for arm in arms if name in arm.tasks)
        self.results = {seed: {arm: read_result(plan, out, seed, arm, name) for arm in self.arms} for seed in seeds}
        self.bases = {
            seed: by_arm[base] if base in by_arm else read_result(plan, out, seed, base, name)
            for seed, by_arm in self.results.items()
        }
        for seed, by_arm in self.results.items():
            if self.bases[seed].baselines is None:
                file = result_file(out, seed, base, name)
                problem = "no baselines, which the first arm that trains a task has"
                raise DataError(problem, file=file, record="baselines", remedy=AGAIN)
            for arm, result in by_arm.items():
                if result.groups != self.bases[seed].groups:
                    file = result_file(out, seed, arm, name)
                    problem = f"of other examples than those of {base}"
                    raise DataError(problem, file=file, record="groups", remedy=AGAIN)

    @property
    def title(self) -> str:
        result = next(iter(self.bases.values()))
        return f"{result.title}, {self.metric}"

    @property
    def metric(self) -> str:
        """Its name; that of retrieval says the gallery, which earlier results did not."""
        metric = next(iter(self.bases.values())).metric
        if metric == EARLIER_METRIC and (gallery := self._plan.parsed().evaluation.gallery) == EARLIER_GALLERY:
            return of_size(metric, gallery)
        return metric

    @property
    def has_room(self) -> bool:
        return all(cell.upper_bound > cell.baseline for cell in self.cells())

    def by_seed(self, arm: str) -> list[Result] | None:
        """An arm's results, one per seed; None if it does not train the task."""
        return [by_arm[arm] for by_arm in self.results.values()] if arm in self.arms else None

    def cells(self, *, models_own: bool = True) -> list[Sampled]:
        """One a seed: values of all arms and, after them, those with shuffled images of all arms."""
        return [self._cell(seed, models_own) for seed in self.results]

    def _cell(self, seed: int, models_own: bool) -> Sampled:
        base, results = self.bases[seed], [self.results[seed][arm] for arm in self.arms]
        scores = [score for name, score in (base.baselines or {}).items() if models_own or name not in MODELS_OWN]
        upper_bound = 100.0 if base.upper_bound is None else base.upper_bound
        values = [result.values for result in results]
        values += [result.shuffled_values or result.values for result in results]
        return Sampled(np.array(values), base.groups, max(scores, default=0.0) / 100, upper_bound / 100)

    def parts(self) -> list[PartCells]:
        """The values of all arms on the examples that are like those of training, and on the others, for each kind that
        tells which are."""
        found, cells = [], self.cells()
        recorded = [base.kinds or {} for base in self.bases.values()]
        for kind in recorded[0]:
            if not all({*kinds.get(kind, ())} == {SEEN, UNSEEN} for kinds in recorded):
                continue
            for value in (SEEN, UNSEEN):
                rows = [np.flatnonzero(np.array(kinds[kind]) == value) for kinds in recorded]
                if sum(map(len, rows)) >= LEAST:
                    parts = [
                        replace(cell, values=cell.values[:, own], groups=[cell.groups[row] for row in own.tolist()])
                        for cell, own in zip(cells, rows, strict=True)
                    ]
                    shares = [len(own) / len(kinds[kind]) for own, kinds in zip(rows, recorded, strict=True)]
                    found.append(PartCells(kind, value == SEEN, float(np.mean(shares)), parts))
        return found

    def curves(self) -> list[Curve]:
        found = []
        for seed, by_arm in self.results.items():
            for arm, result in by_arm.items():
                if (recorded := result.recorded) is not None:
                    points = tuple((iteration, 100 * score) for iteration, score in recorded.curve)
                    norms = recorded.gradient_norms
                    found.append(Curve(arm, self.name, seed, points, recorded.events, norms, result.parts))
        return found


@dataclass(frozen=True, slots=True)
class PartCells:
    """One cell a seed, of a part of the examples; see :class:`Part`. ``share`` is 0..1."""

    kind: str
    seen: bool
    share: float
    cells: list[Sampled]


class Samples:
    """The observed scores of all tasks, and resampled ones; of every arm, and of every arm with shuffled images."""

    def __init__(self, plan: Plan, tasks: Sequence[TaskResults]) -> None:
        self.tasks = {task.name: task for task in tasks}
        resamples, shared = plan.parsed().evaluation.resamples, not plan.worlds

        def both(models_own: bool) -> tuple[Resampled, Resampled]:
            cells = {task.name: task.cells(models_own=models_own) for task in tasks}
            return observed(cells), two_level(cells, resamples=resamples, shared=shared)

        self.seen, self.drawn = both(True)
        self.free_seen, self.free_drawn = both(False)
        self.alone = _alone(tasks, min(resamples, RESAMPLES_ALONE))
        self.parts = {task.name: task.parts() for task in tasks}
        self.on_parts = {
            (name, part.kind, part.seen): (
                observed({name: part.cells}).points[name],
                two_level({name: part.cells}, resamples=resamples, shared=shared).points[name],
            )
            for name, parts in self.parts.items()
            for part in parts
        }

    def place(self, arm: str, task: str, *, shuffled: bool = False) -> int:
        arms = self.tasks[task].arms
        return arms.index(arm) + shuffled * len(arms)

    def mean(self, arm: str, tasks: Sequence[str]) -> Interval:
        """Mean of ``closed`` over tasks, per cent."""
        seen, drawn = (
            np.mean([each.closed[task][:, self.place(arm, task)] for task in tasks], axis=0)
            for each in (self.seen, self.drawn)
        )
        return interval_of(seen, drawn)

    def mean_seeds(self, arm: str, tasks: Sequence[str]) -> tuple[float, ...]:
        return seeds_of(np.mean([self.seen.closed[task][:, self.place(arm, task)] for task in tasks], axis=0))

    def difference(self, contrast: Contrast, task: str, scale: str) -> tuple[Array, Array]:
        """(S,) observed and (R,) resampled differences: of ``points``, ``closed``, or ``free``."""
        seen, drawn = {
            "points": (self.seen.points, self.drawn.points),
            "closed": (self.seen.closed, self.drawn.closed),
            "free": (self.free_seen.closed, self.free_drawn.closed),
        }[scale]
        return self._subtracted(contrast, task, seen[task]), self._subtracted(contrast, task, drawn[task])

    def _subtracted(self, contrast: Contrast, task: str, scores: Array) -> Array:
        """The difference of a contrast in (R, A) scores."""
        places = [self.place(arm, task) for arm in contrast.compared]
        signs = np.array((1.0, -1.0, -1.0, 1.0)[: len(places)])
        difference: Array = scores[:, places] @ signs
        return difference

    def by_part(self, contrast: Contrast, task: str) -> tuple[Part, ...]:
        """The difference of ``points`` on each part of the examples."""
        found = []
        for part in self.parts[task]:
            seen, drawn = (self._subtracted(contrast, task, each) for each in self.on_parts[task, part.kind, part.seen])
            found.append(Part(part.kind, part.seen, 100 * part.share, interval_of(seen, drawn), seeds_of(seen)))
        return tuple(found)

    def learned(self, arm: str, task: str) -> bool:
        """Whether the intervals of an arm's lead over the best baseline and, where that was measured, of what it
        gains from the correct image are above zero."""
        return self._is_learned(arm, task, self.seen, self.drawn)

    def learned_seeds(self, arm: str, task: str) -> tuple[bool, ...]:
        """The same of each seed by itself; empty for one seed."""
        return tuple(self._is_learned(arm, task, seen, drawn) for seen, drawn in self.alone)

    def _is_learned(self, arm: str, task: str, seen: Resampled, drawn: Resampled) -> bool:
        place = self.place(arm, task)
        advantage = interval_of(seen.closed[task][:, place], drawn.closed[task][:, place])
        looking = self._looking(arm, task, seen, drawn)
        return advantage.low > 0 and (looking is None or looking.low > 0)

    def looking(self, arm: str, task: str) -> Interval | None:
        """The score minus that with shuffled images; None if that was not measured."""
        return self._looking(arm, task, self.seen, self.drawn)

    def _looking(self, arm: str, task: str, seen: Resampled, drawn: Resampled) -> Interval | None:
        if any(
            result.shuffled is None or result.shuffled_values is None for result in self.tasks[task].by_seed(arm) or []
        ):
            return None
        place, other = self.place(arm, task), self.place(arm, task, shuffled=True)
        observed, samples = seen.points[task], drawn.points[task]
        return interval_of(observed[:, place] - observed[:, other], samples[:, place] - samples[:, other])


def _alone(tasks: Sequence[TaskResults], resamples: int) -> list[tuple[Resampled, Resampled]]:
    """The observed and the resampled scores of each seed by itself; empty for one seed."""
    every = {task.name: task.cells() for task in tasks}
    seeds = [{name: [cell] for name, cell in zip(every, row, strict=True)} for row in zip(*every.values(), strict=True)]
    if len(seeds) == 1:
        return []
    return [(observed(cells), two_level(cells, resamples=resamples, shared=True)) for cells in seeds]


def interval_of(seen: Array, drawn: Array) -> Interval:
    """Mean of (S,) observed values with the interval of (R,) resampled ones, per cent."""
    return interval(100 * drawn, 100 * float(seen.mean()))


def seeds_of(values: Array) -> tuple[float, ...]:
    """(S,) values, per cent."""
    return tuple(100 * float(value) for value in values)
