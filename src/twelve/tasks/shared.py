"""What several task files need: errors about splits, and predictions as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from twelve.data.root import MissingData
from twelve.errors import ConfigError, nearest
from twelve.tasks.base import Example


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
