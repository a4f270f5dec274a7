"""Which runs of a study had converged, and how much of their last gains may be noise."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from twelve.study.arms import Arm
from twelve.study.bootstrap import t_quantile
from twelve.study.cells import spread, table
from twelve.study.finding_types import Findings, Row, Score
from twelve.training.convergence import GAIN, Gain

MOST_ARMS = 3
"""Most arms that the sentence on convergence names."""


def convergence(found: Findings, *, short: bool = False) -> str:
    """Which runs had not converged, in a sentence; of a model of several tasks, each has a validation curve.

    Args:
        short: do not tell curves that rise from those that fall, where there are both.
    """
    known, every = Counter[str](), sum(len(score.converged) for _, _, score in _each(found))
    for arm, _, score in _each(found):
        known[arm.name] += sum(each is not None for each in score.converged)
    if not known.total():
        return "Whether the runs had converged is not known: their validation scores were not recorded, or are too few."
    ends = ((False, "still rose"), (True, "fell"))
    told = [f"{said} {words}" for falling, words in ends if (said := _open(found, known, falling=falling))]
    if short and len(told) > 1:
        told = [f"{_open(found, known, falling=None)} rose or fell"]
    if not told:
        flat = sum(each is True for _, _, score in _each(found) if not score.learned for each in score.converged)
        at_baseline = f", {flat} of them without having learned the task" if flat else ""
        curves = f"{known.total()} of {every} validation curves (one per task and seed)"
        return f"Convergence is known for {curves}; level at the end in all {known.total()}{at_baseline}."
    unknown = f"; for {every - known.total()} more, it is not known" if every > known.total() else ""
    return f"Not converged (validation curves, one per task and seed): {'; '.join(told)}{unknown}."


def by_noise(found: Findings) -> str:
    """How many level curves noise alone would make rise or fall, in a sentence; empty if nothing is known."""
    gains = [gain for _, _, score in _each(found) for gain in score.late_gains if gain is not None]
    if not gains:
        return ""
    return (
        f"Noise alone would make about {sum(map(_by_noise, gains)):.0f} of {len(gains)} level curves rise or fall; a "
        "curve does so clearly if the 95% interval of its slope does not contain 0."
    )


def is_clear(gain: Gain | None) -> bool:
    """Whether the 95% interval of a gain does not contain 0."""
    return gain is not None and abs(gain.mean) > t_quantile(gain.freedom) * gain.error


def unconverged(found: Findings) -> str:
    """What each arm gained at the end, and the runs that had not converged; empty if all had, or nothing is known."""
    rows = []
    for arm, row, score in _each(found):
        known = zip(found.seeds, score.converged, score.falling, strict=True)
        if left := [f"{seed}{' (falling)' * falls}" for seed, converged, falls in known if converged is False]:
            rows.append([arm.name, row.title, ", ".join(left), ", ".join(map(str, score.extensions))])
    if not rows:
        return ""
    header = ["not converged", "task", "seeds", "extensions, by seed"]
    return "\n\n".join(filter(None, [_gains(found), table(header, rows)]))


def _gains(found: Findings) -> str:
    """A row for each arm, of what its validation scores gained at the end; empty if nothing is known."""
    rows = []
    for arm in found.arms:
        scores = [score.late_gains for each, _, score in _each(found) if each == arm]
        seeds = [[gain for gain in gains if gain is not None] for gains in zip(*scores, strict=True)]
        means = [100 * float(np.mean([gain.mean for gain in gains])) for gains in seeds if gains]
        if means:
            noise = sum(_by_noise(gain) for gains in seeds for gain in gains)
            curves = sum(map(len, seeds))
            rows.append([arm.name, f"{np.mean(means):+.1f}", spread(means), f"{curves}", f"{noise:.0f}"])
    if not rows:
        return ""
    header = ["gain of the validation score over the last third, points", "mean", "t interval over the seeds", "curves"]
    told = (
        "Last column: how many of as many level curves would be called rising or falling, by the noise of the scores "
        "alone. A curve rises or falls clearly if the 95% interval of its slope does not contain 0."
    )
    return f"{table([*header, 'by noise alone'], rows)}\n\n{told}"


def _by_noise(gain: Gain) -> float:
    """The probability that a level curve with the noise of this one would be called rising or falling."""
    return math.erfc(GAIN / gain.error / 2**0.5) if gain.error else 0.0


def _each(found: Findings) -> list[tuple[Arm, Row, Score]]:
    return [(arm, row, row.scores[arm.name]) for arm in found.arms for row in found.rows if arm.name in row.scores]


def _open(found: Findings, known: Counter[str], *, falling: bool | None) -> str:
    """How many of the known curves rise, or fall, or do either of the two (None), and how many of them clearly; arm by
    arm if they are few; "" for none."""
    counts, clear, measured = Counter[str](), Counter[str](), False
    for arm, _, score in _each(found):
        for converged, falls, gain in zip(score.converged, score.falling, score.late_gains, strict=True):
            if converged is False and falling in (None, falls):
                counts[arm.name] += 1
                clear[arm.name] += is_clear(gain)
                measured |= gain is not None

    def clearly(count: int) -> str:
        return f" ({count} clearly)" * measured

    if len(known) > MOST_ARMS:
        return f"{counts.total()} of {known.total()}{clearly(clear.total())}" if counts else ""
    *others, last = [f"{counts[arm]} of {known[arm]} of {arm}{clearly(clear[arm])}" for arm in counts] or [""]
    return f"{', '.join(others)} and {last}" if others else last
