"""Estimates how long a run will take, from its first iterations."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from twelve.progress import clock, counted

ENOUGH = 10
"""Iterations that are measured, after the first one, which starts workers and warms up."""
LONG = 5.0
"""Seconds of measuring after which fewer iterations are enough."""
SOON = 30.0
"""Remaining seconds that are not worth a line."""
FORWARD = 1 / 3
"""Time of a validation over that of a step on the same examples: no backward pass and no update."""


class Pace:
    """Takes the time of every step, and says once how long the run will take.

    Args:
        iterations: remaining iterations of the run.
        validations: task -> number of examples that all its remaining validations read.
        stops: whether the schedule can stop a task.
    """

    def __init__(self, iterations: int, validations: Mapping[str, float], *, stops: bool = False) -> None:
        self.iterations, self.validations, self.stops = iterations, validations, stops
        self._iterations: list[float] = []
        self._examples: dict[str, list[float]] = {}
        self._told = False

    @property
    def measuring(self) -> bool:
        """Whether the estimate is not made yet."""
        return not self._told

    def step(self, task: str, seconds: float, examples: int) -> None:
        """Take the time of a step on a number of examples."""
        if not self._told:
            self._examples.setdefault(task, []).append(seconds / examples)

    def iteration(self, seconds: float) -> str | None:
        """Take the time of an iteration, without validation and logging; returns the estimate, once."""
        if self._told:
            return None
        self._iterations.append(seconds)
        measured = self._iterations[1:]
        if len(measured) < ENOUGH and (len(measured) < 2 or sum(measured) < LONG):
            return None
        self._told = True
        each = statistics.median(measured)
        validating = sum(
            FORWARD * statistics.median(self._examples[task]) * count
            for task, count in self.validations.items()
            if task in self._examples
        )
        left = each * (self.iterations - len(self._iterations)) + validating
        if left < SOON:
            return None
        what = f"{counted(self.iterations, 'iteration')} and validations{', less if tasks stop' * self.stops}"
        return f"{each:.2g} s per iteration: about {clock(left)} left ({what})"
