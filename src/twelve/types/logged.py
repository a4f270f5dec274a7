"""Answers that another evaluation program logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class HarnessLog:
    """One kind of log that a harness writes of a task.

    Attributes:
        datasets: regular expression of the names that the harness gives to the task's data.
        metric: the harness's name of its number.
        differs: why its number is not the official one, a sentence each.
        boxes: how answers write boxes, see :data:`twelve.harness.boxes.READINGS`: what the harness asks for; "" where
            it does not say.
    """

    datasets: str
    metric: str
    differs: tuple[str, ...]
    boxes: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """One answer in a harness's log.

    Attributes:
        place: where it is in the log, for messages: ``line 3``, ``row 2``.
        position: its place in the harness's data, from 0; None if the log does not say.
        key: the id that the harness gives to the example, or "".
        text: what was asked.
        prediction: the model's answer as it wrote it.
        own: the harness's score of this answer, 0..1; None where it counts several as one, for all but the first.
        doc: all that the log says of the example, by name.
    """

    place: str
    position: int | None
    key: str
    text: str
    prediction: str
    own: float | None
    doc: Mapping[str, Any] = field(default_factory=dict)
