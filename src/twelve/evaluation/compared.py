"""How a score compares with a baseline's, in plain words: the same in the report, on the page and in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from twelve.evaluation.results import CHANCE, Baseline

BETTER, UNDECIDED, WORSE = "better", "undecided", "worse"
"""What an interval of the lead says that is above 0, has 0 inside, or is below 0."""
NOT_SHOWN, MAY_BE_CHANCE = "not shown to be better", "the difference may be chance"
"""What "undecided" means, and why."""
GUESS = "a guess that does not see the correct image"
"""What a baseline is."""
_GUESSES = {
    "majority": "always giving the most frequent answer",
    "bag of words": "a text-only model",
    "box prior": "always choosing a large box",
    "trained box prior": "a model that sees only where boxes are",
    "shuffled images": "the same model with wrong images",
    "chance": "choosing at random",
}


def guess(name: str) -> str:
    """What a baseline does, for sentences that name it: they use its name in tables too, and explain it."""
    return _GUESSES.get(name, GUESS)


def explained(name: str) -> str:
    """What a baseline does, for a list of baselines."""
    return f"{guess(name)}{' of the evaluated split' * (name == 'majority')}"


def standing(low: float | None, high: float | None) -> str:
    """How a model stands to a baseline, by the interval of its lead."""
    if low is not None and low > 0:
        return BETTER
    return WORSE if high is not None and high < 0 else UNDECIDED


def compared(name: str, score: float, stands: str) -> str:
    """The comparison with a baseline in words, such as "not shown to be better than the chance baseline (choosing at
    random: 25.0; the difference may be chance)".

    Args:
        score: the baseline's.
        stands: see :func:`standing`.
    """
    if stands == UNDECIDED:
        return f"{NOT_SHOWN} than {named(name, score, f'; {MAY_BE_CHANCE}')}"
    return f"{stands} than {named(name, score)}"


def named(name: str, score: float, more: str = "") -> str:
    """A baseline with what it does and its score: ``the chance baseline (choosing at random: 25.0)``."""
    return f"the {name} baseline ({guess(name)}: {score:.1f}{more})"


def unbeaten(baselines: Mapping[str, Baseline]) -> Baseline | None:
    """The highest of the baselines that the model is not better than."""
    found = (baseline for baseline in baselines.values() if not baseline.beaten)
    return max(found, key=lambda baseline: height(baseline.name, baseline.score), default=None)


def height(name: str, score: float) -> tuple[float, bool]:
    """Orders baselines by score. Of equals, chance is the lowest: another one says more."""
    return score, name != CHANCE
