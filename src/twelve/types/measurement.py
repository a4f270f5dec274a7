"""What a measurement says, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a number was measured: everything one must know to compare it with another's.

    Attributes:
        split: official name of the split.
        boxes: "detected" or "given".
        ties: how equal scores are ranked, when that matters.
        gallery: images a retrieval query is ranked against (None: all of the split).
        note: anything else that a reader must know.
    """

    split: str
    boxes: str = "detected"
    ties: str = "first of equals"
    gallery: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Official numbers of one task on one split.

    Attributes:
        primary: key of the headline number in ``metrics``.
        metrics: official metric name -> value, in per cent unless its name says otherwise.
        per_example: (N,) what each example contributes to the headline number, 0..1.
        groups: (N,) resampling unit of each example.
        rows: (N,) place, among the examples that were given, of those that the metric is about; None: all are.
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
class Scored:
    """Official numbers of a result file.

    Attributes:
        measurement: the numbers, and what each example contributes to the headline number.
        rules: how they were measured, in words: everything one must know to compare them with others.
        counts: name of a number in ``measurement.metrics`` -> examples it is about, where that is a part of them.
        unit: what the groups are that intervals resample.
        notes: what was left out, passed over or assumed.
    """

    measurement: Measurement
    rules: str
    counts: Mapping[str, int] = field(default_factory=dict)
    unit: str = "images"
    notes: Sequence[str] = ()
