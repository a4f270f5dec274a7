"""Visual Genome QA: questions about an image or a part of it (Krishna et al. 2017).

A record of ``question_answers.json``, version 1.2 (older versions name ``qa_id`` ``id`` and format objects otherwise)::

    {"id": 4, "qas": [{"qa_id": 987278, "image_id": 4, "question": "What is on the shelf?", "answer": "Two lamps.",
                       "a_objects": [], "q_objects": []}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record
from twelve.formats.results import by_id, complete, only, passed_over, written_like
from twelve.metrics.vqa import vocabulary_label
from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.shared import accuracy, example_values, last_by_id, some, values
from twelve.tasks.formats.visual_genome import GenomeTask
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Scored

_FILE = "question_answers.json"
_SPLITS = ("train", "val")
_RESULT = '{"qa_id": 987278, "answer": "two lamps"}, in one JSON list'
_OFFICIAL = frozenset({"a_objects", "q_objects"})
"""Fields of the official file that predictions lack."""
VAL = 5000
"""Number of questions that the original holds out of training: those with the largest ids."""
FULL = 50_000
"""Smaller files are excerpts of the official one; their last tenth is val."""


@register
class VisualGenomeQA(GenomeTask):
    """There is no official split; train and val are the original's, which divides questions, not images."""

    name: ClassVar[str] = "vg_qa"
    title: ClassVar[str] = "Visual Genome QA"
    output: ClassVar[str] = "answer"
    kind: ClassVar[str] = "answer"
    token: ClassVar[int] = 2
    page: ClassVar[str] = "https://homes.cs.washington.edu/~ranjay/visualgenome"
    note: ClassVar[str] = (
        "exact match after VQA's normalization; no official split: val is the questions with the largest ids, "
        "so an image can be on both sides unless training excludes it"
    )
    defaults: ClassVar[Defaults] = Defaults(batch_size=128, learning_rate=4e-5, max_text=26)
    result_file: ClassVar[str] = "question_answers_{split}_results.json"
    file_names: ClassVar[Mapping[str, str]] = dict.fromkeys(_SPLITS, _FILE)
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": (), "val": ("val",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (1_440_322, None),
        "val": (5_000, None),
    }

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        train, val = part(read_questions(path, root.image_source(self)))
        return some(val if split == "val" else train, path, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        pairs = zip(examples, values(examples, predictions), strict=True)
        return accuracy([_is_right(value, example) for example, value in pairs], examples)

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return super().truth_files(root, split) if split == "val" else ()

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """There is no official result format; this reads a JSON list like VQA's, with qa_id, over the val questions."""
        _, examples = part(read_questions(only(truth, _FILE), self.source))
        path = only(predictions, "the JSON list of answers")
        with written_like(path, _RESULT):
            records = by_id(read_elements(path), lambda record: str(record.integer("qa_id")), "question")
            answers = {key: _answer(record) for key, record in records.items()}
        complete([example.id for example in examples], answers, path, "question", "questions of val")
        right = [_is_right(answers[example.id], example) for example in examples]
        return Scored(
            accuracy(right, examples),
            self.note,
            {"accuracy": len(right)},
            notes=passed_over(len(answers) - len(right), "of other questions"),
            means={"accuracy": example_values(examples, right)},
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The format that :meth:`score` reads."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return json.dumps([{"qa_id": int(example.id), "answer": answer} for example, answer in pairs])


def _answer(record: Record) -> str:
    """The predicted answer as written; raises DataError for a record of the official file, with the right one."""
    if not _OFFICIAL.isdisjoint(record.fields):
        raise record.error(
            f"expected a prediction, found a record of the official file ({min(_OFFICIAL & record.fields.keys())!r})"
        )
    return record.text("answer")


def _is_right(answer: str, example: Example) -> bool:
    """Whether an answer is the right one, as it is or normalized."""
    return example.facts["label"] in (answer, vocabulary_label(answer.strip()))


def part(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Divide examples into (train, val) as the original does, see :data:`VAL` and :data:`FULL`."""
    return last_by_id(examples, VAL if len(examples) >= FULL else max(1, len(examples) // 10))


def read_questions(path: Path, source: str = "vg") -> list[Example]:
    """One example per question, in file order. Target: its answer, normalized like VQA's vocabulary.

    Raises:
        DataError: a record is malformed, a question is listed under another image, or its id occurs twice.
    """
    known: dict[str, tuple[dict[str, float], dict[str, str]]] = {}  # few distinct answers, shared by many questions
    examples: dict[str, Example] = {}
    for record in read_elements(path):
        number = record.integer(record.one_of("id", "image_id"))
        image = f"{source}/{number}"
        for question in record.records("qas"):
            if "image_id" in question.fields and question.integer("image_id") != number:
                raise question.error(
                    f"image_id is {question.integer('image_id')}, but the question is listed under image {number}"
                )
            key = str(question.integer(question.one_of("qa_id", "id")))
            if key in examples:
                raise question.error(f"question id {key} occurs twice")
            label = vocabulary_label(question.text("answer").strip())
            target, facts = known.setdefault(label, ({label: 1.0}, {"label": label}))
            examples[key] = Example(
                id=key, text=question.text("question"), images=(image,), target=target, group=image, facts=facts
            )
    return list(examples.values())
