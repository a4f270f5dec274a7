"""Schedules that sample tasks by the sizes of their datasets."""

from __future__ import annotations

from typing import ClassVar, Unpack

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from twelve.errors import ConfigError
from twelve.training.schedules.base import Schedule, Setting, register


@register
class Proportional(Schedule):
    """Tasks are sampled in proportion to the sizes of their datasets.

    By default, an iteration has as many batches as there are tasks, each sampled independently, so it costs as much as
    one batch of each task. The samples depend on seed and iteration alone: a resumed run draws the same ones.

    Args:
        slots: batches in an iteration; the number of tasks when None.
    """

    name: ClassVar[str] = "proportional"
    power = 1.0
    """Exponent of the sizes: 1 samples in proportion to them, 0 would sample uniformly."""

    def __init__(self, *, slots: PositiveInt | None = None, **setting: Unpack[Setting]) -> None:
        super().__init__(**setting)
        self.slots = len(self.tasks) if slots is None else slots
        empty = [task for task in self.tasks if self.sizes[task] < 1]
        if empty:
            raise ConfigError(f"{', '.join(empty)}: no training examples to draw from", remedy="leave the task out")
        weights = np.array([self.sizes[task] for task in self.tasks], dtype=np.float64) ** self.power
        self.shares = weights / weights.sum()

    def tasks_at(self, iteration: int) -> list[str]:
        rng = np.random.default_rng([self.seed, iteration])
        return [self.tasks[row] for row in rng.choice(len(self.tasks), size=self.slots, p=self.shares)]


@register
class SquareRoot(Proportional):
    """Tasks are sampled in proportion to the square roots of the sizes of their datasets."""

    name: ClassVar[str] = "square-root"
    power = 0.5


@register
class Temperature(Proportional):
    """Tasks are sampled in proportion to size ** (1 / temperature), as multilingual models sample languages ("Massively
    Multilingual Neural Machine Translation in the Wild", Arivazhagan et al. 2019).

    Args:
        temperature: 1 is proportional, 2 the square root; larger values come closer to uniform sampling.
    """

    name: ClassVar[str] = "temperature"

    def __init__(
        self, *, temperature: PositiveFloat = 5.0, slots: PositiveInt | None = None, **setting: Unpack[Setting]
    ) -> None:
        self.power = 1.0 / temperature
        super().__init__(slots=slots, **setting)
