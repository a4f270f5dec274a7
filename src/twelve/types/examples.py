"""The record type that all datasets share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Box: TypeAlias = tuple[float, float, float, float]
"""x1, y1, x2, y2 in absolute pixels, origin top left."""

Target: TypeAlias = "Mapping[str, float] | Box | bool | str | int | float | None"
"""The ground truth, by kind of output: soft answers {answer: score in 0..1} (answer), the referred box or the index of
the right candidate (region), the index of the right option (options), True or False (pair, truth), a class name
(entailment, reply). None in unlabelled splits, and where text and image need no further target (alignment,
pretraining)."""

SEPARATOR = " [SEP] "
"""Separates the parts of a text (a question, an answer); a word piece of its own."""


@dataclass(frozen=True, slots=True)
class Example:
    """One record of a dataset, ready for any output.

    ``images`` holds ids with their source (``coco/391895``). ``group`` is the unit that confidence intervals resample
    (the image, or NLVR2's sentence). ``options`` are texts one of which belongs after ``text``; all examples of a task
    have the same number. ``facts`` holds what only the metric or the vocabulary needs; of a task of kind answer,
    ``label`` is the answer that the vocabulary counts.
    """

    id: str
    text: str
    images: tuple[str, ...]
    target: Target = None
    group: str = ""
    candidates: tuple[Box, ...] = ()
    options: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
