"""What a task says of a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twelve.tasks.base import Measurement


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
    unit: str = "pictures"
    notes: Sequence[str] = ()
