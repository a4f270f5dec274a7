"""What a schedule is: it names the tasks of every iteration and is told their scores and losses."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, TypedDict, Unpack

from twelve.errors import CheckpointError, ConfigError


class Setting(TypedDict):
    """What every schedule is told of the run.

    Attributes:
        tasks: names of the run's tasks, in the order they are visited.
        sizes: training examples of each task.
        seed: for schedules that draw.
        iterations: of the whole run, for schedules that divide it.
        groups: task -> the group it belongs to, for schedules that go by groups; every task its own when left out.
    """

    tasks: Sequence[str]
    sizes: Mapping[str, int]
    seed: NotRequired[int]
    iterations: NotRequired[int]
    groups: NotRequired[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Event:
    """A task that stopped or goes again, and what decided it."""

    task: str
    change: Literal["stop", "go"]
    score: float
    best: float

    def __str__(self) -> str:
        change = "stops" if self.change == "stop" else "goes again"
        return f"{self.task} {change} at {self.score:.4f} (best {self.best:.4f})"


class Schedule(abc.ABC):
    """Names the tasks of each iteration and is told their scores.

    Args:
        setting: see :class:`Setting`; a schedule's own options come before it.

    Raises:
        ConfigError: there is no task, or an option cannot be.
    """

    name: ClassVar[str]
    stops: ClassVar[bool] = False
    """Whether :meth:`rest` is possible."""
    reset_epochs: tuple[int, ...] = ()
    """The trainer calls :meth:`reset` when these epochs (counted from 0) have ended."""

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
        """Tasks that train in ``iteration`` (counted from 0), one batch each, in order; a name may come twice."""

    def observe(self, task: str, score: float) -> Event | None:
        """Take a validation score of ``task`` (higher is better); the change it caused, if any."""
        return None

    def rest(self, task: str, score: float) -> None:
        """Let ``task`` begin stopped, to go again when it falls below ``score``; called before the first iteration.

        Raises:
            ConfigError: this schedule stops no task.
        """
        raise ConfigError(f"schedule {self.name!r} stops no task", record="schedule.name", remedy="choose stop-and-go")

    def weight(self, task: str, loss: float) -> float:
        """What the loss of ``task`` is multiplied by in this step, whose loss is ``loss``; called once a step."""
        return 1.0

    def reset(self) -> None:
        """Forget every score."""
        return None

    @property
    def stopped(self) -> frozenset[str]:
        """Tasks that are stopped."""
        return frozenset()

    def state_dict(self) -> dict[str, Any]:
        """What must survive an interruption: plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; raises CheckpointError when it is of other tasks."""
        if state:
            raise CheckpointError(f"schedule {self.name!r} keeps no state, the checkpoint has one")
