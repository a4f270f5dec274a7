"""Dynamic stop-and-go, of "12-in-1: Multi-Task Vision and Language Representation Learning" (Lu et al. 2020).

There are two versions: what the authors' program does, and what the paper says. In the program, a switch is followed
by one step of cooling; while a task is stopped, the rule that stops it may fire again, and on that step nothing
restarts it; and every score is forgotten after epochs 5 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from twelve.errors import CheckpointError
from twelve.training.schedules.base import Event, Schedule, Setting, register


@dataclass(slots=True)
class Controller:
    """The automaton of one task, which takes one step for each validation score.

    Attributes:
        threshold: a score must exceed the best one by this share to count as better.
        continue_threshold: a stopped task continues when its score is this share below the best one.
        patience: bad scores in a row that are tolerated; one more stops the task.
        cooldown: steps after a switch that never count as bad.
        stopped, best, bad, cooling: its state.
        start: score of a task that begins stopped, and is stopped again after :meth:`reset`.
    """

    threshold: float = 0.001
    continue_threshold: float = 0.005
    patience: int = 1
    cooldown: int = 1
    stopped: bool = False
    best: float = -math.inf
    bad: int = 0
    cooling: int = 0
    start: float | None = None

    def step(self, score: float) -> bool:
        """Take a score; returns whether the task stopped or continues because of it."""
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
        self.stopped, self.bad, self.cooling = self.start is not None, 0, 0
        self.best = -math.inf if self.start is None else self.start


class WordedController(Controller):
    """The automaton as the paper describes it: a task stops after ``patience`` + 1 scores in a row that gain too
    little, and continues when it falls far enough below its best score."""

    def step(self, score: float) -> bool:
        if score > self.best * (1 + self.threshold):
            self.best, self.bad = score, 0
        elif not self.stopped:
            self.bad += 1
        if self.stopped:
            if score < self.best * (1 - self.continue_threshold):
                self._switch(False)
                return True
        elif self.bad > self.patience:
            self._switch(True)
            return True
        return False


@register
class StopAndGo(Schedule):
    """Dynamic stop-and-go: a task that no longer improves trains rarely until it gets worse.

    Args:
        gap: a stopped task trains in every ``gap``-th iteration (those divisible by it).
        threshold, continue_threshold, patience, cooldown: see :class:`Controller`.
        reset_epochs: epochs (counted from 0) after which every score is forgotten.
    """

    name: ClassVar[str] = "stop-and-go"
    stops = True
    controller: ClassVar[type[Controller]] = Controller

    def __init__(
        self,
        *,
        gap: PositiveInt = 4,
        threshold: NonNegativeFloat = 0.001,
        continue_threshold: NonNegativeFloat = 0.005,
        patience: NonNegativeInt = 1,
        cooldown: NonNegativeInt = 1,
        reset_epochs: Sequence[int] = (5, 7),
        **setting: Unpack[Setting],
    ) -> None:
        super().__init__(**setting)
        self.gap = gap
        self.reset_epochs = tuple(reset_epochs)
        self.controllers = {
            task: self.controller(threshold, continue_threshold, patience, cooldown) for task in self.tasks
        }

    def tasks_at(self, iteration: int) -> list[str]:
        if iteration % self.gap == 0:
            return list(self.tasks)
        return [task for task in self.tasks if not self.controllers[task].stopped]

    def observe(self, task: str, score: float) -> Event | None:
        controller = self.controllers[task]
        if not controller.step(score):
            return None
        return Event(task, "stop" if controller.stopped else "go", score, controller.best)

    def begin_stopped(self, task: str, score: float) -> None:
        self.controllers[task].start = score
        self.controllers[task].reset()

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
                "start": controller.start,
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
            controller.start = saved["start"]


@register
class StopAndGoAsWorded(StopAndGo):
    """Dynamic stop-and-go as section 3.2 of the paper describes it: no cooling, no forgetting."""

    name: ClassVar[str] = "stop-and-go-as-worded"
    controller: ClassVar[type[Controller]] = WordedController

    def __init__(
        self,
        *,
        gap: PositiveInt = 4,
        threshold: NonNegativeFloat = 0.001,
        continue_threshold: NonNegativeFloat = 0.005,
        patience: NonNegativeInt = 1,
        **setting: Unpack[Setting],
    ) -> None:
        super().__init__(
            gap=gap,
            threshold=threshold,
            continue_threshold=continue_threshold,
            patience=patience,
            cooldown=0,
            reset_epochs=(),
            **setting,
        )
