"""Whether a run has converged, and when: read from its validation scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GAIN = 0.005
"""A task has converged if its validation score gains or loses less than this over the last third of the run."""
POINTS = 3
"""Fewest validations in the last third that say anything."""
EXAMPLES = 50
"""Fewest validation examples on which a score is said to rise: with fewer, one example is more than two points.
Calibration needs as many."""
SHARE = 0.99
"""A task took as long to converge as it took to reach this share of its best validation score."""

Points = Sequence[tuple[int, float]]
"""(iteration, validation score in 0..1), in order."""


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain over the last third of a run: the rise of the line that fits its validation scores best (least squares).

    Attributes:
        mean: in 0..1; negative for a loss.
        error: its standard error, by how far the scores are from the line.
        freedom: degrees of freedom of the error: scores less two.
    """

    mean: float
    error: float
    freedom: int


def fitted_gain(points: Points, length: int) -> Gain | None:
    """The gain over the last third of a run of ``length`` iterations; None with fewer than :data:`POINTS` scores."""
    late = [point for point in points if point[0] > 2 * length / 3]
    if len(late) < POINTS:
        return None
    iterations, scores = np.array(late, dtype=np.float64).T
    iterations = (iterations - iterations.mean()) / (length / 3)
    slope, middle = np.polyfit(iterations, scores, 1)
    left, freedom = scores - middle - slope * iterations, len(late) - 2
    return Gain(float(slope), float((left @ left / freedom / (iterations @ iterations)) ** 0.5), freedom)


def gain(points: Points, length: int) -> float | None:
    """The mean of :func:`fitted_gain`."""
    found = fitted_gain(points, length)
    return None if found is None else found.mean


def noise(score: float, examples: int | None) -> float:
    """The standard error of a score, 0..1, as a share of so many validation examples: a smaller rise may be chance. It
    is 0 if their number is not known."""
    return (max(0.0, score * (1 - score)) / examples) ** 0.5 if examples else 0.0


def has_converged(points: Points, length: int) -> bool | None:
    """Whether the score neither rises by :data:`GAIN` nor falls; None if too little is known."""
    found = gain(points, length)
    return None if found is None else -GAIN <= found < GAIN


def falls(points: Points, length: int) -> bool:
    """Whether the loss is known to be above :data:`GAIN`."""
    found = gain(points, length)
    return found is not None and found < -GAIN


def convergence(points: Points) -> int | None:
    """The first iteration whose score is at least :data:`SHARE` of the best one; None without scores."""
    best = max((score for _, score in points), default=0.0)
    return next((iteration for iteration, score in points if score >= SHARE * best), None)
