"""Schedules in which tasks join one after the other, or groups of tasks take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Unpack

from pydantic import Field, PositiveInt

from twelve.errors import ConfigError
from twelve.formats.records import finite
from twelve.run_folder import RunFolder
from twelve.training.schedules.base import Schedule, Setting, register

CONVERGED = 0.99
"""A task has converged when its score reaches this share of its best score in the run."""


@register
class Curriculum(Schedule):
    """Tasks that converge early train from the beginning, the others join later.

    How long each task takes to converge is read from the logs of earlier runs, or given as a number. The k-th of n
    tasks joins after a share ``spread`` (k - 1) / (n - 1) of the run, and then trains in every iteration.

    Args:
        measured: folders of runs that validated these tasks; of several that did, the last one counts.
        convergence: task -> iterations; takes precedence over ``measured``.
        spread: share of the run after which the last task joins.
    """

    name: ClassVar[str] = "curriculum"
    slowest_first = False

    def __init__(
        self,
        *,
        measured: Sequence[str] = (),
        convergence: Mapping[str, float] | None = None,
        spread: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        **setting: Unpack[Setting],
    ) -> None:
        super().__init__(**setting)
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


@register
class AntiCurriculum(Curriculum):
    """Tasks that converge late train from the beginning, the others join later."""

    name: ClassVar[str] = "anti-curriculum"
    slowest_first = True


@register
class ByGroup(Schedule):
    """Groups of tasks take turns of ``block`` iterations.

    Args:
        block: iterations of a turn.
    """

    name: ClassVar[str] = "by-group"

    def __init__(self, *, block: PositiveInt = 1, **setting: Unpack[Setting]) -> None:
        super().__init__(**setting)
        self.block = block
        self.turns = list(dict.fromkeys(self.groups.values()))

    def tasks_at(self, iteration: int) -> list[str]:
        turn = self.turns[iteration // self.block % len(self.turns)]
        return [task for task in self.tasks if self.groups[task] == turn]


def convergence_of(run: Path) -> dict[str, int]:
    """Task -> the iteration of the first validation whose score is at least :data:`CONVERGED` of the best one.

    Raises:
        ConfigError: the folder holds no run that validated anything.
    """
    validations: dict[str, list[tuple[int, float]]] = {}
    for line in RunFolder(run).logged():
        if line.get("kind") == "validation" and finite(line.get("score")):
            validations.setdefault(str(line.get("task")), []).append((line["iteration"], line["score"]))
    if not validations:
        raise ConfigError("this run has validated nothing yet", file=run, remedy="name one that has trained")
    return {
        task: next(iteration for iteration, score in scores if score >= CONVERGED * max(s for _, s in scores))
        for task, scores in validations.items()
    }
