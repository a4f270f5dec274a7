"""Which iteration's model a run has kept: the one with the best mean validation score, or the last one, as training
chooses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from twelve.progress import counted
from twelve.training.convergence import EXAMPLES, Points

LAST = "; to keep the last one, train anew with --set training.keep_model=last"
ONE, FEW = 1, 5
"""Examples by which the last model may be worse: that it can be kept as well, and that it may not be worse at all
(where two models are equally good, all of six examples favour the same one in 3% of the cases)."""
PLACES = 5
"""Decimal places of a score in the log."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The iteration of the kept model, its mean validation score (0..1), and over how many tasks.

    Attributes:
        examples: numbers of validation examples of the tasks, where they are known.
        last: it was kept because it is the last one (``training.keep_model``), not because it is the best.
        latest: the mean validation score of the last model, where that is another one.
    """

    iteration: int
    score: float
    tasks: int
    examples: Sequence[int] = ()
    last: bool = False
    latest: float | None = None

    @property
    def sentence(self) -> str:
        mean = "validation score" if self.tasks == 1 else f"mean validation score of the {self.tasks} tasks"
        model = f"Kept: the model of iteration {self.iteration:,}, "
        if self.last:
            return f"{model}the last one (training.keep_model=last), with a {mean} of {100 * self.score:.1f}{self._few}"
        return f"{model}with the best {mean}, {100 * self.score:.1f}{self._few}"

    @property
    def _few(self) -> str:
        """The end of the sentence, with a warning where the scores are of few examples."""
        fewest = min(self.examples, default=EXAMPLES)
        if fewest >= EXAMPLES:
            return "."
        told = "on" if self.tasks == 1 else "on as few as"
        chosen = not self.last and max(self.examples) < EXAMPLES
        # Advice to keep a model that is clearly worse does harm.
        advice = LAST if self.latest is not None and self._close(ONE) else ""
        warning = f" So few examples cannot tell which model is best{advice}." if chosen and self._close(FEW) else ""
        return f" ({told} {counted(fewest, 'validation example')}).{warning}"

    def _close(self, count: int) -> bool:
        """Whether the mean score of the last model is lower by no more than so many examples change it."""
        one = 1 / (max(min(self.examples), 1) * self.tasks)
        latest = self.score if self.latest is None else self.latest
        return self.score - latest < count * one + 10.0**-PLACES  # scores of the log are rounded


def kept_model(
    tasks: Collection[str],
    scores: Mapping[str, Points],
    saved: Mapping[str, float],
    examples: Sequence[int],
    *,
    last: bool = False,
) -> Kept | None:
    """The kept model of a run; None if its log does not tell, or tells of another one than ``saved``.

    Args:
        tasks: of the run.
        scores: task -> its validation scores in the log; of an iteration that is there twice, the later one counts.
        saved: task -> validation score of the saved model, 0..1; empty until training has ended.
        examples, last: see :class:`Kept`.
    """
    by_iteration: dict[int, dict[str, float]] = {}
    for task in tasks:
        for iteration, score in scores.get(task, ()):
            if iteration:  # before the first step, training scores what an earlier run has learnt
                by_iteration.setdefault(iteration, {})[task] = score
    found: Kept | None = None
    latest: dict[str, float] = {}
    best: dict[str, float] = {}
    for iteration in sorted(by_iteration):
        latest |= by_iteration[iteration]
        mean = sum(latest.values()) / len(latest)
        if latest.keys() == set(tasks) and (found is None or last or mean > found.score):
            found, best = Kept(iteration, mean, len(tasks), examples, last), dict(latest)
    if found is not None and latest.keys() == set(tasks) and found.iteration < max(by_iteration):
        found = replace(found, latest=sum(latest.values()) / len(latest))
    said = {task: round(score, PLACES) for task, score in saved.items()}
    return None if said and said != best else found
