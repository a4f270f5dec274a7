"""Loss and score curves as coordinates of small charts; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 150
LEFT, RIGHT, TOP, BOTTOM = 38, 44, 8, 22
"""Margins around the plotted area; the right one holds the last value."""
MOST = 160
"""Maximum number of points. Longer curves are averaged in runs of equal length."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a curve: its position and its label."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One curve with its axes.

    Attributes:
        unit: unit of the values, or "".
        ticks_x, ticks_y: (position, label).
        bands: (left, width) of the iterations in which the task was stopped.
    """

    title: str
    unit: str
    dots: tuple[Dot, ...]
    ticks_x: tuple[tuple[float, str], ...]
    ticks_y: tuple[tuple[float, str], ...]
    bands: tuple[tuple[float, float], ...]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM

    @property
    def path(self) -> str:
        return _path(self.dots)


def chart(
    title: str,
    unit: str,
    points: Sequence[tuple[int, float]],
    iterations: int,
    spans: Sequence[tuple[int, int]] = (),
    form: str = ".2f",
    most: float | None = None,
) -> Chart | None:
    """A chart of (iteration, value) points; None if there are no finite values.

    Args:
        iterations: end of the horizontal axis.
        spans: (from, to) iterations that are shaded.
        form: format of the values.
        most: where the vertical axis ends, which then begins at 0, so that curves with the same one can be compared;
            None: it encloses the points. Points beyond these ends widen it.
    """
    points = thinned([point for point in points if math.isfinite(point[1])])
    if not points:
        return None
    values = [value for _, value in points]
    ends = (min(values), max(values)) if most is None else (min(0, *values), max(most, *values))
    steps = [step for step in ticks(*ends) if step >= min(0, *values)]
    low, high = min(steps[0], min(values)), max(steps[-1], max(values))
    across = _scale(0, max(iterations, 1), LEFT, WIDTH - RIGHT)
    up = _scale(low, high, HEIGHT - BOTTOM, TOP)
    dots = tuple(Dot(across(at), up(value), f"iteration {at:,}: {value:{form}}") for at, value in points)
    first, last = values[0], values[-1]
    return Chart(
        title=title,
        unit=unit,
        dots=dots,
        ticks_x=tuple(
            (across(step), f"{step:,.0f}") for step in ticks(0, iterations) if step <= iterations and step % 1 == 0
        ),
        ticks_y=tuple((up(step), f"{step:g}") for step in steps),
        bands=tuple((across(start), across(end) - across(start)) for start, end in spans),
        summary=f"{title}: from {first:{form}} in iteration {points[0][0]:,} to {last:{form}} in {points[-1][0]:,}",
    )


SMALL_WIDTH, SMALL_HEIGHT, SMALL_LEFT, SMALL_BELOW = 160, 68, 24, 16
"""Of a sketch; at its left and below it are two labels each."""
PERCENT = 100.0
"""Where the vertical axis of scores ends, for every task the same, so that heights can be compared."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A small validation curve, one of many beside each other.

    Attributes:
        first, last: scores, per cent.
        bottom, top: the labels of the vertical axis.
        begin, until: iterations where the horizontal axis begins and ends: at the first and the last validation.
        bands: as of :class:`Chart`.
        low: where the vertical axis ends.
    """

    path: str
    end: Dot
    first: float
    last: float
    bottom: str
    top: str
    begin: int
    until: int
    bands: tuple[tuple[float, float], ...]
    width: int = SMALL_WIDTH
    height: int = SMALL_HEIGHT
    left: int = SMALL_LEFT

    @property
    def low(self) -> int:
        return self.height - SMALL_BELOW


def sketch(points: Sequence[tuple[int, float]], spans: Sequence[tuple[int, int]] = ()) -> Sketch | None:
    """A sketch of (iteration, per cent) points from 0 to 100; None with fewer than two finite ones.

    Args:
        spans: as of :func:`chart`.
    """
    points = thinned([point for point in points if math.isfinite(point[1])])
    if len(points) < 2:
        return None
    values, begin, until = [value for _, value in points], points[0][0], points[-1][0]
    steps = ticks(min(0, *values), max(PERCENT, *values), 2)
    across = _scale(begin, max(until, begin + 1), SMALL_LEFT, SMALL_WIDTH - 4)
    up = _scale(steps[0], steps[-1], SMALL_HEIGHT - SMALL_BELOW, 4)
    dots = [Dot(across(at), up(value), f"{value:.1f}") for at, value in points]
    shown = [(max(start, begin), min(end, until)) for start, end in spans]
    return Sketch(
        path=_path(dots),
        end=dots[-1],
        first=values[0],
        last=values[-1],
        bottom=f"{steps[0]:g}",
        top=f"{steps[-1]:g}",
        begin=begin,
        until=until,
        bands=tuple((across(start), across(end) - across(start)) for start, end in shown if start < end),
    )


def thinned(points: Sequence[tuple[int, float]], most: int = MOST) -> list[tuple[int, float]]:
    """At most ``most`` points: the means of runs of equal length, at the last iteration of each run."""
    size = max(1, math.ceil(len(points) / most))
    runs = [points[start : start + size] for start in range(0, len(points), size)]
    return [(run[-1][0], sum(value for _, value in run) / len(run)) for run in runs]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers that enclose [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _path(dots: Sequence[Dot]) -> str:
    return " ".join(f"{'L' if row else 'M'}{dot.x:.1f} {dot.y:.1f}" for row, dot in enumerate(dots))


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (end - start) * (value - low) / (high - low)
