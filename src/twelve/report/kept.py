"""Which iteration's model a run has kept: the one with the best mean validation score, as training chooses it."""

from __future__ import annotations

from dataclasses import dataclass

from twelve.report.reading import Run

PLACES = 5
"""Decimal places of a score in the log."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The iteration of the kept model, its mean validation score (0..1), and over how many tasks."""

    iteration: int
    score: float
    tasks: int

    @property
    def sentence(self) -> str:
        mean = "validation score" if self.tasks == 1 else f"mean validation score of the {self.tasks} tasks"
        return f"Kept: the model of iteration {self.iteration:,}, with the best {mean}, {100 * self.score:.1f}."


def kept_model(run: Run) -> Kept | None:
    """The kept model of a run; None if its log does not tell, or tells of another one than the run's summary."""
    tasks, found = set(run.config.tasks), None
    by_iteration: dict[int, dict[str, float]] = {}
    for task in run.config.tasks:
        for iteration, score in run.history.scores.get(task, ()):
            if iteration:  # before the first step, training scores what an earlier run has learnt
                by_iteration.setdefault(iteration, {})[task] = score
    latest: dict[str, float] = {}
    scores: dict[str, float] = {}
    for iteration in sorted(by_iteration):
        latest |= by_iteration[iteration]
        mean = sum(latest.values()) / len(latest)
        if latest.keys() == tasks and (found is None or mean > found.score):
            found, scores = Kept(iteration, mean, len(tasks)), dict(latest)
    said = {task: round(score, PLACES) for task, score in run.saved_scores.items()}
    return None if said and said != scores else found
