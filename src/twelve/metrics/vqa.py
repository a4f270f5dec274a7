"""VQA accuracy and soft scores, equal to the programs behind published numbers.

Accuracy: vqaEval.py of GT-Vision-Lab/VQA ("VQA: Visual Question Answering", Antol et al. 2015), oddities included.
Soft scores: compute_softscore.py of the bottom-up-attention VQA code (hengyuan-hu), on which the released checkpoints
were trained.
"""

from __future__ import annotations

import functools
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
"""The official program passes a regex flag of value 32 as the number of replacements."""
PEOPLE = 10
"""Answers per question."""
_SOFT_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)
"""Score by the number of people who gave an answer; 1 for four or more."""


def strip(text: str) -> str:
    """Replace line breaks and tabs by spaces and trim both ends."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def process_punctuation(text: str) -> str:
    """Remove punctuation marks or replace them by spaces, as the official program does.

    A mark is removed if it touches a space anywhere in the text, or if the text contains a comma between digits;
    otherwise it becomes a space. Full stops are removed unless a digit follows.
    """
    processed = text
    digits = _DIGIT_COMMA_DIGIT.search(text) is not None
    for mark in _PUNCTUATION:
        joined = digits or f"{mark} " in text or f" {mark}" in text
        processed = processed.replace(mark, "" if joined else " ")
    return _DOT.sub("", processed, count=_DOTS_REMOVED)


def process_words(text: str) -> str:
    """Lower the case, write number words as digits, drop articles and restore contractions."""
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


@functools.lru_cache(maxsize=1 << 16)  # a split has ten answers per question, few of them different
def normalise(text: str) -> str:
    """The form in which the official accuracy compares answers, unless all people agree.

    Examples:
        >>> normalise("The two dogs.")
        '2 dogs'
    """
    return process_words(process_punctuation(strip(text)))


def accuracy(answers: Sequence[str], prediction: str) -> float:
    """Official accuracy of one question, in 0..1.

    The mean over the people of min(1, number of others who gave the prediction / 3). If all people agree, nothing is
    normalized. With ten people: 0, .3, .6, .9, 1 for 0, 1, 2, 3, 4 or more who agree.

    Args:
        answers: what the people said, usually ten.
        prediction: what the model says.

    Examples:
        >>> round(accuracy(["red"] * 3 + ["dark red"] * 7, "Red"), 2)
        0.9
    """
    given = [strip(answer) for answer in answers]
    predicted = strip(prediction)
    if len(set(given)) > 1:
        given, predicted = [normalise(answer) for answer in given], normalise(predicted)
    agree = given.count(predicted)
    shares = [min(1.0, (agree - (answer == predicted)) / 3) for answer in given]
    return sum(shares) / len(shares)


@dataclass(frozen=True, slots=True)
class VQAQuestion:
    """The answers and the two types of a question, as the official accuracy needs them."""

    answers: tuple[str, ...]
    question_type: str
    answer_type: str


@dataclass(frozen=True, slots=True)
class VQAScores:
    """Percentages, rounded as by the official program, and ``exact``, the accuracy of each question in 0..1."""

    exact: Mapping[str, float]
    overall: float
    per_question_type: Mapping[str, float]
    per_answer_type: Mapping[str, float]
    per_question: Mapping[str, float]


def evaluate(questions: Mapping[str, VQAQuestion], predictions: Mapping[str, str], decimals: int = 2) -> VQAScores:
    """Compute the official metrics.

    Args:
        questions: question id -> its answers and types.
        predictions: question id -> answer, for exactly the same ids.
        decimals: the official program's default is 2.

    Raises:
        DataError: some question has no prediction, or some prediction no question.
    """
    if questions.keys() != predictions.keys():
        missing, extra = questions.keys() - predictions.keys(), predictions.keys() - questions.keys()
        raise DataError(
            f"{len(missing):,} questions have no prediction and {len(extra):,} predictions have no question",
            record=min(missing or extra),
            remedy="predict exactly the questions of the split",
        )
    scores = {key: accuracy(question.answers, predictions[key]) for key, question in questions.items()}
    by_question: dict[str, list[float]] = {}
    by_answer: dict[str, list[float]] = {}
    for key, question in questions.items():
        by_question.setdefault(question.question_type, []).append(scores[key])
        by_answer.setdefault(question.answer_type, []).append(scores[key])
    return VQAScores(
        exact=scores,
        overall=_per_cent(list(scores.values()), decimals),
        per_question_type={name: _per_cent(values, decimals) for name, values in by_question.items()},
        per_answer_type={name: _per_cent(values, decimals) for name, values in by_answer.items()},
        per_question={key: round_away(100 * score, decimals) for key, score in scores.items()},
    )


RESULT = '{"question_id": 262148000, "answer": "cup"}, in one JSON list'


def read_results(path: Path) -> dict[str, str]:
    """Question id -> answer, from a file of the official result layout: a JSON list of :data:`RESULT`.

    Raises:
        DataError: a record is malformed, or a question is answered twice.
    """
    with written_like(path, RESULT):
        answers = by_id(read_elements(path), lambda record: str(record.integer("question_id")), "question")
        return {key: record.text("answer") for key, record in answers.items()}


def _per_cent(scores: Sequence[float], decimals: int) -> float:
    return round_away(100 * float(sum(scores)) / len(scores), decimals)


def round_away(value: float, decimals: int) -> float:
    """Round halves away from zero, as Python 2 did; Python 3 rounds them to even."""
    return float(Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def soft_scores(answers: Sequence[str]) -> dict[str, float]:
    """Training target of a question: raw answer -> 0.3, 0.6, 0.9 or 1, by the number of people who gave it.

    Only the vocabulary is normalized, not these answers: as in the original, an answer spelled differently from its
    vocabulary label trains nothing.

    Examples:
        >>> soft_scores(["red", "red", "pink"])
        {'red': 0.6, 'pink': 0.3}
    """
    return {answer: _SOFT_SCORES[min(count, 4)] for answer, count in Counter(answers).items()}


def vocabulary_label(answer: str) -> str:
    """A question's most common answer as the vocabulary counts it: normalized, but not trimmed.

    (The original removes commas once more, but none can be left.)
    """
    return process_words(process_punctuation(answer))
