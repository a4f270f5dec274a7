"""Whether the validation scores of a run still rise at its end: then it has not converged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twelve.report.reading import Run
from twelve.training.convergence import GAIN, gain

NAMED = 2
"""Most tasks that are left out by name."""


@dataclass(frozen=True, slots=True)
class Rising:
    """The tasks that were trained to the end, and whether they still rise.

    Attributes:
        count, of: how many of them rise, of how many.
        mean: gain over the last third of the run, 0..1, mean over them.
        without: why other tasks of the run are not among them, in words; "" if there are none.
    """

    count: int
    of: int
    mean: float
    without: str

    @property
    def mostly(self) -> bool:
        return 2 * self.count > self.of

    @property
    def sentence(self) -> str:
        """:attr:`words`, and which tasks are left out, and why."""
        return f"By validation scores, {self.words}{f' ({self.without})' if self.without else ''}."

    @property
    def words(self) -> str:
        """How many rise, e.g. "10 of 11 tasks still rise"."""
        tasks, rise = "task" if self.of == 1 else "tasks", "rises" if self.count == 1 else "rise"
        return f"{self.count} of {self.of} {tasks} still {rise}"


def rising(run: Run) -> Rising | None:
    """Which tasks still rise; None if too little is known, or the run ended early because nothing improved."""
    history, length = run.history, run.history.iterations
    gains, stopped, unknown = dict[str, float](), list[str](), list[str]()
    for name in run.config.tasks:
        found = late_gain(history.scores.get(name, ()), length)
        if any(end >= length for _, end in history.stopped(name)):
            stopped.append(run.task(name).title)
        elif found is None:
            unknown.append(run.task(name).title)
        else:
            gains[name] = found
    if not gains or (run.config.training.iterations or 0) > length:
        return None
    count = sum(found >= GAIN for found in gains.values())
    left = [_left(stopped, "stopped early"), _left(unknown, "validated too seldom")]
    return Rising(count, len(gains), sum(gains.values()) / len(gains), "; ".join(filter(None, left)))


def _left(titles: Sequence[str], why: str) -> str:
    if not titles:
        return ""
    names = " and ".join(titles) if len(titles) <= NAMED else f"{len(titles)} other tasks"
    return f"not counted: {names}, {why}"


def late_gain(points: Sequence[tuple[int, float]], length: int) -> float | None:
    """The rise of a validation score over the last third of a run, 0..1: of the fitted line, or with few validations
    from the last one before that third to the last one; None with fewer than two."""
    found = gain(points, length)
    if found is not None:
        return found
    before = [score for at, score in points if at <= 2 * length / 3]
    return points[-1][1] - before[-1] if before and points[-1][0] > 2 * length / 3 else None
