"""VQA v2: open questions about COCO images, each with ten people's answers (Goyal et al. 2017).

A record of the question file and the matching record of the annotation file::

    {"image_id": 262148, "question": "What is the otter holding?", "question_id": 262148000}
    {"question_id": 262148000, "image_id": 262148, "question_type": "what is the", "answer_type": "other",
     "multiple_choice_answer": "cup", "answers": [{"answer": "cup", "answer_confidence": "yes", "answer_id": 1}, ...]}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.errors import Again, DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_list
from twelve.formats.records import Record, read_object
from twelve.formats.results import complete, known, one, only
from twelve.formats.unique import unique
from twelve.metrics import vqa as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import accuracy, all_but_last, last, some_of, unknown_split, values
from twelve.types.examples import Example
from twelve.types.logged import HarnessLog, Logged
from twelve.types.measurement import ExampleValues, Measurement, Scored

_QUESTIONS = {
    "train": "v2_OpenEnded_mscoco_train2014_questions.json",
    "val": "v2_OpenEnded_mscoco_val2014_questions.json",
    "test-dev": "v2_OpenEnded_mscoco_test-dev2015_questions.json",
    "test": "v2_OpenEnded_mscoco_test2015_questions.json",
}
_ANNOTATIONS = {
    "train": "v2_mscoco_train2014_annotations.json",
    "val": "v2_mscoco_val2014_annotations.json",
}
_IMAGE = "image_id"
_QUESTION = ("answers", "question_type", "answer_type")
"""Facts that the metric needs."""
_REMEDY = f"pass {_ANNOTATIONS['val']}, or the annotations of the predicted split"
_SUBSETS = {"train": "train2014", "val": "val2014", "test-dev": "test-dev2015", "test": "test2015"}
"""Split -> its name in the head of the files."""
_PARTS = {"trainval": ("train", "val"), "minval": ("val",)}
MINVAL = 3000
"""Number of val questions that the original holds out of training: those with the largest ids."""


@register
class VQA(Task):
    """VQA v2. Splits: train, val, test-dev and test (without answers), and the original's trainval and minval."""

    name: ClassVar[str] = "vqa"
    title: ClassVar[str] = "VQA v2"
    output: ClassVar[str] = "answer"
    kind: ClassVar[str] = "answer"
    token: ClassVar[int] = 1
    source: ClassVar[str] = "coco"
    page: ClassVar[str] = "https://visualqa.org/download.html"
    note: ClassVar[str] = "official VQA accuracy (ten people, leaving one out)"
    defaults: ClassVar[Defaults] = Defaults(batch_size=128, learning_rate=4e-5, max_text=23)
    splits: ClassVar[tuple[str, ...]] = (*_QUESTIONS, *_PARTS)
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (443_757, 82_783),
        "val": (214_354, 40_504),
        "test-dev": (107_394, 36_807),
        "test": (447_793, 81_434),
    }

    no_harness: ClassVar[str] = "VLMEvalKit does not measure it"
    result_file: ClassVar[str] = "v2_OpenEnded_mscoco_{split}_twelve_results.json"

    def result_name(self, split: str) -> str:
        return super().result_name(_SUBSETS.get(split, split))

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return () if split in _PARTS else super().truth_files(root, split)

    def files(self, split: str) -> tuple[str, ...]:
        if split not in _QUESTIONS and split not in _PARTS:
            raise unknown_split(self.name, split, [*_QUESTIONS, *_PARTS])
        parts = _PARTS.get(split, (split,))
        questions = tuple(_QUESTIONS[part] for part in parts)
        return questions + tuple(_ANNOTATIONS[part] for part in parts if part in _ANNOTATIONS)

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        paths = [root.file(self.folder, name, page=self.page) for name in self.files(split)]
        if split == "minval":
            return iter(last(self.iterate(root, "val"), MINVAL))
        if split == "trainval":
            return chain(self.iterate(root, "train"), all_but_last(self.iterate(root, "val"), MINVAL))
        examples = read_questions(paths[0], root.image_source(self), split)
        found = add_answers(examples, paths[0], paths[1], split) if len(paths) > 1 else examples
        return some_of(found, paths[0], split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        questions = {example.id: _question(example) for example in examples}
        predicted = dict(zip(questions, values(examples, predictions), strict=True))
        scores = metric.evaluate(questions, predicted)
        return accuracy([*scores.exact.values()], examples, _metrics(scores))

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The truth is the annotation file; the question file can be added as a check."""
        content, questions = _truth(truth)
        facts = dict(annotations_of(content.records("annotations")))
        asked = {key: metric.VQAQuestion(*(fact[name] for name in _QUESTION)) for key, fact in facts.items()}
        differ = {str(record.integer("question_id")) for record in questions or ()} ^ asked.keys()
        if questions is not None and differ:
            problem = "questions and annotations are of different splits"
            raise DataError(problem, file=truth[0], record=f"question_id {min(differ)}", remedy=_REMEDY)
        answers = metric.read_results(only(predictions, "the JSON list of answers"))
        complete(asked, answers, predictions[0], "question")
        known(answers, asked, predictions[0], "question")
        scores = metric.evaluate(asked, answers)
        images = [str(record.integer("image_id")) for record in content.records("annotations")]
        whole = ExampleValues(list(asked), np.array([*scores.exact.values()], dtype=np.float64), images)
        means = {"accuracy": whole, **whole.parts(map(_parts, asked.values()))}
        return Scored(
            Measurement("accuracy", _metrics(scores), whole.values, images),
            self.note + ", rounded to two decimals, as by the official program",
            {name: len(part.ids) for name, part in means.items()},
            means=means,
        )

    @property
    def harnesses(self) -> Mapping[str, tuple[HarnessLog, ...]]:
        return {
            "lmms-eval": (
                HarnessLog(
                    r"vqav2_val(_lite)?",
                    "exact_match",
                    (
                        "it normalizes answers and prediction even where all ten answers agree; the official program "
                        "compares those as they were written, so that 'Yes.' is wrong against ten 'yes'",
                    ),
                ),
            )
        }

    def truth_examples(self, truth: Sequence[Path]) -> list[Example]:
        content, questions = _truth(truth)
        texts = {str(record.integer("question_id")): record.text("question") for record in questions or ()}
        facts = annotations_of(content.records("annotations"))
        found = {key: Example(key, texts.get(key, ""), ("",), facts=fact) for key, fact in facts}
        # Harnesses count in the order of the questions.
        return [found[key] for key in texts if key in found] if texts else list(found.values())

    def logged_example(self, logged: Logged) -> Example | None:
        """Releases that log the whole example tell its ten answers."""
        answers = logged.doc.get("answers")
        if not isinstance(answers, list):
            return None
        given = tuple(answer["answer"] for answer in answers if isinstance(answer, Mapping) and "answer" in answer)
        if len(given) != metric.PEOPLE or not all(isinstance(answer, str) for answer in given):
            raise ValueError(f"expected {metric.PEOPLE} people's answers in doc.answers, found {len(given)}")
        return Example(logged.key, logged.text, ("",), facts={"answers": given})

    def contribution(self, example: Example, predicted: Any, protocol: str) -> float:
        return metric.accuracy(example.facts["answers"], predicted)

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """EvalAI's format for VQA v2: ``[{"question_id": 262148000, "answer": "cup"}, ...]``."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return json.dumps([{"question_id": int(example.id), "answer": answer} for example, answer in pairs])


def _parts(question: metric.VQAQuestion) -> tuple[str, str]:
    """Names of the accuracies that a question is part of, besides that of all."""
    return f"accuracy, {question.answer_type}", f"accuracy, question type {question.question_type}"


def _metrics(scores: metric.VQAScores) -> dict[str, float]:
    return {
        "accuracy": scores.overall,
        **{f"accuracy, {name}": score for name, score in sorted(scores.per_answer_type.items())},
        **{f"accuracy, question type {name}": score for name, score in sorted(scores.per_question_type.items())},
    }


def _truth(paths: Sequence[Path]) -> tuple[Record, list[Record] | None]:
    """(the annotation file, the questions or None) among the official files."""
    found: dict[str, list[Record]] = {"annotations": [], "questions": []}
    for path in paths:
        content = read_object(path)
        kinds = [kind for kind in found if kind in content.fields]
        if len(kinds) != 1:
            raise content.error("expected the official annotations or questions", _REMEDY)
        found[kinds[0]].append(content)
    annotations = one(found, "annotations", paths[0], _REMEDY)
    if not found["questions"]:
        return annotations, None
    return annotations, list(one(found, "questions", paths[0], _REMEDY).records("questions"))


def _question(example: Example) -> metric.VQAQuestion:
    if "answers" not in example.facts:
        raise DataError(
            "the answers to this question are not public", record=example.id, remedy="measure on another split"
        )
    return metric.VQAQuestion(*(example.facts[name] for name in _QUESTION))


def read_questions(path: Path, source: str = "coco", split: str | None = None) -> Iterator[Example]:
    """Examples of a question file, in order, without answers.

    Args:
        split: the split that the file's head must name, of VQA v2; None skips this check.

    Raises:
        DataError: a record is malformed, a question id occurs twice, or the file is of another split.
    """
    for key, record in _by_id(read_list(path, "questions", _head(path, split))):
        image = f"{source}/{record.integer('image_id')}"
        yield Example(id=key, text=record.text("question"), images=(image,), group=image)


def add_answers(
    examples: Iterable[Example], questions: Path, annotations: Path, split: str | None = None
) -> Iterator[Example]:
    """Add soft targets to examples, and to ``facts`` what the metric and the vocabulary need.

    The official files share one order, so few records are held in memory; other orders work too.

    Raises:
        DataError: a record is malformed, or questions and annotations do not match.
    """
    remedy = f"use the annotations that belong to {questions.name}"
    coming = read_annotations(annotations, split)
    held: dict[str, dict[str, Any]] = {}
    for example in examples:
        while example.id not in held:
            key, facts = next(coming, ("", None))
            if facts is None:
                place = f"question_id {example.id}"
                problem = f"no annotation of question {example.id}"
                raise DataError(problem, file=annotations, record=place, remedy=remedy)
            held[key] = facts
        facts = held.pop(example.id)
        image, number = facts.pop(_IMAGE), example.group.partition("/")[2]
        if image is not None and str(image) != number:
            problem = f"image_id is {image}, but the question's is {number}"
            raise DataError(problem, file=annotations, record=f"question_id {example.id}", remedy=remedy)
        target = metric.soft_scores(facts["answers"])
        yield Example(example.id, example.text, example.images, target, example.group, facts=facts)
    held.update(coming)
    if held:
        problem = f"{len(held):,} annotations have no question"
        raise DataError(problem, file=annotations, record=f"question_id {next(iter(held))}", remedy=remedy)


def read_annotations(path: Path, split: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(question id, facts): ``answers`` (as typed), ``question_type``, ``answer_type``; ``label``, the commonest answer
    as the vocabulary counts it; and ``image_id``, None if the file lacks it.

    Args:
        split: as in :func:`read_questions`.

    Raises:
        DataError: a record is malformed, a question id occurs twice, or the file is of another split.
    """
    return annotations_of(read_list(path, "annotations", _head(path, split)))


def _head(path: Path, split: str | None) -> Callable[[str, Any], None]:
    """A check of the fields beside a file's records, see :func:`read_questions`."""

    def check(key: str, value: Any) -> None:
        if split is None:
            return
        if key == "data_subtype" and value != _SUBSETS[split] and value in _SUBSETS.values():
            problem = f"expected the file of {_SUBSETS[split]}, found that of {value}"
            raise DataError(problem, file=path, record=key, remedy=f"replace it by the file of {_SUBSETS[split]}")
        version = value.get("version") if key == "info" and isinstance(value, Mapping) else None
        if str(version).startswith("1"):
            raise DataError(
                f"expected VQA v2, found v{version}", file=path, record=key, remedy=Again("download the file of v2")
            )

    return check


def annotations_of(records: Iterable[Record]) -> Iterator[tuple[str, dict[str, Any]]]:
    """:func:`read_annotations` of records already read."""
    for key, record in _by_id(records):
        answers = tuple(sys.intern(answer.text("answer")) for answer in record.records("answers"))
        if len(answers) != metric.PEOPLE:
            raise record.error(f"field 'answers' must hold {metric.PEOPLE} people's answers, found {len(answers)}")
        yield (
            key,
            {
                "answers": answers,
                "question_type": sys.intern(record.text("question_type")),
                "answer_type": sys.intern(record.text("answer_type")),
                "label": sys.intern(metric.vocabulary_label(record.text("multiple_choice_answer"))),
                _IMAGE: record.integer(_IMAGE) if _IMAGE in record.fields else None,
            },
        )


def _by_id(records: Iterable[Record]) -> Iterator[tuple[str, Record]]:
    keyed = ((str(record.integer("question_id")), record) for record in records)
    return unique(keyed, "question_id {key} occurs twice")
