"""Visual7W's multiple-choice accuracy, as in evaluate.py of yukezhu/visual7w-toolkit (Zhu et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record, describe
from twelve.formats.results import by_id, written_like


@dataclass(frozen=True, slots=True)
class Visual7WScores:
    """``accuracy`` in 0..1 over the answered questions; ``correct`` in the same order."""

    accuracy: float
    correct: Sequence[bool]


def evaluate(answers: Mapping[str, object], predictions: Mapping[str, object]) -> Visual7WScores:
    """Official metric: accuracy over the answered questions only, ignoring case.

    Args:
        answers: question id -> correct choice (a box id or text).
        predictions: question id -> prediction.

    Raises:
        DataError: there is no prediction, or one belongs to no question.
    """
    if not predictions:
        raise DataError("no question was answered", remedy="predict the questions of the split")
    for key in predictions:
        if key not in answers:
            raise DataError(
                "this prediction belongs to no question", record=key, remedy="predict the split that is measured"
            )
    correct = [str(choice).lower() == str(answers[key]).lower() for key, choice in predictions.items()]
    return Visual7WScores(sum(correct) / len(correct), correct)


RESULT = '{"question": "Which cup is full?", "qa_id": 501, "candidates": [{"answer": 9001}]}, in one JSON list'


def read_results(path: Path) -> dict[str, str]:
    """Question id -> first choice, from a file of the official result layout::

        [{"question": "Which cup is full?", "qa_id": 501, "candidates": [{"answer": 9001}]}]

    Raises:
        DataError: a record is malformed or has no candidate, or a question is answered twice.
    """
    with written_like(path, RESULT):
        records = by_id(read_elements(path), lambda record: str(record.integer("qa_id")), "question")
        return {key: _choice(record) for key, record in records.items()}


def _choice(record: Record) -> str:
    candidates = list(record.records("candidates"))
    if not candidates or "answer" not in candidates[0].fields:
        raise record.error("expected a candidate with an answer, found none")
    answer = candidates[0].fields["answer"]
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise record.error(f"the answer must be a box id or text, found {describe(answer)}")
    return candidates[0].text("answer") if isinstance(answer, str) else str(candidates[0].integer("answer"))
