"""Which runs of a study had converged, and how much of their last gains may be noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twelve.progress import with_sign
from twelve.study.arms import Arm
from twelve.study.bootstrap import sign, t_interval, t_quantile
from twelve.study.cells import spread, table
from twelve.study.finding_types import Findings, Row, Score
from twelve.training.convergence import GAIN, POINTS, Gain

MOST_ARMS = 3
"""Most arms that the sentence on convergence names."""
PER_CURVE = "validations per curve there"
"""What a number of validations counts: those of the last third of a run."""


def convergence(found: Findings) -> str:
    """How much the validation scores of each arm changed at the end, in a sentence; which curves were level, if all of
    those that are known were."""
    pooled, known = _pooled(found), [each for _, _, score in _each(found) for each in score.converged]
    level = all(each is not False for each in known)
    return " ".join([*filter(None, [pooled]), *([curves(found)] if level or not pooled else [])])


def _pooled(found: Findings) -> str:
    """The gain of each arm over all its tasks, or of the arms with the least and the most; empty if none is known."""
    gains = _gains(found)
    if not gains:
        return ""
    head = f"Validation gain, last third (points{', t interval' * (len(found.seeds) > 1)}):"
    if len(gains) <= MOST_ARMS:
        first, *others = [f"{each.arm} {each.points}{_hidden(found, each)}, {each.validations}" for each in gains]
        return f"{head} {'; '.join([f'{first} {PER_CURVE}', *others])}."
    return _of_many(gains)


def _of_many(gains: Sequence[_Late]) -> str:
    """The least and the largest gain of the arms, and how many t intervals do not contain 0, in a sentence."""
    least, *_, most = sorted(gains, key=lambda each: each.mean)
    low, high, count = with_sign(least.mean), with_sign(most.mean), f"{len(gains)} arms"
    if low.startswith("+"):
        told = f"rose in all {count}, by {low[1:]} ({least.arm}) to {high[1:]} points ({most.arm})"
    else:
        told = f"changed by {low} ({least.arm}) to {high} points ({most.arm}) in {count}"
    signs = [sign(over_seeds) for each in gains if (over_seeds := t_interval(each.seeds)) is not None]
    above, below = signs.count(1), signs.count(-1)
    t = f"; t interval above 0 in {above or 'none'}{f', below 0 in {below}' * (below > 0)}" * bool(signs)
    counts = _range([number for each in gains for number in each.counts])
    return f"In the last third, validation {told}{t}; {counts} validations per curve."


def _hidden(found: Findings, late: _Late) -> str:
    """The tasks whose scores still changed although those of the arm did not on average; empty if there are none."""
    mean = t_interval(late.seeds)
    if mean is None or sign(mean) != 0 or not (tasks := _changing(found, late.arm)):
        return ""
    return f" (but {', '.join(tasks)})"


def _changing(found: Findings, arm: str) -> list[str]:
    """The tasks of an arm whose gain at the end is :data:`GAIN` or more either way, and whose t interval does not
    contain 0, with both."""
    told = []
    for row in found.rows:
        gains = [gain for gain in row.scores[arm].late_gains if gain is not None] if arm in row.scores else []
        seeds = [100 * gain.mean for gain in gains]
        over_seeds = t_interval(seeds)
        if over_seeds is not None and sign(over_seeds) != 0 and abs(over_seeds.mean) >= 100 * GAIN:
            told.append(f"{row.short} {with_sign(over_seeds.mean)} {spread(seeds)}")
    return told


@dataclass(frozen=True, slots=True)
class _Late:
    """What the validation scores of an arm gained at the end.

    Attributes:
        seeds: mean over the tasks in each seed, points.
        counts: validations of each curve in the last third.
        noise: how many of as many level curves would be called rising or falling.
    """

    arm: str
    seeds: tuple[float, ...]
    counts: tuple[int, ...]
    noise: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.seeds))

    @property
    def points(self) -> str:
        return f"{with_sign(self.mean)} {spread(self.seeds)}".rstrip()

    @property
    def validations(self) -> str:
        return _range(self.counts)


def _gains(found: Findings) -> list[_Late]:
    """Of the arms of which something is known."""
    return [gain for arm in found.arms if (gain := _of_arm(found, arm)) is not None]


def _of_arm(found: Findings, arm: Arm) -> _Late | None:
    scores = [score.late_gains for each, _, score in _each(found) if each == arm]
    by_seed = [[gain for gain in gains if gain is not None] for gains in zip(*scores, strict=True)]
    every = [gain for gains in by_seed for gain in gains]
    if not every:
        return None
    means = tuple(100 * float(np.mean([gain.mean for gain in gains])) for gains in by_seed if gains)
    return _Late(arm.name, means, tuple(gain.freedom + 2 for gain in every), sum(map(_by_noise, every)))


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def curves(found: Findings) -> str:
    """How many curves had not converged, in a sentence; of a model of several tasks, each has a validation curve."""
    known, every = Counter[str](), sum(len(score.converged) for _, _, score in _each(found))
    for arm, _, score in _each(found):
        known[arm.name] += sum(each is not None for each in score.converged)
    if not known.total():
        return (
            "Whether the runs had converged is not known: their validation scores were not recorded, or fewer than "
            f"{POINTS} in the last third of a run (a smaller training.eval_every gives more)."
        )
    ends = ((False, "still rose"), (True, "fell"))
    told = [f"{said} {words}" for falling, words in ends if (said := _open(found, known, falling=falling))]
    if not told:
        flat = sum(each is True for _, _, score in _each(found) if not score.learned for each in score.converged)
        at_baseline = f", {flat} of them without having learned the task" if flat else ""
        told_of = f"{known.total()} of {every} validation curves (one per task and seed)"
        return f"Convergence is known for {told_of}; all {known.total()} were level at the end{at_baseline}."
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
    """How many curves had not converged, what each arm gained at the end, and which runs had not; empty if all had, or
    nothing is known."""
    rows = []
    for arm, row, score in _each(found):
        known = zip(found.seeds, score.converged, score.falling, strict=True)
        if left := [f"{seed}{' (falling)' * falls}" for seed, converged, falls in known if converged is False]:
            rows.append([arm.name, row.title, ", ".join(left), ", ".join(map(str, score.extensions))])
    if not rows:
        return ""
    header = ["not converged", "task", "seeds", "extensions, by seed"]
    return "\n\n".join(filter(None, [late_gains(found), "## Curves that had not converged", table(header, rows)]))


def late_gains(found: Findings) -> str:
    """How many curves had not converged, how many would by noise alone, and a row for each arm, of what its validation
    scores gained at the end; empty if nothing is known."""
    gains = _gains(found)
    if not gains:
        return ""
    rows = [
        [
            each.arm,
            with_sign(each.mean),
            spread(each.seeds),
            ", ".join(_changing(found, each.arm)) or "none",
            each.validations,
            f"{len(each.counts)}",
            f"{each.noise:.0f}",
        ]
        for each in gains
    ]
    header = ["gain of the validation score over the last third, points", "mean", "t interval over the seeds"]
    header += ["tasks whose own t interval does not contain 0", PER_CURVE, "curves", "by noise alone"]
    told = "Last column: how many of these curves would seem to rise or fall by noise alone if all were level."
    return "\n\n".join([f"{curves(found)} {by_noise(found)}", table(header, rows), told])


def _by_noise(gain: Gain) -> float:
    """The probability that a level curve with the noise of this one would be called rising or falling."""
    return math.erfc(GAIN / gain.error / 2**0.5) if gain.error else 0.0


def _each(found: Findings) -> list[tuple[Arm, Row, Score]]:
    return [(arm, row, row.scores[arm.name]) for arm in found.arms for row in found.rows if arm.name in row.scores]


def _open(found: Findings, known: Counter[str], *, falling: bool) -> str:
    """How many of the known curves rise, or fall, and how many of them clearly; arm by arm if they are few; "" for
    none."""
    counts, clear, measured = Counter[str](), Counter[str](), False
    for arm, _, score in _each(found):
        for converged, falls, gain in zip(score.converged, score.falling, score.late_gains, strict=True):
            if converged is False and falling == falls:
                counts[arm.name] += 1
                clear[arm.name] += is_clear(gain)
                measured |= gain is not None

    def clearly(count: int) -> str:
        return f" ({count} clearly)" * measured

    if len(known) > MOST_ARMS:
        return f"{counts.total()} of {known.total()}{clearly(clear.total())}" if counts else ""
    *others, last = [f"{counts[arm]} of {known[arm]} of {arm}{clearly(clear[arm])}" for arm in counts] or [""]
    return f"{', '.join(others)} and {last}" if others else last
