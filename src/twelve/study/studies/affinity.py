"""Measure how tasks affect each other. One joint run per seed is measured while it trains on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from twelve.study.arms import Arm, Contrast
from twelve.study.bootstrap import Array
from twelve.study.cells import gain_of, table
from twelve.study.finding_types import Findings
from twelve.study.measures.affinities import PROBE, Intervals, OfRun, control, intervals, read_affinities
from twelve.study.measures.grouping import group_affinity
from twelve.study.report.plots import available, drawn, heat_map
from twelve.study.studies.base import Study, Subjects, register

JOINT = "joint"
WORDS = {
    "affinity": "a step on the row's task lowers the loss of the column's task by this many per cent",
    "cosines": "cosine between the trunk gradients of two tasks, per cent",
}


FIRST = {"affinity": "a step on", "cosines": "gradient of"}
"""Header of the first column of each."""


@register
class AffinityStudy(Study):
    """Norms, cosines and look-ahead affinity (training/affinity.py) during a joint run."""

    name: ClassVar[str] = "affinity"
    question: ClassVar[str] = "How do tasks affect each other while one model trains on all of them?"

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        return [subjects.joint(JOINT).model_copy(update={"probes": (PROBE,)})]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        return []

    def sentences(self, found: Findings) -> Sequence[str]:
        runs = _runs(found)
        own = intervals([100 * run.over_time("affinity") for run in runs])
        others = ~np.eye(len(own.mean), dtype=bool)
        best, worst = (np.unravel_index(place, own.mean.shape) for place in _extremes(own.mean, others))
        names, signs = runs[0].tasks, own.sign[others]
        cost = np.mean([run.cost for run in runs])
        return [
            *filter(None, [control(runs)]),
            f"Of {others.sum()} ordered pairs of tasks, a step on the first significantly lowers the loss of the "
            f"second in {(signs > 0).sum()} and raises it in {(signs < 0).sum()}; measuring this added "
            f"{cost:.0f}% to the run's time.",
            f"A step on {names[best[0]]} helps {names[best[1]]} most ({_cell(own, best)}% of its loss); a step on "
            f"{names[worst[0]]} helps {names[worst[1]]} least ({_cell(own, worst)}%).",
        ]

    def sections(self, found: Findings) -> Sequence[str]:
        runs, groups = _runs(found), _groups(found)
        tasks, parts = runs[0].tasks, []
        for name, words in WORDS.items():
            seeds = [100 * run.over_time(name) for run in runs]
            parts.append(f"{name.capitalize()}: {words}.\n\n" + _matrix(tasks, intervals(seeds), FIRST[name]))
            if len(groups) > 1:
                grouped = [np.stack([group_affinity(tasks, each, groups) for each in seed]) for seed in seeds]
                title = f"The same between groups of tasks, without pairs of a task with itself ({name})."
                parts.append(f"{title}\n\n" + _matrix(tuple(groups), intervals(grouped), FIRST[name]))
        norms = intervals([run.over_time("norms") for run in runs])
        of = [norms.at(place) for place in range(len(tasks))]
        rows = [
            [task, f"{norm.mean:.3g} [{norm.low:.3g}, {norm.high:.3g}]"] for task, norm in zip(tasks, of, strict=True)
        ]
        title = "Norms of the trunk gradients, multiplied by the task's loss scale, as the optimizer gets them."
        return [*parts, f"{title}\n\n" + table(["task", "norm"], rows)]

    def plots(self, found: Findings) -> Mapping[str, str]:
        if not available():
            return {}
        runs, plots = _runs(found), dict[str, str]()
        for name, title in WORDS.items():
            own = intervals([100 * run.over_time(name) for run in runs])
            plots[name] = drawn(partial(heat_map, runs[0].tasks, own, title))[0].decode()
        return plots


def _runs(found: Findings) -> list[OfRun]:
    (arm,) = found.arms
    return read_affinities(found.folder, found.seeds, arm.key(arm.models[0]))


def _groups(found: Findings) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for row in found.rows:
        groups.setdefault(row.group, []).append(row.name)
    return groups


def _extremes(values: Array, among: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[int, int]:
    """Places in the flattened values of the largest and the smallest one."""
    return int(np.where(among, values, -np.inf).argmax()), int(np.where(among, values, np.inf).argmin())


def _cell(found: Intervals, place: tuple[int | np.int64, ...]) -> str:
    own = found.at(place)
    return "" if np.isnan(own.mean) else gain_of(own, 2)


def _matrix(names: Sequence[str], found: Intervals, first: str) -> str:
    rows = [[name, *(_cell(found, (row, column)) for column in range(len(names)))] for row, name in enumerate(names)]
    return table([first, *names], rows)
