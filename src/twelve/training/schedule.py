"""Which tasks train in an iteration, behind one interface.

Dynamic stop-and-go is from "12-in-1: Multi-Task Vision and Language Representation Learning" (Lu et al. 2020), as the
authors' program does it, which differs from the paper's wording: a switch is followed by a step of cooling; while a
task is stopped the rule that stops it may fire again, and on that step nothing restarts it.
"""

from __future__ import annotations

import abc
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from twelve.errors import CheckpointError, ConfigError, nearest


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
        tasks: names of the run's tasks, in the order they are visited.
        sizes: training examples of each task.
        seed: for schedules that draw.
    """

    name: ClassVar[str]
    reset_epochs: tuple[int, ...] = ()
    """The trainer calls :meth:`reset` when these epochs (counted from 0) have ended."""

    def __init__(self, *, tasks: Sequence[str], sizes: Mapping[str, int], seed: int) -> None:
        if not tasks:
            raise ConfigError("no tasks to schedule", remedy="name at least one task")
        self.tasks = tuple(tasks)
        self.sizes = {task: sizes[task] for task in tasks}
        self.seed = seed

    @abc.abstractmethod
    def tasks_at(self, iteration: int) -> list[str]:
        """Tasks that train in ``iteration`` (counted from 0), one batch each, in order; a name may come twice."""

    def observe(self, task: str, score: float) -> Event | None:
        """Take a validation score of ``task`` (higher is better); the change it caused, if any."""
        return None

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


class AlwaysGo(Schedule):
    """Every task in every iteration."""

    name: ClassVar[str] = "always-go"

    def tasks_at(self, iteration: int) -> list[str]:
        return list(self.tasks)


@dataclass(slots=True)
class Controller:
    """The automaton of one task: one step for each validation score.

    Attributes:
        threshold: share by which a score must exceed the best to be better.
        continue_threshold: share below the best at which a stopped task goes again.
        patience: bad scores in a row that are borne; one more stops the task.
        cooldown: steps after a switch that cannot be bad.
        stopped, best, bad, cooling: its state.
    """

    threshold: float = 0.001
    continue_threshold: float = 0.005
    patience: int = 1
    cooldown: int = 1
    stopped: bool = False
    best: float = -math.inf
    bad: int = 0
    cooling: int = 0

    def step(self, score: float) -> bool:
        """Take a score; whether the task stopped or goes again because of it."""
        before = self.stopped
        if score > self.best * (1 + self.threshold):
            self.best, self.bad = score, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad > self.patience:
            self._switch(True)
        elif self.stopped and score < self.best * (1 - self.continue_threshold):
            self._switch(False)
        return self.stopped != before

    def _switch(self, stopped: bool) -> None:
        self.stopped, self.cooling, self.bad = stopped, self.cooldown, 0

    def reset(self) -> None:
        self.stopped, self.best, self.bad, self.cooling = False, -math.inf, 0, 0


class StopAndGo(Schedule):
    """Dynamic stop-and-go: a task that no longer improves is visited rarely until it gets worse.

    Args:
        gap: a stopped task trains in every ``gap``-th iteration (those divisible by it).
        threshold, continue_threshold, patience, cooldown: see :class:`Controller`.
        reset_epochs: epochs (counted from 0) after which every score is forgotten.
    """

    name: ClassVar[str] = "stop-and-go"

    def __init__(
        self,
        *,
        tasks: Sequence[str],
        sizes: Mapping[str, int],
        seed: int,
        gap: int = 4,
        threshold: float = 0.001,
        continue_threshold: float = 0.005,
        patience: int = 1,
        cooldown: int = 1,
        reset_epochs: Sequence[int] = (5, 7),
    ) -> None:
        super().__init__(tasks=tasks, sizes=sizes, seed=seed)
        if gap < 1:
            raise ConfigError(f"gap is {gap}", remedy="a stopped task trains every gap-th iteration: give 1 or more")
        for name, value in (
            ("threshold", threshold),
            ("continue_threshold", continue_threshold),
            ("patience", patience),
            ("cooldown", cooldown),
        ):
            if value < 0:
                raise ConfigError(f"{name} is {value}", remedy="give 0 or more")
        self.gap = gap
        self.reset_epochs = tuple(reset_epochs)
        self.controllers = {task: Controller(threshold, continue_threshold, patience, cooldown) for task in self.tasks}

    def tasks_at(self, iteration: int) -> list[str]:
        if iteration % self.gap == 0:
            return list(self.tasks)
        return [task for task in self.tasks if not self.controllers[task].stopped]

    def observe(self, task: str, score: float) -> Event | None:
        controller = self.controllers[task]
        if not controller.step(score):
            return None
        return Event(task, "stop" if controller.stopped else "go", score, controller.best)

    def reset(self) -> None:
        for controller in self.controllers.values():
            controller.reset()

    @property
    def stopped(self) -> frozenset[str]:
        return frozenset(task for task, controller in self.controllers.items() if controller.stopped)

    def state_dict(self) -> dict[str, Any]:
        # JSON knows no infinity: a best score that does not exist yet is None.
        return {
            task: {
                "stopped": controller.stopped,
                "best": None if controller.best == -math.inf else controller.best,
                "bad": controller.bad,
                "cooling": controller.cooling,
            }
            for task, controller in self.controllers.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if set(state) != set(self.controllers):
            raise CheckpointError(
                f"the checkpoint schedules {', '.join(sorted(state))}, the run {', '.join(sorted(self.controllers))}",
                remedy="resume with the tasks the run was started with",
            )
        for task, saved in state.items():
            controller = self.controllers[task]
            controller.stopped, controller.bad, controller.cooling = saved["stopped"], saved["bad"], saved["cooling"]
            controller.best = -math.inf if saved["best"] is None else saved["best"]


class Proportional(Schedule):
    """Tasks drawn in proportion to their datasets' sizes.

    An iteration has as many slots as there are tasks (so that it costs what a visit of each costs), and each slot draws
    independently. What is drawn depends on seed and iteration alone: a resumed run draws the same.

    Args:
        slots: batches an iteration; the number of tasks when None.
        power: sizes are raised to it (1: in proportion, 0: all alike).
    """

    name: ClassVar[str] = "proportional"

    def __init__(
        self,
        *,
        tasks: Sequence[str],
        sizes: Mapping[str, int],
        seed: int,
        slots: int | None = None,
        power: float = 1.0,
    ) -> None:
        super().__init__(tasks=tasks, sizes=sizes, seed=seed)
        if slots is not None and slots < 1:
            raise ConfigError(f"slots is {slots}", remedy="give 1 or more, or leave it out")
        self.slots = len(self.tasks) if slots is None else slots
        empty = [task for task in self.tasks if self.sizes[task] < 1]
        if empty:
            raise ConfigError(f"{', '.join(empty)}: no training examples to draw from", remedy="leave the task out")
        weights = np.array([self.sizes[task] for task in self.tasks], dtype=np.float64) ** power
        self.shares = weights / weights.sum()

    def tasks_at(self, iteration: int) -> list[str]:
        rng = np.random.default_rng([self.seed, iteration])
        return [self.tasks[row] for row in rng.choice(len(self.tasks), size=self.slots, p=self.shares)]


SCHEDULES: dict[str, type[Schedule]] = {schedule.name: schedule for schedule in (StopAndGo, AlwaysGo, Proportional)}


def make_schedule(name: str, *, tasks: Sequence[str], sizes: Mapping[str, int], seed: int, **options: Any) -> Schedule:
    """The schedule called ``name`` with its own ``options``.

    Raises:
        ConfigError: no such schedule, or it has no such option; names the nearest one.
    """
    if name not in SCHEDULES:
        raise ConfigError(
            f"unknown schedule {name!r}{nearest(name, SCHEDULES)}",
            record="schedule.name",
            remedy=f"choose among {', '.join(SCHEDULES)}",
        )
    parameters = inspect.signature(SCHEDULES[name]).parameters
    known = set(parameters) - {"tasks", "sizes", "seed"}
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"schedule {name!r} has no option {option!r}{nearest(option, known)}",
                record="schedule.options",
                remedy=f"its options: {', '.join(sorted(known)) or 'none'}",
            )
        several = isinstance(parameters[option].default, tuple)
        numbers = value if several and isinstance(value, list | tuple) else [value]
        if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
            raise ConfigError(
                f"{option} is {value!r}",
                record="schedule.options",
                remedy="give a list of numbers" if several else "give a number",
            )
    return SCHEDULES[name](tasks=tasks, sizes=sizes, seed=seed, **options)
