"""VCR: which of four answers is right, and which of four reasons explains the right one (Zellers et al. 2019). Extra.

A line of ``val.jsonl``; a list inside a text names things by their places in ``objects``::

    {"annot_id": "val-0", "img_id": "val-0", "img_fn": "lsmdc_1054/shot_00.01.jpg", "metadata_fn": "...",
     "objects": ["person", "person", "chair"],
     "question": ["Why", "is", [1], "standing", "?"],
     "answer_choices": [["No", "."], [[0, 1], "are", "leaving", "."], ...], "answer_label": 1,
     "rationale_choices": [["The", [2], "is", "taken", "."], ...], "rationale_label": 0}

Things become words: the class's name, numbered in the order of ``objects`` where the image has several of the class
("person 2"). (The original draws a first name for every person at random.) Test lines have no labels.
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
from twelve.metrics import vcr as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import image_of, some_of, unknown_split, values
from twelve.types.examples import SEPARATOR, Example
from twelve.types.measurement import Measurement, Protocol, Scored

_SPLITS = ("train", "val", "test")
_NAMES = {"answers": "Q->A", "reasons": "QA->R", "both": "Q->AR"}


class _VCR(Task):
    """What the two halves share: the files, the official result file and its three numbers."""

    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "options"
    source: ClassVar[str] = "vcr"
    extra: ClassVar[bool] = True
    page: ClassVar[str] = "https://visualcommonsense.com/download"
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    part: ClassVar[str]
    """Field of :class:`twelve.metrics.vcr.Right` that this half is about."""

    @property
    def folder(self) -> str:
        return "vcr"

    @property
    def metric(self) -> str:
        """The name of the headline number."""
        return _NAMES[self.part]

    @abstractmethod
    def examples(self, record: Record, split: str, source: str) -> Iterator[Example]:
        """What one line asks."""

    def files(self, split: str) -> tuple[str, ...]:
        if split not in _SPLITS:
            raise unknown_split(self.name, split, _SPLITS)
        return (f"{split}.jsonl",)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        return list(self.iterate(root, split))

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
        """All of the three numbers that the predictions allow; the headline is this task's own."""
        path = only(truth, "val.jsonl")
        lines = {record.text("annot_id"): record for record in _lines(path)}
        labels = {key: (_label(r, "answer_label"), _label(r, "rationale_label")) for key, r in lines.items()}
        predicted = metric.read_results(predictions)
        complete(labels, predicted, predictions[0], "questions")
        right = metric.evaluate(labels, predicted, predictions[0])
        found = {name: share for key, name in _NAMES.items() if (share := getattr(right, key)) is not None}
        if self.metric not in found:
            problem = f"what {self.title} is measured on is not predicted"
            raise DataError(problem, file=predictions[0], remedy=metric.REMEDY)
        return Scored(
            Measurement(
                self.metric,
                {name: 100 * float(np.mean(share)) for name, share in found.items()},
                np.array(found[self.metric], dtype=np.float64),
                [record.text("img_fn") for record in lines.values()],
            ),
            f"{_NAMES['reasons']} with the right answer told, {_NAMES['both']} where both are right",
            dict.fromkeys(found, len(labels)),
            notes=passed_over(sum(key not in labels for key in predicted), f"without a counterpart in {path.name}"),
        )

    def submission(self, examples: Sequence[Example], predictions: Sequence[Any]) -> str:
        """This half's columns of the official file; cells of answers whose reasons were not asked are empty."""
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
    """Q->A: which of four answers."""

    name: ClassVar[str] = "vcr_qa"
    title: ClassVar[str] = "VCR answers"
    token: ClassVar[int] = 5
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=2e-5, max_text=60, epochs=10)
    part: ClassVar[str] = "answers"

    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        return Protocol(split=split, note="one of four answers; without the outlines that the dataset gives of things")

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
    """QA->R: which of four reasons, the right answer being told. Without labels an example for each of the answers."""

    name: ClassVar[str] = "vcr_qar"
    title: ClassVar[str] = "VCR reasons"
    token: ClassVar[int] = 6
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=2e-5, max_text=80, epochs=10)
    part: ClassVar[str] = "reasons"

    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        note = "one of four reasons, the right answer told; without the outlines that the dataset gives of things"
        return Protocol(split=split, note=note)

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
    """The file's records; raises DataError when one occurs twice."""
    seen: set[str] = set()
    for record in read_lines(path):
        key = record.identifier("annot_id")
        if key in seen:
            raise record.error(f"annot_id {key} occurs twice")
        seen.add(key)
        yield record


def names_of(record: Record) -> list[str]:
    """What every thing of an image is called: its class, with a number from 1 where there are several of it."""
    classes = record.strings("objects")
    several, count = Counter(classes), Counter[str]()
    names = []
    for name in classes:
        count[name] += 1
        names.append(f"{name} {count[name]}" if several[name] > 1 else name)
    return names


def _words(record: Record, key: str, tokens: Any, things: Sequence[str]) -> str:
    """A text of tokens, in which lists of places in ``objects`` stand for things."""
    if not isinstance(tokens, list) or not tokens:
        raise record.error(f"field {key!r} must hold lists of words, found {describe(tokens)}")
    words = []
    for token in tokens:
        if isinstance(token, list) and token and all(type(i) is int and 0 <= i < len(things) for i in token):
            words.append(" and ".join(things[place] for place in token))
        elif isinstance(token, str) and writable(token):
            words.append(token)
        else:
            problem = f"field {key!r} must hold words and places among {len(things)} objects, found {describe(token)}"
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
