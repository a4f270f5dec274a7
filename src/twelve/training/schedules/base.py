"""The interface of schedules, which choose the tasks of every iteration."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, TypedDict, TypeVar, Unpack

from twelve.errors import CheckpointError, ConfigError


class Setting(TypedDict):
    """What every schedule is told about the run.

    Attributes:
        tasks: names of the run's tasks, in the order in which they train.
        sizes: task -> number of training examples.
        seed: for schedules that sample.
        iterations: of the whole run.
        groups: task -> its group; by default, every task is a group of its own.
    """

    tasks: Sequence[str]
    sizes: Mapping[str, int]
    seed: NotRequired[int]
    iterations: NotRequired[int]
    groups: NotRequired[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Event:
    """A task that stopped or continues, with the score that decided it and the best score."""

    task: str
    change: Literal["stop", "go"]
    score: float
    best: float

    def __str__(self) -> str:
        change = "stops" if self.change == "stop" else "continues"
        return f"{self.task} {change} at {self.score:.4f} (best {self.best:.4f})"


class Schedule(abc.ABC):
    """Chooses the tasks of every iteration, and is told their losses and validation scores.

    A subclass's options are keyword-only arguments of its constructor; configurations are checked against their
    annotations. Decorate it with :func:`register`.

    Args:
        setting: see :class:`Setting`.

    Raises:
        ConfigError: there is no task.
    """

    name: ClassVar[str]
    stops: ClassVar[bool] = False
    """Whether the schedule can stop a task."""
    weighs: ClassVar[bool] = False
    """Whether there are weights other than 1; every step then waits for its loss."""
    reset_epochs: tuple[int, ...] = ()
    """The trainer calls :meth:`reset` when these epochs (counted from 0) have ended."""

    def __init_subclass__(cls) -> None:
        cls.weighs = cls.weight is not Schedule.weight

    def __init__(self, **setting: Unpack[Setting]) -> None:
        if not setting["tasks"]:
            raise ConfigError("no tasks to schedule", remedy="name at least one task")
        self.tasks = tuple(setting["tasks"])
        self.sizes = {task: setting["sizes"][task] for task in self.tasks}
        self.seed, self.iterations = setting.get("seed", 0), setting.get("iterations", 1)
        groups = setting.get("groups", {})
        self.groups = {task: groups.get(task, task) for task in self.tasks}

    @abc.abstractmethod
    def tasks_at(self, iteration: int) -> list[str]:
        """Tasks that train in ``iteration`` (counted from 0), one batch each, in order; a task may occur twice."""

    def observe(self, task: str, score: float) -> Event | None:
        """Take a validation score of ``task`` (higher is better); returns the change that the score caused, if any."""
        return None

    def begin_stopped(self, task: str, score: float) -> None:
        """Let ``task`` begin stopped, to continue when its score falls below ``score``; called before the first
        iteration.

        Raises:
            ConfigError: this schedule never stops a task.
        """
        problem = f"schedule {self.name!r} never stops a task"
        raise ConfigError(problem, record="schedule.name", remedy="choose stop-and-go")

    def weight(self, task: str, loss: float) -> float:
        """Weight of this step's ``loss`` of ``task``; called once a step, if :attr:`weighs`."""
        return 1.0

    def reset(self) -> None:
        """Forget every score."""
        return None

    @property
    def stopped(self) -> frozenset[str]:
        """Tasks that are stopped."""
        return frozenset()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; raises CheckpointError for a state of other tasks."""
        if state:
            raise CheckpointError(f"schedule {self.name!r} keeps no state, the checkpoint has one")


SCHEDULES: dict[str, type[Schedule]] = {}
"""Every registered schedule by name."""
_Class = TypeVar("_Class", bound=type[Schedule])


def register(cls: _Class) -> _Class:
    """Class decorator: make a schedule known under its name."""
    if SCHEDULES.setdefault(cls.name, cls) is not cls:
        raise ValueError(f"two schedules are named {cls.name!r}")
    return cls
