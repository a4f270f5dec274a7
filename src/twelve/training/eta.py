"""How long a run will take, from its first iterations."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from twelve.progress import clock

ENOUGH = 10
"""Iterations that are measured, the first one of a process left out: it starts workers and warms up."""
LONG = 5.0
"""Seconds of measuring after which fewer will do."""
SOON = 30.0
"""Seconds to go that are not worth a line."""
FORWARD = 1 / 3
"""Of a step's time, what a validation of the same examples takes: no backward pass and no update."""


class Pace:
    """Told the seconds of every step, says once how long the run will take.

    Args:
        iterations: of the whole run that are still to come.
        validations: task -> examples that all its validations together will read.
    """

    def __init__(self, iterations: int, validations: Mapping[str, float]) -> None:
        self.iterations, self.validations = iterations, validations
        self._iterations: list[float] = []
        self._examples: dict[str, list[float]] = {}
        self._told = False

    def step(self, task: str, seconds: float, examples: int) -> None:
        """A step on so many examples took so long."""
        if not self._told:
            self._examples.setdefault(task, []).append(seconds / examples)

    def iteration(self, seconds: float) -> str | None:
        """An iteration took so long, validation and logging left out; what there is to say, if there is."""
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
        return (
            f"{each:.2g} s an iteration: about {clock(left)} to go for the {self.iterations:,} iterations and their "
            f"validations; less when tasks stop"
        )
