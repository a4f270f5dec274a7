"""The first sentence of a report: is the model good? In words and numbers, for a finished run and for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.report import words
from twelve.report.reading import Run
from twelve.report.rising import rising
from twelve.report.scores import TaskScore

GOOD = 50
"""Mean normalised score from which a run whose tasks are all learned is called good."""
FEW = 2
"""Most tasks that are named where nothing can be told of them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is it good?".

    Attributes:
        word: the answer in a word or three.
        sentence: the numbers behind it.
        good: True, False, or None where nothing is known yet.
    """

    word: str
    sentence: str
    good: bool | None


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """An evaluated task: its title, its score, and the groups that its interval resamples."""

    name: str
    title: str
    score: TaskScore
    groups: int


def verdict(run: Run, scored: Sequence[ScoredTask]) -> Verdict:
    """The verdict on a run; ``scored`` are its evaluated tasks."""
    if not scored:
        return _untold(run)
    if not any(each.score.baselines for each in scored):
        low, high = (choose(scored, key=lambda each: each.score.bar.value) for choose in (min, max))
        sentence = f"Scores reach from {_scored(low)} to {_scored(high)}. Without baselines, nobody knows whether the "
        return Verdict("Not known", sentence + "model uses the images.", None)
    found, still = _compared([each for each in scored if each.score.baselines]), rising(run)
    if still is None or not still.mostly or found.good is None:
        return found
    return replace(found, word=f"{found.word}, not converged", sentence=f"{found.sentence} {still.sentence}")


def _untold(run: Run) -> Verdict:
    history, length = run.history, run.config.training.iterations
    if not history.iterations:
        return Verdict("Not trained", "This run has not logged an iteration yet.", None)
    scores = [100 * points[-1][1] for points in history.scores.values()]
    mean = f"the mean validation score is {sum(scores) / len(scores):.1f}" if scores else "no task was validated yet"
    if run.finished:
        sentence = f"{history.iterations:,} iterations are done; {mean}. There is no official score and no baseline."
        return Verdict("Not evaluated", sentence, None)
    if length is None:
        return Verdict("Not finished", f"{history.iterations:,} iterations are done; {mean}.", None)
    left = history.seconds / history.iterations * (length - history.iterations)
    done = f"{history.iterations:,} of {length:,} iterations are done ({history.iterations / length:.0%})"
    return Verdict("Not finished", f"{done}; about {words.about(left)} are left; {mean}.", None)


def _compared(scored: Sequence[ScoredTask]) -> Verdict:
    few = [each for each in scored if each.groups < FEWEST_GROUPS]
    if len(few) == len(scored):
        sentence = f"Every task was evaluated on fewer than {FEWEST_GROUPS} images: no interval can be trusted."
        return Verdict("Too few examples to tell", sentence, None)
    scored = [each for each in scored if each not in few]
    below = [each for each in scored if not each.score.beats_all]
    known = [(each.score.normalised, each) for each in scored if each.score.normalised is not None]
    mean = sum(value for value, _ in known) / len(known) if known else None
    above = len(scored) - len(below)
    if len(scored) == 1:
        subject = "The task is not" if below else "The task is"
    else:
        among = f"{above or 'None'} of {len(scored)} tasks {_are(above or 1)}"
        subject = among if below else f"All {len(scored)} tasks are"
    sentence = f"{subject} above every baseline that lacks the correct image"
    if below and above:
        sentence += f"; {' and '.join(map(_unbeaten, below))} {_are(len(below))} not"
    if mean is not None:
        if len(known) == 1:
            of = "" if len(scored) == 1 else f" of {known[0][1].title}, whose upper bound is known,"
            sentence += f". The normalised score{of} is {mean:.0f} of 100"
        else:
            among = f" over the {len(known)} with a known upper bound" if len(known) < len(scored) else ""
            sentence += f". The mean normalised score is {mean:.0f} of 100{among}"
            low, high = min(known, key=lambda each: each[0]), max(known, key=lambda each: each[0])
            sentence += f", from {low[0]:.0f} ({low[1].title}) to {high[0]:.0f} ({high[1].title})"
    if few:
        names = ", ".join(each.title for each in few) if len(few) <= FEW else f"{len(few)} other tasks"
        sentence += f"; {names}: too few images to tell"
    if below:
        return Verdict("Learned in part" if above else "Not learned", f"{sentence}.", False)
    if mean is None:  # how much better a score could be is not known
        return Verdict("Learned", f"{sentence}.", True)
    return Verdict("Good" if mean >= GOOD else "Learned, but weak", f"{sentence}.", mean >= GOOD)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _scored(each: ScoredTask) -> str:
    return f"{each.score.bar.value:.1f} ({each.title})"


def _unbeaten(each: ScoredTask) -> str:
    best = each.score.best_baseline
    assert best is not None
    return f"{each.title} ({each.score.bar.value:.1f}; {best.name} {best.bar.value:.1f})"
