"""Scores for the report, each with its interval, protocol, baselines and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from twelve.evaluation import published_scores
from twelve.evaluation.compared import BETTER, UNDECIDED, WORSE, compared, height, standing
from twelve.evaluation.results import TaskResult
from twelve.metrics.bootstrap import Interval
from twelve.progress import counted
from twelve.report import words
from twelve.tasks.base import all_tasks
from twelve.types.measurement import OFFICIAL, Owner

FEW = 100
"""Test images below which a score above every baseline may still decide nothing: with as many, the 95% interval of a
share reaches up to 10 points to either side."""
LITTLE = 10
"""Points left to gain, up to which a task leaves little room for improvement."""
LEAST = 5
"""Points left to gain, up to which neither longer training nor more examples are advised."""


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
    """A baseline, and the model's lead over it.

    Attributes:
        advantage: the model's score minus the baseline's, with its interval, in points.
    """

    name: str
    meaning: str
    bar: Bar
    advantage: Bar
    beaten: bool

    @property
    def standing(self) -> str:
        """How the model stands to it, in a word."""
        return BETTER if self.beaten else standing(self.advantage.low, self.advantage.high)

    @property
    def tone(self) -> str:
        """How :attr:`standing` is coloured."""
        return {BETTER: "good", UNDECIDED: "open", WORSE: "bad"}[self.standing]

    @property
    def compared(self) -> str:
        """:attr:`standing`, for a sentence that names the baseline."""
        return compared(self.name, self.bar.value, self.standing)


@dataclass(frozen=True, slots=True)
class TaskScore:
    """The score of a task: the official one of a dataset, or one on a test file of one's own.

    Attributes:
        upper_bound: the best possible score, if known.
        normalised: where it lies between the best baseline (0) and the upper bound (100), if known.
        protocol: (name, value) pairs that must agree for scores to be comparable.
        examples, groups: how many it was measured on, and how many clusters of them (images) its interval resamples.
        others: (name, value, meaning) of the further official numbers; no meaning where it is that of the row above, or
            of the same metric on fewer examples.
    """

    metric: str
    meaning: str
    bar: Bar
    baselines: tuple[BaselineRow, ...]
    upper_bound: Bar | None
    normalised: float | None
    protocol: tuple[tuple[str, str], ...]
    examples: int
    groups: int
    others: tuple[tuple[str, float, str], ...]
    seconds: float

    @property
    def left(self) -> float:
        """Points left to gain, up to the best possible score."""
        return (100.0 if self.upper_bound is None else self.upper_bound.value) - self.bar.value

    @property
    def no_room(self) -> bool:
        """Whether even the best possible score is hardly above a baseline, so that the examples cannot tell a good
        model from one that learned nothing."""
        best = max((baseline.bar.value for baseline in self.baselines), default=0.0)
        return self.upper_bound is not None and self.upper_bound.value - best <= LEAST

    @property
    def has_parts(self) -> bool:
        """Whether some of the further numbers are of fewer examples."""
        return any(", " in name for name, _, _ in self.others)

    @property
    def best_baseline(self) -> BaselineRow | None:
        return max(self.baselines, key=lambda baseline: height(baseline.name, baseline.bar.value), default=None)

    @property
    def beats_all(self) -> bool:
        return bool(self.baselines) and all(baseline.beaten for baseline in self.baselines)

    @property
    def best_unbeaten(self) -> BaselineRow | None:
        """The highest of the baselines that the score is not better than."""
        rows = (baseline for baseline in self.baselines if not baseline.beaten)
        return max(rows, key=lambda baseline: height(baseline.name, baseline.bar.value), default=None)

    @property
    def undecided(self) -> bool:
        """Whether it is well above every baseline, but measured on too few images to tell whether it is better than
        each. Of a small lead, more images would hardly tell anything else."""
        return self._on_few_above and self.small_lead is None

    @property
    def small_lead(self) -> float | None:
        """Points from which a lead would be undecided, about a standard error (a quarter of its 95% interval), if the
        score is above every baseline by less, on few images; None if it is not."""
        lead = self.best_unbeaten.advantage if self._on_few_above and self.best_unbeaten else None
        if lead is None or lead.low is None or lead.high is None:
            return None
        least = (lead.high - lead.low) / 4
        return least if lead.value < least else None

    @property
    def _on_few_above(self) -> bool:
        """Whether it is above every baseline on few images, but not shown to be better than each."""
        highest = self.best_baseline
        above = highest is not None and self.bar.value > highest.bar.value
        return self.groups < FEW and above and self.best_unbeaten is not None

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """Names of the baselines that the score is not better than."""
        return tuple(baseline.name for baseline in self.baselines if not baseline.beaten)


def task_score(
    result: TaskResult,
    meanings: Mapping[str, str],
    *,
    drawn: bool = False,
    owner: Owner = "dataset",
    answers: int | None = None,
) -> TaskScore:
    """The score of a measured task.

    Args:
        meanings: those of its output's metrics.
        drawn: the data are the microworld's.
        owner: whose metric it is.
        answers: number of the answers that the model chooses among, if it chooses among a list of them.
    """
    return TaskScore(
        metric=result.metric,
        meaning=words.metric(result.metric, meanings, owner=owner),
        bar=Bar.of(result.score),
        baselines=tuple(
            BaselineRow(
                name,
                words.baseline(name, answers, found.drawn_from),
                Bar(found.score),
                Bar.of(found.advantage),
                found.beaten,
            )
            for name, found in result.baselines.items()
        ),
        upper_bound=None if result.upper_bound is None else Bar(result.upper_bound),
        normalised=result.normalised,
        protocol=tuple(_protocol(result, drawn, owner)),
        examples=result.examples,
        groups=result.groups,
        others=tuple(_others(result, meanings, owner)),
        seconds=result.seconds,
    )


def _others(result: TaskResult, meanings: Mapping[str, str], owner: Owner) -> Iterator[tuple[str, float, str]]:
    above = ""
    for name, value in result.metrics.items():
        if name != result.metric:
            meaning = "" if ", " in name else words.metric(name, meanings, owner=owner)
            yield name, value, "" if meaning == above else meaning
            above = meaning or above


def _protocol(result: TaskResult, drawn: bool, owner: Owner) -> list[tuple[str, str]]:
    protocol, own = result.protocol, owner != "dataset"
    givers = {"dataset": "the dataset", "file": "your files", "code": "your task"}
    boxes = {"detected": "found by a detector", "given": f"given by {givers[owner]}"}
    rows = [] if own and protocol.name == OFFICIAL else [("protocol", protocol.name)]
    rows += [
        ("your test file" if owner == "file" else "split", protocol.split),
        ("examples", f"{result.examples:,}"),
        ("resampled by", _groups(result, owner)),
        ("boxes", boxes.get(protocol.boxes, protocol.boxes)),
    ]
    rows += [("equal scores", protocol.ties)] if result.ties_matter or not own else []
    several = f", {protocol.galleries} such galleries averaged" if protocol.galleries > 1 else ""
    rows += [("gallery", f"{protocol.gallery:,} images{several}")] if protocol.gallery else []
    shortlist = f"{protocol.shortlist} images by the contrast head, which alone ranks the rest"
    rows += [("shortlist", shortlist)] if protocol.shortlist else []
    weighed = f"the model's logit and {protocol.contrast_weight:g} times the contrast head's"
    rows += [("score of a pair", weighed)] if protocol.contrast_weight else []
    rows += [("note", protocol.note)] if protocol.note else []
    rows += [("interval", result.interval_note)] if result.interval_note else []
    published = published_scores.in_words(result, drawn=drawn)
    rows += [("published", f"this score {published}")] if published is not None else []
    return rows


def _groups(result: TaskResult, owner: Owner) -> str:
    """What the interval resamples, and what the examples of a cluster have in common."""
    if owner == "dataset":
        task = all_tasks().get(result.task)  # None: a task that no longer exists
        return f"{counted(result.groups, 'cluster' if task is None else task.unit)}, each with all its examples"
    same = "that your task puts into the same cluster (its “group”)"
    if owner == "file":
        same = "of the same image (of two, the first), or with the same “group” in your file,"
    return f"{counted(result.groups, 'cluster')}; examples {same} stay together"


def _clamped(value: float) -> float:
    return min(100.0, max(0.0, value))
