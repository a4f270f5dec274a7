"""Schedules that draw tasks by the sizes of their datasets."""

from __future__ import annotations

from typing import ClassVar, Unpack

import numpy as np

from twelve.errors import ConfigError
from twelve.training.schedules.base import Schedule, Setting


class Proportional(Schedule):
    """Tasks drawn in proportion to their datasets' sizes.

    An iteration has as many slots as there are tasks (so that it costs what a visit of each costs), and each slot draws
    independently. What is drawn depends on seed and iteration alone: a resumed run draws the same.

    Args:
        slots: batches an iteration; the number of tasks when None.
    """

    name: ClassVar[str] = "proportional"
    power = 1.0
    """Sizes are raised to it: 1 is in proportion, 0 would be all alike."""

    def __init__(self, *, slots: int | None = None, **setting: Unpack[Setting]) -> None:
        super().__init__(**setting)
        if slots is not None and slots < 1:
            raise ConfigError(f"slots is {slots}", remedy="give 1 or more, or leave it out")
        self.slots = len(self.tasks) if slots is None else slots
        empty = [task for task in self.tasks if self.sizes[task] < 1]
        if empty:
            raise ConfigError(f"{', '.join(empty)}: no training examples to draw from", remedy="leave the task out")
        weights = np.array([self.sizes[task] for task in self.tasks], dtype=np.float64) ** self.power
        self.shares = weights / weights.sum()

    def tasks_at(self, iteration: int) -> list[str]:
        rng = np.random.default_rng([self.seed, iteration])
        return [self.tasks[row] for row in rng.choice(len(self.tasks), size=self.slots, p=self.shares)]


class SquareRoot(Proportional):
    """Tasks drawn in proportion to the square roots of their datasets' sizes."""

    name: ClassVar[str] = "square-root"
    power = 0.5


class Temperature(Proportional):
    """Tasks drawn in proportion to size ** (1 / temperature), as multilingual models draw their languages ("Massively
    Multilingual Neural Machine Translation in the Wild", Arivazhagan et al. 2019).

    Args:
        temperature: 1 is proportional, 2 the square root; the larger, the more alike.
    """

    name: ClassVar[str] = "temperature"

    def __init__(self, *, temperature: float = 5.0, slots: int | None = None, **setting: Unpack[Setting]) -> None:
        if not temperature > 0:
            raise ConfigError(f"temperature is {temperature}", remedy="give a number above 0")
        self.power = 1.0 / temperature
        super().__init__(slots=slots, **setting)
