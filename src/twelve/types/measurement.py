"""Measured numbers and how they were obtained."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

OFFICIAL = "official"
"""Name of the only protocol of most tasks."""
Owner: TypeAlias = Literal["dataset", "file", "code"]
"""Whose metric a task has: that of a dataset, that on a JSON Lines file of one's own, or that of a task that is
defined in code outside of this package."""
MARKS = "the answer's score in the file, otherwise 0"
"""The part of a protocol's note that says that answers have marks between 0 and 1."""
_Count: TypeAlias = Annotated[int, Field(ge=1, lt=2**31)]
"""A number of images or of galleries, as it may be in a file."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a number was measured: everything needed to compare it with others.

    Attributes:
        split: official name of the split.
        boxes: "detected", or "given" by the dataset.
        ties: how equal scores are ranked, where that matters.
        gallery: number of images that a retrieval query is ranked against (None: all of the split).
        galleries: number of such galleries, over which the numbers are averaged.
        shortlist: images of a query that the model ranks, chosen by the contrast head (None: all of the gallery).
        contrast_weight: of the contrast head's logit in a retrieval score, beside the model's own.
        note: anything else a reader must know.
        name: of one of the task's protocols, as ``--protocol`` takes it; another gallery's says how many images it has.
    """

    split: str
    boxes: str = "detected"
    ties: str = "first of equals"
    gallery: _Count | None = None
    note: str = ""
    shortlist: _Count | None = None
    name: str = OFFICIAL
    galleries: _Count = 1
    contrast_weight: float = 0.0

    @property
    def marked(self) -> bool:
        """Whether answers of a file of one's own can be right in part."""
        return MARKS in self.note


@dataclass(frozen=True, slots=True)
class Measurement:
    """Official metrics of one task on one split.

    Attributes:
        primary: key of the headline metric in ``metrics``.
        metrics: name -> value, in per cent unless the name says otherwise.
        per_example: (N,) contribution of each example to the headline metric, in 0..1. If the headline is not their
            mean, intervals come from measuring resamples (evaluation/remeasured.py).
        groups: (N,) resampling unit of each example.
        rows: (N,) indices of the measured examples among those passed in; None if all are measured.
    """

    primary: str
    metrics: Mapping[str, float]
    per_example: NDArray[np.float64]
    groups: Sequence[str]
    rows: Sequence[int] | None = None

    @property
    def headline(self) -> float:
        return self.metrics[self.primary]


@dataclass(frozen=True, slots=True)
class ExampleValues:
    """A metric that is the mean over examples.

    Attributes:
        ids: (N,) names of the examples.
        values: (N,) contribution of each example to the metric, in 0..1.
        groups: (N,) resampling unit of each example.
    """

    ids: Sequence[str]
    values: NDArray[np.float64]
    groups: Sequence[str]

    def parts(self, names: Iterable[Collection[str]]) -> dict[str, ExampleValues]:
        """Metric -> the examples that it is about.

        Args:
            names: (N,) the metrics that each example is part of.
        """
        found: dict[str, list[int]] = {}
        for row, own in enumerate(names):
            for name in own:
                found.setdefault(name, []).append(row)
        return {name: self.at(rows) for name, rows in found.items()}

    def at(self, rows: Sequence[int]) -> ExampleValues:
        """The examples in these rows, in this order."""
        ids, groups = ([those[row] for row in rows] for those in (self.ids, self.groups))
        return ExampleValues(ids, self.values[list(rows)], groups)


@dataclass(frozen=True, slots=True)
class Scored:
    """Official metrics of a result file.

    Attributes:
        measurement: the metrics.
        rules: how they were measured, in words: everything needed to compare them with others.
        counts: name in ``measurement.metrics`` -> number of examples it covers, where it does not cover all.
        unit: what confidence intervals resample.
        notes: what was omitted, ignored or assumed.
        means: name in ``measurement.metrics`` -> its examples, where it is a mean over examples. A task whose headline
            metric is missing here cannot be compared with ``--minus``.
    """

    measurement: Measurement
    rules: str
    counts: Mapping[str, int] = field(default_factory=dict)
    unit: str = "images"
    notes: Sequence[str] = ()
    means: Mapping[str, ExampleValues] = field(default_factory=dict)
