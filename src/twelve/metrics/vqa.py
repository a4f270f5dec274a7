"""VQA accuracy and VQA soft scores, equal to the programs that published numbers come from.

Accuracy: vqaEval.py of GT-Vision-Lab/VQA ("VQA: Visual Question Answering", Antol et al. 2015), oddities included,
because every published number has them. Soft scores: compute_softscore.py of the bottom-up-attention VQA code
(hengyuan-hu), which the released checkpoints were trained on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.json_streams import read_elements
from twelve.formats.results import by_id, written_like
from twelve.metrics.contractions import CONTRACTIONS

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = frozenset({"a", "an", "the"})
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {"none": "0", **{word: str(digit) for digit, word in enumerate(_DIGITS)}}
_DIGIT_COMMA_DIGIT = re.compile(r"[0-9],[0-9]")
_DOT = re.compile(r"\.(?![0-9])")
_DOTS_REMOVED = 32
"""The official program passes a flag of value 32 where the number of replacements belongs."""
PEOPLE = 10
"""Who answer a question."""
_SOFT_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)
"""By how many of the ten people gave an answer; 1 from four on."""


def strip(text: str) -> str:
    """Line ends and tabs become spaces; the ends are trimmed."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def process_punctuation(text: str) -> str:
    """Remove punctuation marks, or replace them by a space, as the official program decides.

    A mark goes without a trace if it touches a space anywhere in the text, or if the text holds a comma between
    digits; else it becomes a space. Full stops go unless a digit follows.
    """
    processed = text
    digits = _DIGIT_COMMA_DIGIT.search(text) is not None
    for mark in _PUNCTUATION:
        joined = digits or f"{mark} " in text or f" {mark}" in text
        processed = processed.replace(mark, "" if joined else " ")
    return _DOT.sub("", processed, count=_DOTS_REMOVED)


def process_words(text: str) -> str:
    """Lower case, number words as digits, no articles, contractions with their apostrophes."""
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def normalise(text: str) -> str:
    """The form in which the official accuracy compares answers when the people did not all agree."""
    return process_words(process_punctuation(strip(text)))


def accuracy(answers: Sequence[str], prediction: str) -> float:
    """Official accuracy of one question, in 0..1.

    The mean over the people of min(1, others who gave the prediction / 3). Nothing is normalised when all people gave
    the same answer. With ten people: 0, .3, .6, .9, 1 for 0, 1, 2, 3, 4 or more who agree.
    """
    given = [strip(answer) for answer in answers]
    predicted = strip(prediction)
    if len(set(given)) > 1:
        given = [process_words(process_punctuation(answer)) for answer in given]
        predicted = process_words(process_punctuation(predicted))
    agree = given.count(predicted)
    shares = [min(1.0, (agree - (answer == predicted)) / 3) for answer in given]
    return sum(shares) / len(shares)


@dataclass(frozen=True, slots=True)
class Question:
    """What the official accuracy knows of a question: what people answered, and its two types."""

    answers: tuple[str, ...]
    question_type: str
    answer_type: str


@dataclass(frozen=True, slots=True)
class VQAScores:
    """Per cent, rounded as the official program rounds; per question as well."""

    overall: float
    per_question_type: Mapping[str, float]
    per_answer_type: Mapping[str, float]
    per_question: Mapping[str, float]


def evaluate(questions: Mapping[str, Question], predictions: Mapping[str, str], decimals: int = 2) -> VQAScores:
    """The official evaluation.

    Args:
        questions: question id -> what people said.
        predictions: question id -> answer; exactly the same ids.
        decimals: the official program's default is 2.

    Raises:
        DataError: questions without a prediction, or predictions without a question.
    """
    if questions.keys() != predictions.keys():
        missing, extra = questions.keys() - predictions.keys(), predictions.keys() - questions.keys()
        raise DataError(
            f"{len(missing)} questions have no prediction and {len(extra)} predictions have no question",
            record=min(missing or extra),
            remedy="predict every question of the split, and no other",
        )
    scores = {key: accuracy(question.answers, predictions[key]) for key, question in questions.items()}
    by_question: dict[str, list[float]] = {}
    by_answer: dict[str, list[float]] = {}
    for key, question in questions.items():
        by_question.setdefault(question.question_type, []).append(scores[key])
        by_answer.setdefault(question.answer_type, []).append(scores[key])
    return VQAScores(
        overall=_per_cent(list(scores.values()), decimals),
        per_question_type={name: _per_cent(values, decimals) for name, values in by_question.items()},
        per_answer_type={name: _per_cent(values, decimals) for name, values in by_answer.items()},
        per_question={key: round_away(100 * score, decimals) for key, score in scores.items()},
    )


RESULT = '{"question_id": 262148000, "answer": "cup"}, in one JSON list'


def read_results(path: Path) -> dict[str, str]:
    """Question id -> answer, from a file of the official result layout: a JSON list of :data:`RESULT`.

    Raises:
        DataError: a record is malformed, or a question was answered twice.
    """
    with written_like(path, RESULT):
        answers = by_id(read_elements(path), lambda record: str(record.integer("question_id")))
        return {key: record.text("answer") for key, record in answers.items()}


def _per_cent(scores: Sequence[float], decimals: int) -> float:
    return round_away(100 * float(sum(scores)) / len(scores), decimals)


def round_away(value: float, decimals: int) -> float:
    """Round as Python 2 did, halves away from zero; Python 3 rounds them to even digits."""
    return float(Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def soft_scores(answers: Sequence[str]) -> dict[str, float]:
    """Training target of a question: raw answer -> 0.3, 0.6, 0.9 or 1, by how many people gave it.

    The answers are counted as they were typed; only the vocabulary is normalised. An answer spelt otherwise than its
    label in the vocabulary therefore trains nothing, as in the original.
    """
    return {answer: _SOFT_SCORES[min(count, 4)] for answer, count in Counter(answers).items()}


def vocabulary_label(answer: str) -> str:
    """The form in which a question's most common answer is counted for the vocabulary: normalised, but not trimmed.

    (The original removes commas once more; none can be left.)
    """
    return process_words(process_punctuation(answer))
