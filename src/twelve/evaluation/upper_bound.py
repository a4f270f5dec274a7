"""Upper bounds: the best possible score of a task with these regions and this vocabulary.

A data root may have ``<task>/oracle.json`` with the answers of someone who knows the scene (the microworld writes it):
``{split: {example id: answer}}``, for captions the ids of all images that the caption is true of. The upper bound is
their score in the official metric. Without the file, or if only detected regions can be chosen, it is the score of the
best region or of the best answer in the vocabulary. In a file of one's own, examples that ask the same get the same
answer, so that not all of them can be right if their targets differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import Record, describe, read_object
from twelve.io.files import is_there
from twelve.outputs.alignment import RetrievalScores
from twelve.outputs.base import Output
from twelve.outputs.region import with_whole
from twelve.tasks.base import Task
from twelve.tasks.custom import FileTask
from twelve.types.examples import Example
from twelve.types.measurement import Protocol
from twelve.types.predictions import Prediction
from twelve.types.regions import Regions

FILE = "oracle.json"
REMEDY = "write the data root again"


def upper_bound(
    task: Task,
    output: Output,
    root: DataRoot,
    protocol: Protocol,
    examples: Sequence[Example],
    regions: Callable[[Example], Regions],
    vocabulary: Sequence[str],
) -> float | None:
    """The best possible headline number on ``examples``, per cent; None if there is no known bound.

    Raises:
        DataError: the oracle's file lacks an example, holds something else than its answer, or is no file.
    """
    pointing = points(output, examples)
    answers = _oracle(task, root, protocol.split)
    if answers is not None and not pointing:
        predictions = [Prediction(_value(answers, example.id, output), 1.0) for example in examples]
        return task.measure_by(protocol, examples, predictions).headline
    if pointing and protocol.name != task.protocol_name():
        return None
    seen = [regions(example) for example in examples] if output.reads == "regions" else []
    best = output.prospects(examples, seen, vocabulary).best
    if isinstance(task, FileTask):
        boxes = [with_whole(each).tolist() for each in seen] if pointing else []
        best = _answered_alike(task, examples, boxes, frozenset(vocabulary), best)
    most = 100 * float(np.mean(best))
    return most if pointing or most < 100 else None


def _answered_alike(
    task: FileTask,
    examples: Sequence[Example],
    boxes: Sequence[Any],
    known: frozenset[str],
    best: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N,) the best scores where examples that ask the same get the same answer; ``best``: where they need not."""
    found = best.copy()
    for rows in _same((example.images, _read(example.text), example.candidates) for example in examples):
        if len(rows) == 1:
            continue
        asked = [examples[row] for row in rows]
        values: Iterable[Any] = boxes[rows[0]] if boxes else dict.fromkeys(_targets(asked, known))
        scores = [task.scores(asked, [value] * len(asked)) for value in values]
        found[rows] = max(scores, key=np.sum, default=0.0)
    return found


def _targets(examples: Sequence[Example], known: frozenset[str]) -> Iterator[Any]:
    """What is right for one of the examples, at least in part, and can be said."""
    for target in (example.target for example in examples):
        yield from known & target.keys() if isinstance(target, Mapping) else [target]


def _same(keys: Iterable[Hashable]) -> Collection[list[int]]:
    """The rows of each key."""
    found = defaultdict[Hashable, list[int]](list)
    for row, key in enumerate(keys):
        found[key].append(row)
    return found.values()


def _read(text: str) -> str:
    """A text as the tokenizer reads it: without case and without spaces that tell nothing. (A warning may compare texts
    less strictly, as data/own_files.py does; a bound may not.)"""
    return " ".join(text.lower().split())


def points(output: Output, examples: Sequence[Example]) -> bool:
    """Whether the answer is one of the detected boxes, whose prospects are those of the default protocol's overlap."""
    return list in output.values and not all(example.candidates for example in examples)


def gallery_upper_bound(
    task: Task, root: DataRoot, split: str, captions: Sequence[Example], scores: RetrievalScores
) -> float | None:
    """Recall at 1 of someone who draws one of the images that a caption is true of. Without an oracle's file, that of
    the best single image for captions that are the same in a file of one's own; None if that is no bound.

    Raises:
        DataError: as :func:`upper_bound`.
    """
    answers = _oracle(task, root, split)
    if answers is None:
        same = _same(_read(caption.text) for caption in captions) if isinstance(task, FileTask) else []
        lost = sum(len(rows) - max(Counter(scores.target[rows].tolist()).values()) for rows in same)
        return 100 * (1 - lost / len(captions)) if lost else None
    gallery = set(scores.image_ids)
    found = []
    for key, target in zip(scores.caption_ids, scores.target, strict=True):
        true = gallery.intersection(_known(answers, key).strings(key)) | {scores.image_ids[int(target)]}
        found.append(1 / len(true))
    return 100 * float(np.mean(found))


def _oracle(task: Task, root: DataRoot, split: str) -> Record | None:
    """The answers of a split: example id -> answer."""
    path = root.path / task.name / FILE
    if not is_there(path, DataError):
        return None
    splits = read_object(path)
    return splits.record(split) if split in splits.fields else None


def _known(answers: Record, key: str) -> Record:
    """The answers, one of which is of this example."""
    if key not in answers.fields:
        raise DataError("the oracle has no answer", file=answers.file, record=key, remedy=REMEDY)
    return answers


def _value(answers: Record, key: str, output: Output) -> Any:
    value = _known(answers, key).fields[key]
    if type(value) not in output.values:
        kinds = " or ".join(kind.__name__ for kind in output.values)
        raise DataError(f"expected {kinds}, found {describe(value)}", file=answers.file, record=key, remedy=REMEDY)
    return answers.numbers(key, 4) if isinstance(value, list) else value
