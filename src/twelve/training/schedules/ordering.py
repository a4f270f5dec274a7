"""Schedules that let tasks in one after the other, or take turns between groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Unpack

from twelve.errors import ConfigError, DataError
from twelve.formats.records import read_lines
from twelve.run_folder import RunFolder
from twelve.training.schedules.base import Schedule, Setting

CONVERGED = 0.99
"""A task has converged when its score reaches this share of the best it ever reaches."""


class Curriculum(Schedule):
    """Tasks that converge early train from the beginning, the others join them later.

    How long each takes is measured: by runs that trained (alone or together), whose folders are named, or given as
    numbers. The k-th of n tasks joins after ``spread`` (k - 1) / (n - 1) of the run; once in, it trains in every
    iteration.

    Args:
        measured: folders of runs that validated these tasks; where several did, the last named counts.
        convergence: task -> iterations, instead.
        spread: share of the run after which the last task joins.
    """

    name: ClassVar[str] = "curriculum"
    slowest_first = False

    def __init__(
        self,
        *,
        measured: Sequence[str] = (),
        convergence: Mapping[str, float] | None = None,
        spread: float = 0.5,
        **setting: Unpack[Setting],
    ) -> None:
        super().__init__(**setting)
        if not 0 <= spread < 1:
            raise ConfigError(f"spread is {spread}", record="schedule.options", remedy="give at least 0, less than 1")
        times: dict[str, float] = {
            task: time for folder in measured for task, time in convergence_of(Path(folder)).items()
        }
        times |= dict(convergence or {})
        if unknown := [task for task in self.tasks if task not in times]:
            raise ConfigError(
                f"nothing says how long {', '.join(unknown)} takes to converge",
                record="schedule.options",
                remedy="name the folder of a run that validated it (measured), or the iterations it took (convergence)",
            )
        order = sorted(self.tasks, key=lambda task: times[task], reverse=self.slowest_first)
        last = max(1, len(order) - 1)
        self.joins = {task: int(self.iterations * spread * place / last) for place, task in enumerate(order)}

    def tasks_at(self, iteration: int) -> list[str]:
        return [task for task in self.tasks if iteration >= self.joins[task]]


class AntiCurriculum(Curriculum):
    """Tasks that converge late train from the beginning, the others join them later."""

    name: ClassVar[str] = "anti-curriculum"
    slowest_first = True


class ByGroup(Schedule):
    """Groups take turns: the tasks of one group train in ``block`` iterations, then those of the next.

    Args:
        block: iterations of a turn.
    """

    name: ClassVar[str] = "by-group"

    def __init__(self, *, block: int = 1, **setting: Unpack[Setting]) -> None:
        super().__init__(**setting)
        if block < 1:
            raise ConfigError(f"block is {block}", record="schedule.options", remedy="give 1 or more")
        self.block = block
        self.turns = list(dict.fromkeys(self.groups.values()))

    def tasks_at(self, iteration: int) -> list[str]:
        turn = self.turns[iteration // self.block % len(self.turns)]
        return [task for task in self.tasks if self.groups[task] == turn]


def convergence_of(run: Path) -> dict[str, int]:
    """Task -> the iteration at which the validations of a run first saw :data:`CONVERGED` of the best they ever saw.

    Raises:
        ConfigError: the folder holds no run that validated anything.
    """
    validations: dict[str, list[tuple[int, float]]] = {}
    try:
        for line in read_lines(RunFolder(run).metrics):
            if line.fields.get("kind") == "validation":
                validations.setdefault(line.text("task"), []).append((line.integer("iteration"), line.number("score")))
    except DataError as error:
        raise ConfigError(error.problem, file=error.file, record=error.record, remedy="name a run's folder") from None
    if not validations:
        raise ConfigError("this run has validated nothing yet", file=run, remedy="name one that has trained")
    return {
        task: next(iteration for iteration, score in scores if score >= CONVERGED * max(s for _, s in scores))
        for task, scores in validations.items()
    }
