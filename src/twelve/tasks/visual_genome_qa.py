"""Visual Genome question answering: questions about all of an image or a part of it (Krishna et al. 2017).

A record of ``question_answers.json``, version 1.2 (older ones write ``id`` for ``qa_id``, and the objects otherwise)::

    {"id": 4, "qas": [{"qa_id": 987278, "image_id": 4, "question": "What is on the shelf?", "answer": "Two lamps.",
                       "a_objects": [], "q_objects": []}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record
from twelve.formats.results import by_id, complete, only, passed_over, written_like
from twelve.metrics.vqa import vocabulary_label
from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.shared import last_by_id, some, unknown_split, values
from twelve.tasks.formats.visual_genome import GenomeTask
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored

_FILE = "question_answers.json"
_SPLITS = ("train", "val")
_RESULT = '{"qa_id": 987278, "answer": "two lamps"}, in one JSON list'
_OFFICIAL = frozenset({"a_objects", "q_objects"})
"""Fields that no prediction has."""
VAL = 5000
"""Questions that the original keeps out of training: the last ones by question id."""
FULL = 50_000
"""A file with fewer questions is a part of the official one; its last tenth is val."""


@register
class VisualGenomeQA(GenomeTask):
    """There is no official split; train and val are the original's, which parts questions and not images."""

    name: ClassVar[str] = "vg_qa"
    title: ClassVar[str] = "Visual Genome QA"
    output: ClassVar[str] = "answer"
    kind: ClassVar[str] = "answer"
    token: ClassVar[int] = 2
    page: ClassVar[str] = "https://homes.cs.washington.edu/~ranjay/visualgenome"
    defaults: ClassVar[Defaults] = Defaults(batch_size=128, learning_rate=4e-5, max_text=26)
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": (), "val": ("val",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (1_440_322, None),
        "val": (5_000, None),
    }

    def files(self, split: str) -> tuple[str, ...]:
        if split not in _SPLITS:
            raise unknown_split(self.name, split, _SPLITS)
        return (_FILE,)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.name, *self.files(split), page=self.page)
        train, val = part(read_questions(path, root.image_source(self)))
        return some(val if split == "val" else train, path, split)

    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        return Protocol(
            split=split,
            note="exact answers, normalised as VQA's; no official split: val is the last questions by id, "
            "cut between questions, so that an image may stand on both sides unless training leaves it out",
        )

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        right = [
            value == example.facts["label"]
            for example, value in zip(examples, values(examples, predictions), strict=True)
        ]
        return Measurement(
            primary="accuracy",
            metrics={"accuracy": 100 * float(np.mean(right))},
            per_example=np.array(right, dtype=np.float64),
            groups=[example.group for example in examples],
        )

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """There is no official result format: a JSON list like VQA's, with qa_id, over the last questions by id."""
        _, examples = part(read_questions(only(truth, _FILE), self.source))
        path = only(predictions, "the JSON list of answers")
        with written_like(path, _RESULT):
            records = by_id(read_elements(path), lambda record: str(record.integer("qa_id")))
            answers = {key: _answer(record) for key, record in records.items()}
        complete([example.id for example in examples], answers, path, "questions of val")
        right = [answers[example.id] == example.facts["label"] for example in examples]
        return Scored(
            Measurement(
                "accuracy",
                {"accuracy": 100 * float(np.mean(right))},
                np.array(right, dtype=np.float64),
                [example.group for example in examples],
            ),
            self.protocol("val").note,
            {"accuracy": len(right)},
            notes=passed_over(len(answers) - len(right), "of other questions"),
        )


def _answer(record: Record) -> str:
    """What was predicted; raises DataError for a question of the official file, whose ``answer`` is the right one."""
    if not _OFFICIAL.isdisjoint(record.fields):
        raise record.error(f"a question of the official file, with its {min(_OFFICIAL & record.fields.keys())!r}")
    return vocabulary_label(record.text("answer").strip())


def part(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """(train, val) as the original parts them, see :data:`VAL` and :data:`FULL`."""
    return last_by_id(examples, VAL if len(examples) >= FULL else max(1, len(examples) // 10))


def read_questions(path: Path, source: str = "vg") -> list[Example]:
    """One example a question, in file order. Target: its answer, normalised as VQA's vocabulary is.

    Raises:
        DataError: a record is malformed, a question stands with another image than its own, or its id occurs twice.
    """
    known: dict[str, tuple[dict[str, float], dict[str, str]]] = {}  # few distinct answers, shared by many questions
    examples: dict[str, Example] = {}
    for record in read_elements(path):
        number = record.integer(record.one_of("id", "image_id"))
        image = f"{source}/{number}"
        for question in record.records("qas"):
            if "image_id" in question.fields and question.integer("image_id") != number:
                raise question.error(f"image_id {question.integer('image_id')}, but it stands with image {number}")
            key = str(question.integer(question.one_of("qa_id", "id")))
            if key in examples:
                raise question.error(f"question id {key} occurs twice")
            label = vocabulary_label(question.text("answer").strip())
            target, facts = known.setdefault(label, ({label: 1.0}, {"label": label}))
            examples[key] = Example(
                id=key, text=question.text("question"), images=(image,), target=target, group=image, facts=facts
            )
    return list(examples.values())
