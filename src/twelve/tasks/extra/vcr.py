"""VCR: which of four answers is right, and which of four reasons explains it (Zellers et al. 2019). An extra task.

A line of ``val.jsonl``; a list inside a text refers to positions in ``objects``::

    {"annot_id": "val-0", "img_id": "val-0", "img_fn": "lsmdc_1054/shot_00.01.jpg", "metadata_fn": "...",
     "objects": ["person", "person", "chair"],
     "question": ["Why", "is", [1], "standing", "?"],
     "answer_choices": [["No", "."], [[0, 1], "are", "leaving", "."], ...], "answer_label": 1,
     "rationale_choices": [["The", [2], "is", "taken", "."], ...], "rationale_label": 0}

Objects become words: the class name, numbered in the order of ``objects`` if the image has several of the class
("person 2"). (The original draws random first names for people.) Test lines have no labels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import Record, describe, read_lines, writable
from twelve.formats.results import complete, only, passed_over
from twelve.formats.unique import unique
from twelve.metrics import vcr as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import image_of, some_of, values
from twelve.types.examples import SEPARATOR, Example
from twelve.types.measurement import ExampleValues, Measurement, Scored

_NAMES = {"answers": "Q->A", "reasons": "QA->R", "both": "Q->AR"}


class _VCR(Task):
    """Shared by both subtasks: the files, the official result file and its three metrics."""

    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "options"
    source: ClassVar[str] = "vcr"
    extra: ClassVar[bool] = True
    page: ClassVar[str] = "https://visualcommonsense.com/download"
    result_file: ClassVar[str] = "{split}_{part}.csv"
    file_names: ClassVar[Mapping[str, str]] = {split: f"{split}.jsonl" for split in ("train", "val", "test")}
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    part: ClassVar[str]
    """Field of :class:`twelve.metrics.vcr.Right` for this subtask."""

    @property
    def folder(self) -> str:
        return "vcr"

    def result_name(self, split: str) -> str:
        return self.result_file.format(split=split, part=self.part)

    @property
    def metric(self) -> str:
        """Name of the headline metric."""
        return _NAMES[self.part]

    @abstractmethod
    def examples(self, record: Record, split: str, source: str) -> Iterator[Example]:
        """The examples in one line."""

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        source = root.image_source(self)
        found = (example for record in _lines(path) for example in self.examples(record, split, source))
        return some_of(found, path, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        chosen = values(examples, predictions)
        right = np.array([e.target == value for e, value in zip(examples, chosen, strict=True)], dtype=np.float64)
        groups = [example.group for example in examples]
        return Measurement(self.metric, {self.metric: 100 * float(right.mean())}, right, groups)

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Reports every metric that the predictions allow; the headline is this task's own."""
        path = only(truth, "val.jsonl")
        lines = {record.text("annot_id"): record for record in _lines(path)}
        labels = {key: (_label(r, "answer_label"), _label(r, "rationale_label")) for key, r in lines.items()}
        predicted = metric.read_results(predictions)
        complete(labels, predicted, predictions[0], "question")
        right = metric.evaluate(labels, predicted, predictions[0])
        found = {name: share for key, name in _NAMES.items() if (share := getattr(right, key)) is not None}
        if self.metric not in found:
            problem = f"no predictions for {self.title}"
            raise DataError(problem, file=predictions[0], remedy=metric.REMEDY)
        ids, groups = list(lines), [record.text("img_fn") for record in lines.values()]
        means = {name: ExampleValues(ids, np.array(each, dtype=np.float64), groups) for name, each in found.items()}
        numbers = {name: 100 * float(part.values.mean()) for name, part in means.items()}
        return Scored(
            Measurement(self.metric, numbers, means[self.metric].values, groups),
            f"{_NAMES['reasons']} given the correct answer; {_NAMES['both']} requires both to be correct",
            dict.fromkeys(found, len(labels)),
            notes=passed_over(sum(key not in labels for key in predicted), f"without a counterpart in {path.name}"),
            means=means,
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """This subtask's columns of the official file; reasons that were not predicted are empty cells."""
        columns = sorted({name for example in examples for name in example.facts["columns"]})
        rows: dict[str, dict[str, float]] = {}
        for example, prediction in zip(examples, predictions, strict=True):
            shares = {example.facts["columns"][option]: share for option, share in prediction.alternatives}
            rows.setdefault(example.facts["annot_id"], {}).update(shares)
        lines = [[metric.KEY, *columns]]
        lines += [[key, *(repr(row[name]) if name in row else "" for name in columns)] for key, row in rows.items()]
        return "".join(",".join(line) + "\n" for line in lines)


@register
class VCRAnswers(_VCR):
    """Q->A: choose one of four answers."""

    name: ClassVar[str] = "vcr_qa"
    title: ClassVar[str] = "VCR answers"
    note: ClassVar[str] = "one of four answers; the dataset's object outlines are not used"
    token: ClassVar[int] = 5
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=2e-5, max_text=60, epochs=10)
    part: ClassVar[str] = "answers"

    def examples(self, record: Record, split: str, source: str) -> Iterator[Example]:
        things = names_of(record)
        key, image = record.text("annot_id"), image_of(record, "img_fn", lambda _: source)
        yield Example(
            id=key,
            text=_words(record, "question", record.items("question"), things),
            images=(image,),
            target=_target(record, "answer_label", split),
            group=image,
            options=_choices(record, "answer_choices", things),
            facts={"annot_id": key, "columns": metric.ANSWERS},
        )


@register
class VCRReasons(_VCR):
    """QA->R: choose one of four reasons given the right answer. Unlabelled lines give one example per answer."""

    name: ClassVar[str] = "vcr_qar"
    title: ClassVar[str] = "VCR reasons"
    note: ClassVar[str] = "one of four reasons, given the correct answer; the dataset's object outlines are not used"
    token: ClassVar[int] = 6
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=2e-5, max_text=80, epochs=10)
    part: ClassVar[str] = "reasons"

    def examples(self, record: Record, split: str, source: str) -> Iterator[Example]:
        things = names_of(record)
        key, image = record.text("annot_id"), image_of(record, "img_fn", lambda _: source)
        question = _words(record, "question", record.items("question"), things)
        answers = _choices(record, "answer_choices", things)
        right = _target(record, "answer_label", split)
        for answer in range(metric.CHOICES) if right is None else (right,):
            yield Example(
                id=key if right is not None else f"{key}/{answer}",
                text=question + SEPARATOR + answers[answer],
                images=(image,),
                target=_target(record, "rationale_label", split),
                group=image,
                options=_choices(record, "rationale_choices", things),
                facts={"annot_id": key, "columns": metric.REASONS[answer]},
            )


def _lines(path: Path) -> Iterator[Record]:
    """The file's records; raises DataError if one occurs twice."""
    keyed = ((record.identifier("annot_id"), record) for record in read_lines(path))
    return (record for _, record in unique(keyed, "annot_id {key} occurs twice"))


def names_of(record: Record) -> list[str]:
    """Name of every object: its class, numbered from 1 if the image has several of the class."""
    classes = record.strings("objects")
    several, count = Counter(classes), Counter[str]()
    names = []
    for name in classes:
        count[name] += 1
        names.append(f"{name} {count[name]}" if several[name] > 1 else name)
    return names


def _words(record: Record, key: str, tokens: Any, things: Sequence[str]) -> str:
    """Join tokens to a text, replacing lists of positions in ``objects`` by object names."""
    if not isinstance(tokens, list) or not tokens:
        raise record.error(f"field {key!r} must hold lists of words, found {describe(tokens)}")
    words = []
    for token in tokens:
        if isinstance(token, list) and token and all(type(i) is int and 0 <= i < len(things) for i in token):
            words.append(" and ".join(things[place] for place in token))
        elif isinstance(token, str) and writable(token):
            words.append(token)
        else:
            problem = (
                f"field {key!r} must hold words and positions among {len(things)} objects, found {describe(token)}"
            )
            raise record.error(problem)
    return " ".join(words)


def _choices(record: Record, key: str, things: Sequence[str]) -> tuple[str, ...]:
    choices = record.items(key)
    if len(choices) != metric.CHOICES:
        raise record.error(f"field {key!r} must hold {metric.CHOICES} texts, found {len(choices)}")
    return tuple(_words(record, key, choice, things) for choice in choices)


def _target(record: Record, key: str, split: str) -> int | None:
    return None if split == "test" and key not in record.fields else _label(record, key)


def _label(record: Record, key: str) -> int:
    label = record.integer(key)
    if not 0 <= label < metric.CHOICES:
        raise record.error(f"field {key!r} must be 0 to {metric.CHOICES - 1}, found {label}")
    return label
