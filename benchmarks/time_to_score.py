"""How soon joint and single-task models reach a validation score, in the recorded studies of joint-vs-single on
synthetic images. docs/joint-vs-single-studies.md has the ratios of the last two rows of the first table; the second
table has the same task by task.

- **Score.** In each seed, 50% and 90% of the way from a task's best baseline to the best validation score of its
  single-task model. These shares were fixed before any time was computed. The baseline is that of the test set; for
  retrieval, whose validation is a choice among four pairs, it is 25%. Tasks that the single-task models have not
  learned, as the study defines it, have no such score; they are listed.
- **Time.** The first validation with at least this score, after (a) how many updates of the task, and (b) how many of
  the trunk: in a joint model, those of all its tasks. Both leave out the updates that stop-and-go left out.
- **Ratio.** Joint divided by single-task, as geometric mean over tasks and seeds; the t interval is that of the
  logarithm over the seeds, each a mean over the tasks. Below 1, the joint model is sooner.
- **Not reached.** The single-task model reaches its scores by definition. Where the joint model does not, its time is
  that of its end, and the ratio a lower bound: such means have a ≥ and no interval.

The numbers are those of the studies' results.json.

    python benchmarks/time_to_score.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joint_minus_single import STUDIES
from numpy.typing import NDArray
from pydantic import TypeAdapter

from twelve.study import plan as plans
from twelve.study.arms import Contrast
from twelve.study.bootstrap import t_interval
from twelve.study.cells import table
from twelve.study.finding_types import Curve, Row
from twelve.study.plan import Plan

RESULTS = Path(__file__).parent / "results"
SHARES = (0.5, 0.9)
"""Of the way from the baseline to the single-task model's best validation score."""
CHOICE = 25.0
"""Chance of the validation of retrieval, per cent."""
GAP, RESETS = 4, (6, 8)
"""A stopped task trains in every fourth iteration; after so many epochs, every stopped task goes on, without an event.
All studies have these defaults of stop-and-go; :func:`counted` checks them."""
HEADER = (
    "study",
    "tasks",
    "score",
    "ratio of updates of the task",
    "ratio of updates of the trunk",
    "not reached",
    "at the first validation: joint, single-task",
)
Times = Mapping[str, Sequence[tuple["Time", "Time"]]]
"""Task -> when the joint and the single-task model of each seed reach a score."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is read of a study."""

    plan: Plan
    seeds: Sequence[int]
    rows: Mapping[str, Row]
    curves: Mapping[tuple[str, str, int], Curve]
    """(arm, task, seed) -> curve."""

    @classmethod
    def read(cls, folder: Path) -> Recorded:
        found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        curves = TypeAdapter(list[Curve]).validate_python(found["curves"])
        return cls(
            plans.read(folder),
            found["seeds"],
            {each.name: each for each in TypeAdapter(list[Row]).validate_python(found["rows"])},
            {(each.arm, each.task, each.seed): each for each in curves},
        )


@dataclass(frozen=True, slots=True)
class Time:
    """When a model reaches a score.

    Attributes:
        own, trunk: updates of the task and of the trunk until then, or until the end if it does not.
        first: whether it does so at its first validation.
    """

    own: int
    trunk: int
    reached: bool
    first: bool


def counted(curves: Sequence[Curve], updates: Sequence[int]) -> NDArray[np.int64]:
    """(T, I + 1) updates of each of a model's T tasks in the iterations before each of its I, and in all.

    The resets of the schedule are not recorded. The epoch, after which they come, is the shortest with which every task
    has as many updates as were recorded. Only runs of more than six epochs depend on it, those of pretrained-total:
    465, 466, 463, 471 and 465 iterations in the five seeds; in the last two, 628 and 620 would fit, too.

    Args:
        curves: of the T tasks.
        updates: (T,) recorded ones.

    Raises:
        ValueError: there is no such epoch.
    """
    end = curves[0].points[-1][0]
    for epoch in range(1, end // RESETS[0] + 2):  # with the last one, no reset is before the end
        trained = [_trained(curve, end, [count * epoch for count in RESETS]) for curve in curves]
        found = np.pad(np.cumsum(trained, axis=1, dtype=np.int64), ((0, 0), (1, 0)))
        if found[:, -1].tolist() == list(updates):
            return found
    raise ValueError(f"the events of {curves[0].arm}, seed {curves[0].seed}, do not give {list(updates)} updates")


def _trained(curve: Curve, end: int, resets: Sequence[int]) -> NDArray[np.bool_]:
    """(I,) whether an iteration trains the task."""
    changes = [(event.iteration, event.event == "stop") for event in curve.events] + [(at, False) for at in resets]
    stopped = np.zeros(end, bool)
    for at, stop in sorted(changes, key=lambda change: change[0]):  # at the same iteration, a reset is the last
        stopped[at:] = stop
    trained: NDArray[np.bool_] = ~stopped | (np.arange(end) % GAP == 0)
    return trained


def time_to(score: float, curve: Curve, own: NDArray[np.int64], trunk: NDArray[np.int64]) -> Time:
    """When a model first has this validation score, per cent.

    Args:
        own, trunk: (I + 1,) updates before each iteration, and in all.
    """
    reached = [iteration for iteration, found in curve.points if found >= score]
    at = reached[0] if reached else curve.points[-1][0]
    return Time(int(own[at]), int(trunk[at]), bool(reached), reached[:1] == [curve.points[0][0]])


def times(study: Recorded, contrast: Contrast, share: float) -> Times:
    """Of the tasks that the single-task models have learned."""
    made: dict[str, list[tuple[Time, Time]]] = {}
    for task, row in study.rows.items():
        if not row.scores[contrast.minus].learned:
            continue
        base, made[task] = CHOICE if row.group == "retrieval" else row.baseline, []
        for place, seed in enumerate(study.seeds):
            best = max(score for _, score in study.curves[contrast.minus, task, seed].points)
            score = base + share * (best - base)
            joint, single = (_time(study, arm, task, place, score) for arm in (contrast.arm, contrast.minus))
            made[task].append((joint, single))
    return made


def _time(study: Recorded, arm: str, task: str, place: int, score: float) -> Time:
    """When a model has this validation score of a task.

    Args:
        place: of its seed.
    """
    tasks = study.plan.arm(arm).model_of(task)
    curves = [study.curves[arm, each, study.seeds[place]] for each in tasks]
    updates = counted(curves, [study.rows[each].scores[arm].updates[place] for each in tasks])
    return time_to(score, curves[tasks.index(task)], updates[tasks.index(task)], updates.sum(0))


def ratio(of_tasks: Sequence[Sequence[tuple[float, float]]], *, bound: bool) -> str:
    """The geometric mean of joint / single-task and its t interval over the seeds.

    Args:
        of_tasks: for each task, (joint, single-task) of each seed.
        bound: whether a joint model has not reached its score.
    """
    seeds = np.log(of_tasks)  # (T, S, 2)
    found = t_interval((seeds[..., 0] - seeds[..., 1]).mean(0).tolist())
    assert found is not None
    mean, low, high = (f"{math.exp(value):.2f}" for value in (found.mean, found.low, found.high))
    return f"≥ {mean}" if bound else f"{mean} [{low}, {high}]"


def line(study: str, tasks: str, share: float, made: Times) -> list[str]:
    """Of a table."""
    pairs = [pair for seeds in made.values() for pair in seeds]
    lost = sum(not joint.reached for joint, _ in pairs)
    own = [[(joint.own, single.own) for joint, single in seeds] for seeds in made.values()]
    trunk = [[(joint.trunk, single.trunk) for joint, single in seeds] for seeds in made.values()]
    ratios = [ratio(each, bound=lost > 0) for each in (own, trunk)]
    first = ", ".join(str(sum(pair[place].first for pair in pairs)) for place in (0, 1))
    return [study, tasks, f"{share:.0%}", *ratios, f"{lost} of {len(pairs)}", first]


def lines() -> tuple[list[list[str]], list[list[str]], list[str]]:
    """The rows of both tables, and the studies that recorded no curves."""
    every, by_task, without = list[list[str]](), list[list[str]](), list[str]()
    for key, name in STUDIES.items():
        folder, _, wanted = key.partition("/")
        study = Recorded.read(RESULTS / f"study-{folder}")
        if study.plan.study != "joint-vs-single" or not study.plan.worlds:
            continue
        if not study.curves:
            without.append(name)
            continue
        contrast = next((each for each in study.plan.contrasts if wanted in ("", each.name)), None)
        if contrast is None:  # with an arm of another study, whose curves are not here
            continue
        found = {share: times(study, contrast, share) for share in SHARES}
        learned = found[SHARES[0]]
        every += [line(name, f"{len(learned)} of {len(study.rows)}", share, made) for share, made in found.items()]
        for task, row in study.rows.items():
            if task in learned:
                by_task += [line(name, row.short, share, {task: made[task]}) for share, made in found.items()]
            else:
                by_task.append([name, row.short, "not learned", *[""] * 4])
    return every, by_task, without


def main() -> None:
    every, by_task, without = lines()
    print(table(HEADER, every), table(HEADER, by_task), f"Without recorded curves: {', '.join(without)}", sep="\n\n")


if __name__ == "__main__":
    main()
