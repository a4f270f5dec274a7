"""The findings of a study, from the results of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twelve.errors import DataError
from twelve.metrics.bootstrap import Interval
from twelve.study.arms import ARMS, BASE
from twelve.study.bootstrap import Array, Cell, interval, observed, two_level
from twelve.study.plan import Plan
from twelve.study.results import AGAIN, Result, has_result, read_result, result_file

MODELS_OWN = ("shuffled images",)
"""Baselines that depend on a model: those of the base arm's model count for all arms."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an arm, a mean over the seeds: parameters of all its models, updates, seconds of training."""

    parameters: float
    updates: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One task, or the mean over all tasks (the endpoint). Scores and differences are percentages.

    Attributes:
        baseline, upper_bound: means over the seeds; None for the mean over tasks.
        scores: arm -> score; of the endpoint, the share of the way from baseline to upper bound.
        gains: arm -> the base arm's score minus the arm's.
        closed: the same differences as shares of the way from baseline to upper bound.
        seeds: arm -> ``closed`` of each seed.
    """

    name: str
    title: str
    baseline: float | None
    upper_bound: float | None
    scores: Mapping[str, Interval]
    gains: Mapping[str, Interval]
    closed: Mapping[str, Interval]
    seeds: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of a study.

    Attributes:
        seeds: the complete ones of ``plan.seeds``.
        rows: one for each task.
        endpoint: the mean over tasks.
        image_free: arm -> difference of the endpoint without baselines that depend on a model.
        left_out: title -> why a task is not in the endpoint.
    """

    plan: Plan
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    rows: tuple[Row, ...]
    endpoint: Row
    image_free: Mapping[str, Interval]
    costs: Mapping[str, Cost]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Task:
    """Results of one task: seed -> arm -> result."""

    name: str
    results: Mapping[int, Mapping[str, Result]]

    @property
    def title(self) -> str:
        result = next(iter(self.results.values()))[BASE]
        return f"{result.title}, {result.metric}"

    def cells(self, arms: Sequence[str], *, models_own: bool = True) -> list[Cell]:
        return [_cell([by_arm[arm] for arm in arms], models_own=models_own) for by_arm in self.results.values()]


def findings(plan: Plan, out: Path) -> Findings:
    """The findings of all complete seeds.

    Raises:
        DataError: no seed is complete, a file is damaged, or two arms were evaluated on different examples.
    """
    tasks, arms = plan.tasks, plan.arms
    needed = [(arm, task) for arm in arms for task in tasks]
    seeds = tuple(seed for seed in plan.seeds if all([has_result(out, seed, *pair) for pair in needed]))
    if not seeds:
        raise DataError("no seed of this study is complete", file=out, remedy="go on with it: --resume")
    read = [_read(plan, out, task, seeds) for task in tasks]
    resamples = plan.parsed().evaluation.resamples
    shared = not plan.worlds
    cells = {task.name: task.cells(arms) for task in read}
    usable = {name: row for name, row in cells.items() if all(cell.upper_bound > cell.baseline for cell in row)}
    titles = {task.name: task.title for task in read}
    left_out = {titles[name]: "its baseline reaches its upper bound" for name in cells if name not in usable}
    if not usable:
        raise DataError(
            "no task has room between its baseline and its upper bound", file=out, remedy="measure other tasks"
        )
    seen, drawn = observed(usable), two_level(usable, resamples=resamples, shared=shared)
    rows = tuple(
        _row(name, titles[name], usable[name], arms, seen.points[name], drawn.points[name], seen.closed[name],
             drawn.closed[name])
        for name in usable
    )  # fmt: skip
    endpoint = _row("", "mean over tasks", None, arms, seen.endpoint, drawn.endpoint, seen.endpoint, drawn.endpoint)
    free = {task.name: task.cells(arms, models_own=False) for task in read if task.name in usable}
    free_seen, free_drawn = observed(free).endpoint, two_level(free, resamples=resamples, shared=shared).endpoint
    costs = {arm: _cost([task.results for task in read], arm) for arm in arms}
    return Findings(plan, seeds, arms, rows, endpoint, _gains(arms, free_seen, free_drawn), costs, left_out)


def _read(plan: Plan, out: Path, task: str, seeds: Sequence[int]) -> _Task:
    """All results of a task, checked to be on the same examples in all arms of a seed."""
    found = {seed: {arm: read_result(plan, out, seed, arm, task) for arm in plan.arms} for seed in seeds}
    for seed, by_arm in found.items():
        base = by_arm[BASE]
        if base.baselines is None:
            file = result_file(out, seed, BASE, task)
            raise DataError("no baselines, which the base arm's have", file=file, record="baselines", remedy=AGAIN)
        for arm, result in by_arm.items():
            if result.groups != base.groups:
                file = result_file(out, seed, arm, task)
                raise DataError("of other examples than the base arm's", file=file, record="groups", remedy=AGAIN)
    return _Task(task, found)


def _cell(results: Sequence[Result], *, models_own: bool) -> Cell:
    """The cell of ``results``, one for each arm; the first, of the base arm, has baselines and upper bound for all."""
    base = results[0]
    scores = [score for name, score in (base.baselines or {}).items() if models_own or name not in MODELS_OWN]
    upper_bound = 100.0 if base.upper_bound is None else base.upper_bound
    values = np.array([result.values for result in results])
    return Cell(values, base.groups, max(scores, default=0.0) / 100, upper_bound / 100)


def _row(
    name: str,
    title: str,
    cells: Sequence[Cell] | None,
    arms: Sequence[str],
    points: Array,
    drawn_points: Array,
    closed: Array,
    drawn_closed: Array,
) -> Row:
    """A row from ``points`` and ``closed`` (S, A), and the resampled ones (R, A)."""
    scores = {
        arm: interval(100 * drawn_points[:, place], 100 * float(points[:, place].mean()))
        for place, arm in enumerate(arms)
    }
    return Row(
        name,
        title,
        None if cells is None else 100 * float(np.mean([cell.baseline for cell in cells])),
        None if cells is None else 100 * float(np.mean([cell.upper_bound for cell in cells])),
        scores,
        _gains(arms, points, drawn_points),
        _gains(arms, closed, drawn_closed),
        {arm: tuple(100 * float(value) for value in closed[:, place]) for place, arm in enumerate(arms)},
    )


def _gains(arms: Sequence[str], seen: Array, drawn: Array) -> dict[str, Interval]:
    """Arm -> the base arm's value minus its own, a percentage."""
    base = arms.index(BASE)
    return {
        arm: interval(100 * (drawn[:, base] - drawn[:, place]), 100 * float((seen[:, base] - seen[:, place]).mean()))
        for place, arm in enumerate(arms)
        if arm != BASE
    }


def _cost(tasks: Sequence[Mapping[int, Mapping[str, Result]]], arm: str) -> Cost:
    """The cost of an arm: the sum over the tasks' models if it trains them alone; a joint model is in every file."""
    totals = np.zeros(3)
    for results in tasks if ARMS[arm].alone else tasks[:1]:
        for by_arm in results.values():
            result = by_arm[arm]
            totals += [result.parameters, sum(result.batches.values()), result.seconds]
    return Cost(*(float(total) / len(tasks[0]) for total in totals))
