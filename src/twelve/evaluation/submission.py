"""A dataset's official file of results, complete and in the order of the split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.errors import ConfigError, DataError
from twelve.io import files
from twelve.tasks.base import Task
from twelve.types.examples import Example
from twelve.types.predictions import Prediction


class Unlabelled(DataError):
    """The answers of a split are not public."""


def unlabelled(examples: Sequence[Example]) -> bool:
    """Whether no example has a label, so that nothing can be measured."""
    return all(example.target is None for example in examples)


def check_labelled(examples: Sequence[Example], task: Task, split: str, root: Path) -> None:
    """Refuse to measure a split without public labels.

    Raises:
        Unlabelled: names the split, the official file and a remedy.
    """
    if not unlabelled(examples):
        return
    try:
        task.submission([], [])
        remedy = (
            f"write the official file of results: twelve evaluate RUN --task {task.name} --split {split} --submit FILE"
        )
    except ConfigError:
        remedy = f"measure another split: --split {task.test_split}"
    file = next(iter(task.files(split)), "")
    problem = f"the split {split!r} of {task.name} has no answers to measure against"
    raise Unlabelled(problem, file=root / task.folder / file, remedy=remedy)


def write_submission(
    path: Path, task: Task, examples: Sequence[Example], predictions: Sequence[Prediction | None]
) -> Path:
    """Write the task's official file.

    Args:
        predictions: aligned with ``examples``.

    Raises:
        DataError: an example has no prediction; nothing is written.
        ConfigError: the dataset has no official file of results.
    """
    found = [*predictions, *[None] * (len(examples) - len(predictions))]
    missing = [example.id for example, prediction in zip(examples, found, strict=True) if prediction is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(examples)} examples have no prediction",
            file=path,
            record=missing[0],
            remedy="the official program would refuse the file: predict the whole split",
        )
    return write_content(path, task.submission(examples, found))


def write_content(path: Path, content: str | bytes) -> Path:
    """Write a file that appears when it is complete."""
    with files.replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
