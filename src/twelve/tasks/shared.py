"""What several task files need: errors about splits, pictures and boxes of records, the original's cut of a
training set, and predictions as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from twelve.data.records import Record
from twelve.data.root import MissingData, image_key
from twelve.errors import ConfigError, nearest
from twelve.tasks.base import Box, Example

SourceOf: TypeAlias = Callable[[str], str]
"""File name of a picture -> image source."""


def unknown_split(task: str, split: str, known: Iterable[str]) -> ConfigError:
    """An error about a split that the dataset does not have, to be raised."""
    known = list(known)
    return ConfigError(
        f"{task} has no split {split!r}{nearest(split, known)}", remedy=f"choose among {', '.join(known)}"
    )


def some(examples: list[Example], file: Path, split: str) -> list[Example]:
    """The examples themselves; raises MissingData when there is none of the split in the file."""
    if not examples:
        raise MissingData(
            f"holds no example of split {split!r}", file=file, remedy="choose another split or download the file again"
        )
    return examples


def values(examples: Sequence[Example], predictions: Sequence[Any]) -> list[Any]:
    """The value of every decoded prediction, aligned with the examples."""
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} examples, but {len(predictions)} predictions")
    return [prediction.value for prediction in predictions]


def image_of(record: Record, key: str, source_of: SourceOf) -> str:
    """Image id of the picture that a record names by its file."""
    name = record.text(key).rsplit("/", 1)[-1]
    return f"{source_of(name)}/{image_key(name)}"


def corners(record: Record, key: str = "bbox") -> Box:
    """x1, y1, x2, y2 of a box that a record gives as x, y, width, height; raises DataError for a negative size."""
    x, y, width, height = record.numbers(key, 4)
    if width < 0 or height < 0:
        raise record.error(f"field {key!r} must be x, y, width, height, found a negative size in {record.fields[key]}")
    return x, y, x + width, y + height


def last_by_id(examples: Sequence[Example], count: int) -> tuple[list[Example], list[Example]]:
    """(all but the last, the last ``count`` examples) in the order of their whole-number ids, as the original cuts
    what it validates on from its training sets.

    The cut falls between questions, not pictures, so one picture may stand on both sides.
    """
    ordered = sorted(examples, key=lambda example: int(example.id))
    cut = max(0, len(ordered) - count)
    return ordered[:cut], ordered[cut:]
