"""Scores as the report shows them: each with its interval, protocol, baselines, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twelve.report import words


@dataclass(frozen=True, slots=True)
class Bar:
    """A number on a scale of 0..100, with the interval around it where one is known."""

    value: float
    low: float | None = None
    high: float | None = None

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
    """A baseline, and by how much the model is above it.

    Attributes:
        advantage: the model's score minus the baseline's, with its interval, in points.
    """

    name: str
    meaning: str
    bar: Bar
    advantage: Bar

    @property
    def beaten(self) -> bool:
        return self.advantage.low is not None and self.advantage.low > 0

    @property
    def verdict(self) -> str:
        if self.beaten:
            return "beaten"
        below = self.advantage.high is not None and self.advantage.high < 0
        return "not beaten: the model is below it" if below else "not beaten: too close to tell"


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One task's official number.

    Attributes:
        protocol: (what, value) pairs that one must know to compare the number with another's.
        upper bound: what could be reached at most (the oracle's score), where it is known.
        closed: share of the way from the best baseline to the upper bound, per cent, where it is known.
        others: (name, value, meaning) of every further official number.
    """

    task: str
    title: str
    metric: str
    meaning: str
    bar: Bar
    baselines: tuple[BaselineRow, ...]
    upper_bound: Bar | None
    closed: Bar | None
    protocol: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, float, str], ...]
    seconds: float

    @property
    def best_baseline(self) -> BaselineRow | None:
        return max(self.baselines, key=lambda baseline: baseline.bar.value, default=None)

    @property
    def unbeaten(self) -> list[str]:
        return [baseline.name for baseline in self.baselines if not baseline.beaten]

    @property
    def beats_all(self) -> bool:
        return bool(self.baselines) and not self.unbeaten

    @property
    def verdict(self) -> str:
        if not self.baselines:
            return "baselines not measured"
        return "beats every baseline" if self.beats_all else f"does not beat: {', '.join(self.unbeaten)}"


def task_score(tree: Mapping[str, Any], meanings: Mapping[str, str]) -> TaskScore:
    """A task of evaluation.json; ``meanings`` are those of its output's metrics."""
    found = dict(tree.get("baselines", {}))
    upper_bound = _bar(tree.get("oracle")) or _bar(found.pop("oracle", None)) or _bar(tree.get("upper_bound"))
    baselines = tuple(_baseline(name, baseline) for name, baseline in found.items())
    score = _interval(tree["score"])
    closed = _bar(tree.get("closed"))
    best = max((baseline.bar.value for baseline in baselines), default=None)
    if closed is None and upper_bound is not None and best is not None and upper_bound.value > best:
        closed = Bar(100 * (score.value - best) / (upper_bound.value - best))
    name = tree["metric"]
    return TaskScore(
        task=tree["task"],
        title=tree["title"],
        metric=name,
        meaning=words.metric(name, meanings),
        bar=score,
        baselines=baselines,
        upper_bound=upper_bound,
        closed=closed,
        protocol=tuple(_protocol(tree)),
        others=tuple(
            (other, float(value), words.metric(other, meanings))
            for other, value in tree.get("metrics", {}).items()
            if other != name
        ),
        seconds=float(tree.get("seconds", 0.0)),
    )


def _protocol(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    protocol = tree.get("protocol", {})
    boxes = {"detected": "found by a detector", "given": "given by the dataset"}
    rows = [
        ("split", str(protocol.get("split", "?"))),
        ("examples", f"{tree.get('examples', 0):,}"),
        ("resampled by", f"{tree.get('groups', 0):,} groups (images, or sentences said of several)"),
        ("boxes", boxes.get(protocol.get("boxes", ""), str(protocol.get("boxes", "?")))),
        ("equal scores", str(protocol.get("ties", "?"))),
    ]
    if protocol.get("gallery"):
        rows.append(("gallery", f"{protocol['gallery']:,} images"))
    if protocol.get("note"):
        rows.append(("note", str(protocol["note"])))
    return rows


def _baseline(name: str, tree: Mapping[str, Any]) -> BaselineRow:
    return BaselineRow(
        name=name, meaning=words.baseline(name), bar=Bar(float(tree["score"])), advantage=_interval(tree["advantage"])
    )


def _interval(tree: Mapping[str, Any]) -> Bar:
    return Bar(float(tree["mean"]), float(tree["low"]), float(tree["high"]))


def _bar(value: Any) -> Bar | None:
    """A number, an interval or a baseline-like object as a bar; None for anything else."""
    if isinstance(value, Mapping):
        if "mean" in value:
            return _interval(value)
        value = value.get("score")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Bar(float(value))
    return None


def _clamped(value: float) -> float:
    return min(100.0, max(0.0, value))
