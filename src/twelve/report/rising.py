"""Whether the validation scores of a run still rise at its end: then it has not converged.

A score rises if it gains at least :data:`twelve.training.convergence.GAIN`, and at least a standard error of the share
that it is of its validation examples: 5.5 points of a score of 50 on 84 examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twelve.report.reading import Run
from twelve.training.convergence import EXAMPLES, GAIN, gain, noise

NAMED = 2
"""Most tasks that are left out by name."""


@dataclass(frozen=True, slots=True)
class Rising:
    """The tasks that were trained to the end, and whether they still rise.

    Attributes:
        count, of: how many of them rise, of how many.
        mean: gain over the last third of the run, or over ``coarse``, 0..1, mean over them.
        stopped, few, seldom: titles of the run's other tasks: stopped before the end, validated on too few examples to
            tell, validated too seldom to tell.
        coarse: the last part of the run, 0..1, that the gains are of, if validations are too few for a third.
        least: the mean gain, 0..1, that must be reached: see above.
    """

    count: int
    of: int
    mean: float
    stopped: Sequence[str] = ()
    few: Sequence[str] = ()
    seldom: Sequence[str] = ()
    coarse: float | None = None
    least: float = GAIN

    @property
    def span(self) -> str:
        """The part of the training that the gains are of, in words."""
        if self.coarse is None:
            return "the last third of the training"
        return f"the last {'half' if self.coarse == 0.5 else f'{100 * self.coarse:.0f}%'} of the training"

    @property
    def tasks(self) -> int:
        """How many tasks the run has."""
        return self.of + len(self.stopped) + len(self.few) + len(self.seldom)

    @property
    def mostly(self) -> bool:
        return 2 * self.count > self.of

    @property
    def sentence(self) -> str:
        """On how many tasks scores rise, and what is known of each of the others."""
        rise, fall, where = "still rise", "no longer", ""
        if self.coarse is not None:  # only a fine curve shows what happens at the very end
            rise, fall, where = "rose", "not", f" over {self.span}"
        if self.tasks == 1 and self.coarse is None:
            return f"The validation score {'still rises' if self.count else 'no longer rises'}."
        if self.tasks == 1:
            return f"The validation score {'rose' if self.count else 'did not rise'}{where}."
        level = self.of - self.count
        levelled = f" and {fall} on {level}" if level and self.of < self.tasks else ""
        share = "all" if self.count == self.tasks else f"{self.count} of"
        said = [f"Validation scores {rise} on {share} {self.tasks} tasks{levelled}{where}", *self._others()]
        return f"{'; '.join(said)}."

    def _others(self) -> Iterator[str]:
        if self.stopped:
            yield f"training of {_named(self.stopped)} was stopped before the end"
        if self.few:
            yield f"{_named(self.few)} {_have(self.few)} too few validation examples to tell"
        if self.seldom:
            yield f"{_named(self.seldom)} {_were(self.seldom)} validated too seldom to tell"


def rising(run: Run) -> Rising | None:
    """Which tasks still rise; None if too little is known, or the run ended early because nothing improved."""
    history, length = run.history, run.history.iterations
    gains, errors = list[tuple[float, float | None]](), list[float]()
    stopped, few, seldom = list[str](), list[str](), list[str]()
    for name in run.config.tasks:
        points, examples = history.scores.get(name, []), run.validation_examples(name)
        found = late_gain(points, length)
        if any(end >= length for _, end in history.stopped(name)):
            stopped.append(run.task(name).title)
        elif examples is not None and examples < EXAMPLES:
            few.append(run.task(name).title)
        elif found is None:
            seldom.append(run.task(name).title)
        else:
            gains.append(found)
            errors.append(noise(points[-1][1], examples))
    if not gains or (run.config.training.iterations or 0) > length:
        return None
    count = sum(found >= max(GAIN, error) for (found, _), error in zip(gains, errors, strict=True))
    mean = sum(found for found, _ in gains) / len(gains)
    least = max(GAIN, sum(error**2 for error in errors) ** 0.5 / len(gains))  # the standard error of a mean
    coarse = max((part for _, part in gains if part is not None), default=None)
    return Rising(count, len(gains), mean, stopped, few, seldom, coarse, least)


def _named(titles: Sequence[str]) -> str:
    return " and ".join(titles) if len(titles) <= NAMED else f"{len(titles)} others"


def _have(titles: Sequence[str]) -> str:
    return "has" if len(titles) == 1 else "have"


def _were(titles: Sequence[str]) -> str:
    return "was" if len(titles) == 1 else "were"


def late_gain(points: Sequence[tuple[int, float]], length: int) -> tuple[float, float | None] | None:
    """The rise of a validation score, 0..1, and the last part of the run, 0..1, that it is of; None with too few
    validations. The part is None if it is the last third, with the rise of the fitted line; with few validations, the
    rise is that from the last one before that third to the last one. A score of 100% no longer rises."""
    found, part = gain(points, length), None
    if found is None:
        before = [point for point in points if point[0] <= 2 * length / 3]
        if not before or points[-1][0] <= 2 * length / 3:
            return None
        found, part = points[-1][1] - before[-1][1], (points[-1][0] - before[-1][0]) / length
    return min(found, 0.0) if points[-1][1] >= 1 else found, part
