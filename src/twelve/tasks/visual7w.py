"""Visual7W, pointing: which of four boxes answers a "which" question (Zhu et al. 2016).

``dataset_v7w_pointing.json``, with boxes as x, y, width, height in pixels (x and y may be -1)::

    {"dataset": "visual7w-pointing",
     "boxes": [{"box_id": 9001, "name": "cup", "x": 12, "y": -1, "width": 30, "height": 40}, ...],
     "images": [{"image_id": 2315000, "filename": "v7w_2315000.jpg", "split": "val",
                 "qa_pairs": [{"qa_id": 501, "question": "Which cup is full?", "type": "which", "answer": 9001,
                               "multiple_choices": [9002, 9003, 9005]}]}]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import FURTHEST, Record, describe, read_object
from twelve.formats.results import known, only
from twelve.metrics import visual7w as metric
from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.shared import SourceOf, accuracy, by_number, example_values, image_of, some, values
from twelve.tasks.formats.visual_genome import GenomeTask
from twelve.types.examples import Box, Example
from twelve.types.measurement import Measurement, Scored

_FILE = "dataset_v7w_pointing.json"
_SPLITS = ("train", "val", "test")
_TYPE = "which"
"""Type of all pointing questions."""
_DATASETS = re.compile(r"(?!.*telling)(.*v(isual)?7w.*|.*pointing.*)", re.IGNORECASE)
"""Names that a file may give to its dataset: releases differ, and the telling questions have no boxes to point at."""


@register
class Visual7W(GenomeTask):
    """The pointing half of Visual7W. Candidates are the boxes of the answer and the wrong choices, sorted by id."""

    name: ClassVar[str] = "visual7w"
    title: ClassVar[str] = "Visual7W"
    output: ClassVar[str] = "region"
    kind: ClassVar[str] = "region"
    method: ClassVar[str] = "choose"
    has_candidates: ClassVar[bool] = True
    token: ClassVar[int] = 4
    page: ClassVar[str] = "https://ai.stanford.edu/~yukez/visual7w (dataset_v7w_pointing.zip)"
    note: ClassVar[str] = "the correct one of the given boxes, usually four"
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=2e-5, max_text=20)
    result_file: ClassVar[str] = "result_visual7w-pointing_mc_{split}.json"
    file_names: ClassVar[Mapping[str, str]] = dict.fromkeys(_SPLITS, _FILE)
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {"val": (36_990, None)}

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        return some(read_questions(read_object(path), split, lambda name: root.image_source(self, name)), path, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        answers, chosen = {}, {}
        for example, value in zip(examples, values(examples, predictions), strict=True):
            answers[example.id] = _right(example)
            chosen[example.id] = example.facts["box_ids"][value]
        return accuracy(metric.evaluate(answers, chosen).correct, examples)

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The first prediction determines the split; as in the official program, only answered questions count."""
        path = only(truth, _FILE)
        content = read_object(path)
        splits = {
            split: {example.id: example for example in read_questions(content, split, lambda name: self.source)}
            for split in _SPLITS
        }
        chosen = metric.read_results(only(predictions, "the official list of results"))
        first = next(iter(chosen), "")
        split = next((name for name, questions in splits.items() if first in questions), self.test_split)
        questions = splits[split]
        known(chosen, questions, predictions[0], "question", f"split {split}")
        scores = metric.evaluate({key: _right(example) for key, example in questions.items()}, chosen)
        left = len(questions) - len(chosen)
        strange = sum(choice not in map(str, questions[key].facts["box_ids"]) for key, choice in chosen.items())
        notes = [f"{left:,} of {len(questions):,} questions were not answered and do not count"] if left else []
        notes += [f"{strange:,} answers are not among their question's boxes and count as wrong"] if strange else []
        return Scored(
            accuracy(scores.correct, [questions[key] for key in chosen]),
            f"split {split}, over answered questions",
            {"accuracy": len(chosen)},
            notes=notes,
            means={"accuracy": example_values([questions[key] for key in chosen], scores.correct)},
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The toolkit's list ``[{"question": ..., "qa_id": 501, "candidates": [{"answer": 9001}]}, ...]``."""
        rows = [
            {
                "question": example.text,
                "qa_id": int(example.id),
                "candidates": [{"answer": example.facts["box_ids"][value]}],
            }
            for example, value in zip(examples, values(examples, predictions), strict=True)
        ]
        return json.dumps(rows)


def _right(example: Example) -> int:
    """Id of the correct box."""
    return int(example.facts["box_ids"][example.target])


def read_questions(content: Record, split: str, source_of: SourceOf) -> list[Example]:
    """One example per question of ``split``, in file order. Target: the index of the correct candidate.

    Raises:
        DataError: a record is malformed, a box is missing, or a question id occurs twice.
    """
    _check_dataset(content)
    boxes = by_number(content.records("boxes"), "box_id")
    examples: dict[str, Example] = {}
    for record in content.records("images"):
        if (its_split := record.text("split")) not in _SPLITS:
            raise record.error(f"field 'split' must be one of {', '.join(_SPLITS)}, found {its_split!r}")
        if its_split != split:
            continue
        image = image_of(record, "filename", source_of)
        _check_image(record, record, image)
        for question in record.records("qa_pairs"):
            _check_image(question, record, image)
            key = str(question.integer("qa_id"))
            if key in examples:
                raise question.error(f"qa_id {key} occurs twice")
            if question.fields.get("type", _TYPE) != _TYPE:
                raise question.error(f"field 'type' must be {_TYPE!r}, found {describe(question.fields['type'])}")
            ids = _candidates(question, boxes)
            examples[key] = Example(
                id=key,
                text=question.text("question"),
                images=(image,),
                target=ids.index(question.integer("answer")),
                group=image,
                candidates=tuple(_corners(boxes[box]) for box in ids),
                facts={"box_ids": ids},
            )
    return list(examples.values())


def _check_dataset(content: Record) -> None:
    """Raise DataError for a file that says that it is of another dataset."""
    if "dataset" in content.fields and not _DATASETS.fullmatch(name := content.text("dataset")):
        raise DataError(
            f"expected a file of Visual7W's pointing questions, found {describe(name)}",
            file=content.file,
            record="dataset",
            remedy=f"put {_FILE} of the pointing half here",
        )


def _check_image(record: Record, of: Record, image: str) -> None:
    """Raise DataError where a record's ``image_id`` is not that of the file that its image lies in."""
    if "image_id" not in record.fields:
        return
    number = record.integer("image_id")
    if str(number) != image.partition("/")[2]:
        raise record.error(f"image_id is {number}, but the image's file is {of.text('filename')!r}")


def _candidates(question: Record, boxes: Mapping[int, Record]) -> tuple[int, ...]:
    """Sorted ids of the boxes of the answer and the wrong choices."""
    answer, wrong = question.integer("answer"), question.integers("multiple_choices")
    if answer in wrong:
        raise question.error(f"box {answer} is both the answer and a wrong choice")
    ids = {answer, *wrong}
    for box in ids:
        if box not in boxes:
            raise question.error(f"box {box} is not in the file's list of boxes")
    if len(ids) < 2:
        raise question.error("the answer is the only choice")
    return tuple(sorted(ids))


def _corners(box: Record) -> Box:
    """x1, y1, x2, y2 of a box, clipped at the image's left and upper edges."""
    x, y, width, height = (box.integer(key) for key in ("x", "y", "width", "height"))
    if width < 0 or height < 0:
        raise box.error(f"the box has a negative size, {width}x{height}")
    if max(abs(x), abs(y), width, height) > FURTHEST:
        raise box.error(f"the box extends beyond {FURTHEST:,.0f} pixels")
    return float(max(x, 0)), float(max(y, 0)), float(max(x + width, 0)), float(max(y + height, 0))
