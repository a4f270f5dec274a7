"""Upper bounds: the best possible score of a task with these regions and this vocabulary.

A data root may have ``<task>/oracle.json`` with the answers of someone who knows the scene (the microworld writes it):
``{split: {example id: answer}}``, for captions the ids of all images that the caption is true of. The upper bound is
their score in the official metric. Without the file, or if only detected regions can be chosen, it is the score of the
best region or of the best answer in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.outputs.alignment import RetrievalScores
from twelve.outputs.base import Output
from twelve.tasks.base import Task
from twelve.types.examples import Example
from twelve.types.predictions import Prediction
from twelve.types.regions import Regions

FILE = "oracle.json"
REMEDY = "write the data root again"


def upper_bound(
    task: Task,
    output: Output,
    root: DataRoot,
    split: str,
    examples: Sequence[Example],
    regions: Callable[[Example], Regions],
    vocabulary: Sequence[str],
) -> float | None:
    """The best possible headline number on ``examples``, per cent; None if there is no known bound.

    Raises:
        DataError: the oracle's file lacks an example.
    """
    pointing = output.reads == "regions" and not all(example.candidates for example in examples)
    answers = _oracle(task, root, split)
    if answers is not None and not pointing:
        predictions = [Prediction(_value(answers, example, root, task), 1.0) for example in examples]
        return task.measure(examples, predictions).headline
    seen = [regions(example) for example in examples] if output.reads == "regions" else []
    best = 100 * float(np.mean(output.prospects(examples, seen, vocabulary).best))
    return best if pointing or best < 100 else None


def gallery_upper_bound(task: Task, root: DataRoot, split: str, scores: RetrievalScores) -> float | None:
    """Recall at 1 of someone who draws one of the images that a caption is true of; None without an oracle's file."""
    answers = _oracle(task, root, split)
    if answers is None:
        return None
    gallery = set(scores.image_ids)
    found = []
    for key, target in zip(scores.caption_ids, scores.target, strict=True):
        true = gallery.intersection(_of(answers, key, root, task)) | {scores.image_ids[int(target)]}
        found.append(1 / len(true))
    return 100 * float(np.mean(found))


def _oracle(task: Task, root: DataRoot, split: str) -> Mapping[str, Any] | None:
    path = root.path / task.name / FILE
    if not path.is_file():
        return None
    answers = read_object(path).fields.get(split)
    if answers is not None and not isinstance(answers, dict):
        raise DataError("must hold example ids with answers", file=path, record=split, remedy=REMEDY)
    return answers


def _of(answers: Mapping[str, Any], key: str, root: DataRoot, task: Task) -> Any:
    if key not in answers:
        raise DataError("the oracle has no answer", file=root.path / task.name / FILE, record=key, remedy=REMEDY)
    return answers[key]


def _value(answers: Mapping[str, Any], example: Example, root: DataRoot, task: Task) -> Any:
    value = _of(answers, example.id, root, task)
    return tuple(value) if isinstance(value, list) else value
