"""The calibration plot as coordinates; the template draws it as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twelve.evaluation.parts import FEWEST_EXAMPLES
from twelve.evaluation.results import ScoreBin, TaskResult
from twelve.progress import counted
from twelve.training.convergence import EXAMPLES

SIDE, MARGIN = 220, 34
"""Length of the plotted square, and the space for its labels."""
FEW = 10
"""With fewer predictions, a dot is faint, and no line leads to it."""
FAR = 10
"""Points between the mean confidence and the share of correct predictions that the verdict mentions."""
LARGEST = 9.0
"""Radius of the dot with the most predictions."""


@dataclass(frozen=True, slots=True)
class BinDot:
    """Predictions with about the same confidence: place, radius, label, and whether they are few."""

    x: float
    y: float
    radius: float
    text: str
    few: bool


@dataclass(frozen=True, slots=True)
class Reliability:
    """The calibration of a run.

    Attributes:
        dots: of all tasks together, by rising confidence; none if every task has too few predictions.
        paths: (title, SVG path) of each task by itself, without bins of few predictions.
        errors: (title, expected calibration error in points, predictions, why its confidence is not calibrated or ""),
            the largest error first.
        mean_score, mean_right: of all predictions, per cent.
        few: (title, predictions) of the tasks with too few, which are in none of the above.
    """

    dots: Sequence[BinDot]
    paths: Sequence[tuple[str, str]]
    errors: Sequence[tuple[str, float, int, str]]
    mean_score: float
    mean_right: float
    few: Sequence[tuple[str, int]] = ()
    fewest: int = FEW
    size: int = SIDE + 2 * MARGIN
    margin: int = MARGIN
    side: int = SIDE

    @property
    def path(self) -> str:
        return _path([(dot.x, dot.y) for dot in self.dots if not dot.few])

    @property
    def uncalibrated(self) -> Sequence[tuple[str, str]]:
        """(title, why) of the tasks whose confidence is not calibrated."""
        return [(title, why) for title, _, _, why in self.errors if why]

    @property
    def untold(self) -> Sequence[str]:
        """Sentences on the tasks with too few predictions, without the full stop."""
        return [
            f"{title}: too few predictions ({count}) to judge their confidence; {EXAMPLES} are needed"
            for title, count in self.few
        ]

    @property
    def verdict(self) -> str:
        gap = self.mean_score - self.mean_right
        how = "about right" if abs(gap) < 3 else "too sure" if gap > 0 else "too careful"
        right = f"{self.mean_right:.0f}% of the predictions are correct"
        return f"On average {how}: the mean confidence is {self.mean_score:.0f}%, and {right}."


def reliability(results: Sequence[TaskResult]) -> Reliability | None:
    """The plot of all tasks whose predictions have scores; None if there are none."""
    known = [result for result in results if result.calibration]
    few = [(result.title, _count(result)) for result in known if _count(result) < EXAMPLES]
    known = [result for result in known if _count(result) >= EXAMPLES]
    if not known:
        return Reliability((), (), (), 0.0, 0.0, few) if few else None
    pooled = _pooled([each for result in known for each in result.calibration])
    most, mean = max(each.examples for each in pooled), _together(pooled)
    dots = [
        BinDot(
            *_place(each),
            max(2.0, LARGEST * (each.examples / most) ** 0.5),
            _told(each),
            few=each.examples < FEW,
        )
        for each in pooled
    ]
    errors = [(result.title, result.calibration_error or 0.0, _count(result), result.uncalibrated) for result in known]
    return Reliability(
        dots=dots,
        paths=[
            (result.title, _path([_place(each) for each in result.calibration if each.examples >= FEWEST_EXAMPLES]))
            for result in known
        ],
        errors=sorted(errors, key=lambda each: -each[1]),
        mean_score=100 * mean.score,
        mean_right=100 * mean.right,
        few=few,
    )


def misjudged(result: TaskResult) -> str:
    """How far calibrated confidence is, on average, from the share of correct predictions; "" if it is not far, or if
    chance may explain it (two standard errors)."""
    if result.uncalibrated or (count := _count(result)) < EXAMPLES:
        return ""
    mean = _together(result.calibration)
    gap, error = 100 * (mean.score - mean.right), 100 * (mean.right * (1 - mean.right) / count) ** 0.5
    return f"{abs(gap):.0f} points too {'high' if gap > 0 else 'low'}" if abs(gap) >= max(FAR, 2 * error) else ""


def _count(result: TaskResult) -> int:
    return sum(each.examples for each in result.calibration)


def _pooled(bins: Sequence[ScoreBin], count: int = 10) -> list[ScoreBin]:
    """Bins of several tasks as ``count`` bins of equal width."""
    found = []
    for row in range(count):
        own = [each for each in bins if min(int(each.score * count), count - 1) == row and each.examples > 0]
        if own:
            found.append(_together(own))
    return found


def _together(bins: Sequence[ScoreBin]) -> ScoreBin:
    """Several bins as one."""
    total = sum(each.examples for each in bins)
    score = sum(each.examples * each.score for each in bins) / total
    return ScoreBin(total, score, sum(each.examples * each.right for each in bins) / total)


def _place(each: ScoreBin) -> tuple[float, float]:
    across, up = (min(1.0, max(0.0, value)) for value in (each.score, each.right))
    return MARGIN + SIDE * across, MARGIN + SIDE * (1 - up)


def _told(each: ScoreBin) -> str:
    return (
        f"{counted(each.examples, 'prediction')} with a confidence of about {each.score:.0%}: {each.right:.0%} correct"
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if row else 'M'}{x:.1f} {y:.1f}" for row, (x, y) in enumerate(places))
