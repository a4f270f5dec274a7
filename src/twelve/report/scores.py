"""Scores for the report, each with its interval, protocol, baselines and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twelve.evaluation.results import TaskResult
from twelve.metrics.bootstrap import Interval
from twelve.report import words


@dataclass(frozen=True, slots=True)
class Bar:
    """A number on a scale of 0..100, with its interval if known."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, found: Interval) -> Bar:
        return cls(found.mean, found.low, found.high)

    @property
    def width(self) -> float:
        return _clamped(self.value)

    @property
    def start(self) -> float:
        return _clamped(self.value if self.low is None else self.low)

    @property
    def span(self) -> float:
        return 0.0 if self.high is None else max(0.0, _clamped(self.high) - self.start)


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """A baseline, and the model's advantage over it.

    Attributes:
        advantage: the model's score minus the baseline's, with its interval, in points.
    """

    name: str
    meaning: str
    bar: Bar
    advantage: Bar
    beaten: bool

    @property
    def verdict(self) -> str:
        if self.beaten:
            return "beaten"
        below = self.advantage.high is not None and self.advantage.high < 0
        return "not beaten: the model is below it" if below else "not beaten: not significant"


@dataclass(frozen=True, slots=True)
class TaskScore:
    """The official score of a task.

    Attributes:
        upper_bound: the best possible score, if known.
        closed: position between the best baseline (0) and the upper bound (100), per cent, if known.
        protocol: (name, value) pairs that must agree for scores to be comparable.
        others: (name, value, meaning) of the further official numbers.
    """

    metric: str
    meaning: str
    bar: Bar
    baselines: tuple[BaselineRow, ...]
    upper_bound: Bar | None
    closed: float | None
    protocol: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, float, str], ...]
    seconds: float

    @property
    def best_baseline(self) -> BaselineRow | None:
        return max(self.baselines, key=lambda baseline: baseline.bar.value, default=None)

    @property
    def beats_all(self) -> bool:
        return bool(self.baselines) and all(baseline.beaten for baseline in self.baselines)

    @property
    def verdict(self) -> str:
        if not self.baselines:
            return "baselines not measured"
        unbeaten = [baseline.name for baseline in self.baselines if not baseline.beaten]
        return f"does not beat: {', '.join(unbeaten)}" if unbeaten else "beats every baseline"


def task_score(result: TaskResult, meanings: Mapping[str, str]) -> TaskScore:
    """The score of a measured task; ``meanings`` are those of its output's metrics."""
    return TaskScore(
        metric=result.metric,
        meaning=words.metric(result.metric, meanings),
        bar=Bar.of(result.score),
        baselines=tuple(
            BaselineRow(name, words.baseline(name), Bar(found.score), Bar.of(found.advantage), found.beaten)
            for name, found in result.baselines.items()
        ),
        upper_bound=None if result.upper_bound is None else Bar(result.upper_bound),
        closed=result.closed,
        protocol=tuple(_protocol(result)),
        others=tuple(
            (name, value, words.metric(name, meanings))
            for name, value in result.metrics.items()
            if name != result.metric
        ),
        seconds=result.seconds,
    )


def _protocol(result: TaskResult) -> list[tuple[str, str]]:
    protocol = result.protocol
    boxes = {"detected": "found by a detector", "given": "given by the dataset"}
    rows = [
        ("split", protocol.split),
        ("examples", f"{result.examples:,}"),
        ("resampled by", f"{result.groups:,} groups (images, or sentences said of several)"),
        ("boxes", boxes.get(protocol.boxes, protocol.boxes)),
        ("equal scores", protocol.ties),
    ]
    rows += [("gallery", f"{protocol.gallery:,} images")] if protocol.gallery else []
    shortlist = f"{protocol.shortlist} images by the contrast head, which alone ranks the rest"
    rows += [("shortlist", shortlist)] if protocol.shortlist else []
    rows += [("note", protocol.note)] if protocol.note else []
    return rows


def _clamped(value: float) -> float:
    return min(100.0, max(0.0, value))
