"""``twelve study grouping``: do affinities of tasks predict which groups gain from being trained together?

It trains nothing. It reads the affinities of one study (studies/affinity.py) and the gains of another, which has
trained groups of tasks alone and together (studies/groups.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from twelve.errors import DataError
from twelve.io import files
from twelve.metrics.bootstrap import Interval
from twelve.progress import counted, enumerated, tell, with_sign
from twelve.study import plan as plans
from twelve.study.bootstrap import Array
from twelve.study.cells import gain_of, table
from twelve.study.finding_types import Findings
from twelve.study.findings import findings
from twelve.study.measures.affinities import PROBE, OfRun, control, own_effects, read_affinities
from twelve.study.measures.grouping import (
    CellOf,
    Correlation,
    Ranked,
    group_affinity,
    predicted,
    rank_correlation,
    ranked,
)

TABLE, FOUND = "grouping.md", "grouping.json"
RELATIVE = "relative"
"""The predictor that divides by the effect of a step on a task on the same task."""
LEFT_OUT = (
    f"The predictor {RELATIVE!r} is left out: it divides by how much a step on a task lowers that task's own "
    "loss, which is not shown to be above 0 for all tasks."
)
FEW = 6
"""Fewer cells say nothing about a rank correlation."""
PREDICTORS = {
    "look-ahead": "mean look-ahead affinity of the others",
    RELATIVE: "the same over the effect of a step on the group itself",
    "cosine": "mean cosine of the trunk gradients",
}
"""The first one is TAG's, and the one that the sentences are about."""


STARTS = {"seed": "the model of the seed", "pretrained": "a pretrained trunk"}
"""``Arm.start`` in words."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Measured gains of groups by being trained with others, in points of normalised score.

    Attributes:
        groups: name -> its tasks.
        gains: cell -> gain in each seed, a mean over the learned tasks of the group.
        unlearned: cells whose group has no task that is learned alone.
    """

    groups: Mapping[str, Sequence[str]]
    gains: Mapping[CellOf, Sequence[float]]
    unlearned: Sequence[CellOf]


def show(lattice: Path, affinity: Path, out: Path | None = None, *, console: Console | None = None) -> str:
    """Print the comparison of predicted and measured gains, and write it into a folder if one is named; returns it.

    Args:
        lattice: folder of a study of groups.
        affinity: folder of a study with the probe ``affinity``.

    Raises:
        DataError: one of the two is none, is damaged, or they are of different tasks.
    """
    groups, steps = findings(lattice), findings(affinity)
    measured, runs = lattice_of(groups), affinities_of(steps)
    missing = {task for tasks in measured.groups.values() for task in tasks} - set(runs[0].tasks)
    if missing:
        problem = f"no affinities of {', '.join(sorted(missing))}, which {lattice} has trained"
        raise DataError(problem, file=affinity, remedy="name studies of the same tasks")
    predictions = predictions_of(measured, runs)
    own, cells = np.array([*measured.gains.values()]).T, list(measured.gains)
    failed = control(runs)
    if failed:
        del predictions[RELATIVE]
    places = [steps.seeds.index(seed) for seed in groups.seeds if seed in steps.seeds]
    paired = len(places) == len(groups.seeds)
    correlations = {
        name: rank_correlation(each[places] if paired else each.mean(0, keepdims=True), own)
        for name, each in predictions.items()
    }
    means = {name: group_means(measured.groups, runs, name) for name in PREDICTORS}
    ranking = rankings(measured, means["look-ahead"])
    text = _page(measured, cells, predictions, correlations, ranking, failed, _unlike(groups, steps, paired))
    if out is not None:
        tree = _tree(measured, cells, predictions, correlations, ranking, failed)
        own_effect = own_effects(runs)
        rows = np.stack([own_effect.mean, own_effect.low, own_effect.high], axis=1)
        tree["own_effects"] = dict(zip(runs[0].tasks, rows.tolist(), strict=True))
        for name, page in ((TABLE, text), (FOUND, json.dumps(tree, indent=1) + "\n")):
            with files.replacing(out / name) as partial:
                partial.write_text(page, encoding="utf-8")
    tell(text, console or Console())
    return text


def lattice_of(found: Findings) -> Lattice:
    """The cells of a study: its contrasts of a group that is trained with others and the group alone.

    Raises:
        DataError: it has none.
    """
    groups: dict[str, list[str]] = {}
    for row in found.rows:
        groups.setdefault(row.group, []).append(row.name)
    of = {task: group for group, tasks in groups.items() for task in tasks}
    arms = {
        arm.name: [name for name in groups if any(of.get(task) == name for task in arm.tasks)] for arm in found.arms
    }
    gains, unlearned = {}, []
    for each in found.comparisons:
        together, alone = arms[each.contrast.arm], arms[each.contrast.minus]
        if each.contrast.than is None and len(alone) == 1 and len(together) > 1 and alone[0] in together:
            cell = CellOf(alone[0], tuple(together))
            if each.learned is not None:
                gains[cell] = each.learned_seeds
            else:
                unlearned.append(cell)
    if not gains:
        if unlearned:
            names = ", ".join(dict.fromkeys(cell.group for cell in unlearned))
            problem = f"no group is learned alone: {names}"
            remedy = "train longer, or on other tasks (docs/studies-reference.md)"
        else:
            problem, remedy = (
                "no group was trained alone and with another one",
                "name the folder of: twelve study groups",
            )
        raise DataError(problem, file=found.folder, remedy=remedy)
    return Lattice(groups, gains, unlearned)


def affinities_of(found: Findings) -> list[OfRun]:
    """The affinities of all complete seeds of a study.

    Raises:
        DataError: the study has no arm with the probe.
    """
    arm = next((arm for arm in found.arms if PROBE in arm.probes and len(arm.models) == 1), None)
    if arm is None:
        problem = "no arm of this study has measured affinities"
        raise DataError(problem, file=found.folder / plans.FILE, remedy="name the folder of: twelve study affinity")
    return read_affinities(found.folder, found.seeds, arm.key(arm.models[0]))


def group_means(groups: Mapping[str, Sequence[str]], runs: Sequence[OfRun], name: str) -> Array:
    """(S, G, G) what a predictor says of a group of a row for that of a column, in each seed."""
    found = []
    for run in runs:
        matrix = run.over_time("cosines" if name == "cosine" else "affinity").mean(0)
        if name == RELATIVE:
            matrix = matrix / np.abs(np.diagonal(matrix)).clip(1e-12)
        found.append(group_affinity(run.tasks, matrix, groups))
    return np.stack(found)


def predictions_of(lattice: Lattice, runs: Sequence[OfRun]) -> dict[str, Array]:
    """Predictor -> (S, C) prediction for every cell in every seed of the affinities."""
    names = list(lattice.groups)
    return {
        name: np.array(
            [
                [predicted(cell, names, matrix) for cell in lattice.gains]
                for matrix in group_means(lattice.groups, runs, name)
            ]
        )
        for name in PREDICTORS
    }


def rankings(lattice: Lattice, affinity: Array) -> dict[int, list[Ranked]]:
    """Number of models -> all partitions of the groups, best prediction first; only of groups whose cells were all
    measured and learned.

    Args:
        affinity: (S, G, G) of the look-ahead predictor.
    """
    lost = {cell.group for cell in lattice.unlearned}
    names = [name for name in lattice.groups if name not in lost]
    places = [list(lattice.groups).index(name) for name in names]
    own = affinity.mean(0)[np.ix_(places, places)]
    gains = {cell: float(np.mean(each)) for cell, each in lattice.gains.items() if set(cell.together) <= set(names)}
    found = {}
    for count in range(2, len(names)):
        try:
            found[count] = ranked(names, count, own, gains)
        except KeyError:  # a set of groups was not trained
            continue
    return found


def _unlike(groups: Findings, steps: Findings, paired: bool) -> str:
    """What differs in the starts and seeds of two studies; "" if nothing does."""
    told = []
    begun = [enumerated(sorted({STARTS.get(arm.start, arm.start) for arm in found.arms})) for found in (groups, steps)]
    if begun[0] != begun[1]:
        told.append(f"the models of the groups start from {begun[0]}, those of the affinities from {begun[1]}")
    if not paired:
        seeds = [", ".join(map(str, found.seeds)) for found in (groups, steps)]
        told.append(
            f"the gains have seeds {seeds[0]}, the affinities {seeds[1]}, so their mean predicts for every seed"
        )
    return f"Note: the two studies differ: {'; '.join(told)}." * bool(told)


# --- the page -----------------------------------------------------------------------------------------------------
def _page(
    lattice: Lattice,
    cells: Sequence[CellOf],
    predictions: Mapping[str, Array],
    correlations: Mapping[str, Correlation],
    ranking: Mapping[int, Sequence[Ranked]],
    failed: str,
    unlike: str,
) -> str:
    rows = [
        [
            cell.group,
            " + ".join(cell.together),
            *(with_sign(100 * each.mean(0)[place], 2) for each in predictions.values()),
            with_sign(float(np.mean(lattice.gains[cell]))),
        ]
        for place, cell in enumerate(cells)
    ]
    parts = [
        *sentences(correlations, ranking, len(cells), failed),
        *filter(None, [unlike]),
        "Rank correlation of prediction and measured gain, means over the seeds, with 95% bootstrap intervals over "
        "seeds and cells. Cells share models and groups, so they are not independent, and the intervals are too narrow "
        "rather than too wide." + f" {LEFT_OUT}" * bool(failed),
        table(
            ["predictor", "", "rank correlation", "by seed", "bootstrap median"],
            [
                [name, PREDICTORS[name], _interval(each), _by_seed(each), with_sign(each.median, 2)]
                for name, each in correlations.items()
            ],
        ),
        table(["group", "trained in", *(f"{name}, %" for name in predictions), "gain, normalised score"], rows),
    ]
    if lattice.unlearned:
        lost = ", ".join(sorted({cell.group for cell in lattice.unlearned}))
        parts.append(f"Not learned alone, and not counted: {lost}.")
    for count, each in ranking.items():
        own = [[_named(one), with_sign(100 * one.expected, 2), with_sign(one.gain)] for one in each]
        parts.append(
            table([f"{counted(count, 'model')}, best prediction first", "predicted, %", "gain, normalised score"], own)
        )
    return "\n\n".join(parts) + "\n"


def sentences(
    correlations: Mapping[str, Correlation], ranking: Mapping[int, Sequence[Ranked]], cells: int, failed: str = ""
) -> tuple[str, ...]:
    """Two sentences that can be quoted, after the one on the control of the affinities, if that failed."""
    return (*filter(None, [failed]), _predicts(correlations, cells), _divided(ranking))


def _predicts(correlations: Mapping[str, Correlation], cells: int) -> str:
    name, main = next(iter(correlations.items()))
    if cells < FEW:
        few = f"{counted(cells, 'measured cell')} {'is' if cells == 1 else 'are'} too few"
        return f"{few} to tell whether affinity predicts gains."
    verdict = "is not shown to predict"
    if main.low > 0 or main.high < 0:
        verdict = "predicts" if main.low > 0 else "predicts the opposite of"
    by_seed = f"by seed {_by_seed(main)}; " * (len(main.seeds) > 1)
    return (
        f"The {name} affinity of one joint run {verdict} which groups gain from which others: rank correlation "
        f"{_interval(main)} over {cells} cells ({by_seed}bootstrap median {with_sign(main.median, 2)})."
    )


def _divided(ranking: Mapping[int, Sequence[Ranked]]) -> str:
    if not ranking:
        return "Too few groups are learned alone to compare ways to divide them among models."
    told = []
    for count, each in ranking.items():
        order = sorted(each, key=lambda one: -one.gain)
        place = order.index(each[0]) + 1
        told.append(
            f"with {counted(count, 'model')} it chooses {_named(each[0])}, whose gain of {with_sign(each[0].gain)} is "
            f"number {place} of {len(each)} (the best: {with_sign(order[0].gain)})"
        )
    return f"Of all ways to divide the groups among models, {'; '.join(told)}."


def _named(one: Ranked) -> str:
    return ", ".join("+".join(each) for each in one.partition)


def _interval(found: Correlation) -> str:
    return gain_of(Interval(found.mean, found.low, found.high), 2)


def _by_seed(found: Correlation) -> str:
    return ", ".join(with_sign(seed, 2) for seed in found.seeds)


def _tree(
    lattice: Lattice,
    cells: Sequence[CellOf],
    predictions: Mapping[str, Array],
    correlations: Mapping[str, Correlation],
    ranking: Mapping[int, Sequence[Ranked]],
    failed: str,
) -> dict[str, Any]:
    return {
        "sentences": sentences(correlations, ranking, len(cells), failed),
        "correlations": {name: [each.mean, each.low, each.high] for name, each in correlations.items()},
        "correlations_by_seed": {name: each.seeds for name, each in correlations.items()},
        "bootstrap_medians": {name: each.median for name, each in correlations.items()},
        "left_out": {RELATIVE: LEFT_OUT} if failed else {},
        "cells": [
            {
                "group": cell.group,
                "together": cell.together,
                "predicted": {name: float(each.mean(0)[place]) for name, each in predictions.items()},
                "gains": list(lattice.gains[cell]),
            }
            for place, cell in enumerate(cells)
        ],
        "unlearned": [{"group": cell.group, "together": cell.together} for cell in lattice.unlearned],
        "partitions": {
            str(count): [{"models": one.partition, "predicted": one.expected, "gain": one.gain} for one in each]
            for count, each in ranking.items()
        },
    }
