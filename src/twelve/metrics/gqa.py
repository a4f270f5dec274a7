"""GQA's metrics, equal to the dataset's eval.py ("GQA: A New Dataset for Real-World Visual Reasoning and Compositional
Question Answering", Hudson and Manning 2019).

Answers are compared exactly, without normalization. Only balanced questions count; consistency also reads the
predictions for the questions that a question entails, balanced or not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from twelve.errors import DataError

Name = TypeVar("Name", str, int)
Value = TypeVar("Value")

OPEN = "query"
"""Structural type of the open questions; all others are binary."""
_COMMON = "Common"
_COMMON_ANSWERS = ("color", "material", "shape")
"""Valid answers to questions whose detailed type contains "Common", whatever the choices say."""
_NO_STEP = re.compile("exist|query: name|choose name")
"""Operations of a question's program that do not count as reasoning steps."""

Region = tuple[float, float, float, float]
"""x1, y1, x2, y2 as fractions of the image's width and height."""
Attention = Sequence[Sequence[float]]
"""Attention over the cells of a square map, indexed [column][row]."""


@dataclass(frozen=True, slots=True)
class GQAQuestion:
    """The facts about a question that the metrics need.

    Attributes:
        group: questions that share a set of possible answers (``groups.global``), within which answer frequencies are
            compared; None for none.
        steps: see :func:`count_steps`.
        balanced: whether the question counts.
    """

    answer: str
    structural: str
    semantic: str
    detailed: str
    group: str | None
    steps: int
    balanced: bool = True


@dataclass(frozen=True, slots=True)
class Choices:
    """Answers that fit the type of question (valid), and those that also make sense in the world (plausible)."""

    valid: Sequence[str]
    plausible: Sequence[str]


@dataclass(frozen=True, slots=True)
class GQAScores:
    """Percentages, except ``distribution``, a distance (lower is better). None where nothing could be measured.

    Attributes:
        correct: balanced question id -> whether its answer is correct.
        each: validity, plausibility and grounding, where measured -> their values of the balanced questions, 0..1.
        per_structural, per_semantic, per_words, per_steps: name -> (accuracy, number of questions).
    """

    accuracy: float
    open: float | None
    binary: float | None
    validity: float | None
    plausibility: float | None
    consistency: float | None
    grounding: float | None
    distribution: float | None
    correct: Mapping[str, bool]
    each: Mapping[str, Sequence[float]] = field(default_factory=dict)
    per_structural: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    per_semantic: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    per_words: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    per_steps: Mapping[int, tuple[float, int]] = field(default_factory=dict)


def count_steps(program: Sequence[tuple[str, str]]) -> int:
    """Count the reasoning steps in a question's program of (operation, argument)."""
    return sum(_NO_STEP.search(f"{operation}: {argument}") is None for operation, argument in program)


def evaluate(
    questions: Mapping[str, GQAQuestion],
    texts: Mapping[str, str],
    predictions: Mapping[str, str],
    *,
    entailed: Mapping[str, Sequence[str]] | None = None,
    choices: Mapping[str, Choices] | None = None,
    regions: Mapping[str, Sequence[Region]] | None = None,
    attentions: Mapping[str, Attention] | None = None,
) -> GQAScores:
    """Compute the official metrics.

    Args:
        questions: question id -> question; only balanced ones count.
        texts: question id -> its text, for accuracy by length.
        predictions: question id -> answer.
        entailed: question id -> questions that its answer entails; required for consistency.
        choices: question id -> possible answers; required for validity and plausibility.
        regions, attentions: question id -> regions it refers to, and the model's attention; required for grounding.

    Raises:
        DataError: no question is balanced, or a question lacks a prediction or another of the inputs.
    """
    balanced = {key: question for key, question in questions.items() if question.balanced}
    if not balanced:
        raise DataError("no question is balanced", remedy="measure on a file that holds balanced questions")
    predicted = {key: _of(predictions, key, "prediction") for key in balanced}
    correct = {key: predicted[key] == question.answer for key, question in balanced.items()}
    answer = {key: "open" if question.structural == OPEN else "binary" for key, question in balanced.items()}
    by_answer = _shares(answer, correct)
    each: dict[str, Sequence[float]] = {}
    if choices is not None:
        possible = {key: _of(choices, key, "choices") for key in balanced}
        each["validity"] = [_among(predicted[key], possible[key].valid, balanced[key]) for key in balanced]
        each["plausibility"] = [_among(predicted[key], possible[key].plausible, balanced[key]) for key in balanced]
    if regions is not None and attentions is not None:
        each["grounding"] = [
            grounding_score(_of(regions, key, "regions"), _of(attentions, key, "attention")) for key in balanced
        ]
    means = {name: _per_cent(values) for name, values in each.items()}
    return GQAScores(
        accuracy=_per_cent(list(correct.values())),
        open=by_answer.get("open", (None, 0))[0],
        binary=by_answer.get("binary", (None, 0))[0],
        validity=means.get("validity"),
        plausibility=means.get("plausibility"),
        consistency=None if entailed is None else _consistency(questions, predictions, correct, entailed),
        grounding=means.get("grounding"),
        distribution=_distribution(balanced, predicted),
        correct=correct,
        each=each,
        per_structural=_shares({key: question.structural for key, question in balanced.items()}, correct),
        per_semantic=_shares({key: question.semantic for key, question in balanced.items()}, correct),
        per_words=_shares({key: len(texts[key].split()) for key in balanced}, correct),
        per_steps=_shares({key: question.steps for key, question in balanced.items()}, correct),
    )


def _of(values: Mapping[str, Value], key: str, what: str) -> Value:
    if key not in values:
        raise DataError(
            f"this question has no {what}", record=key, remedy=f"provide the {what} of every question of the split"
        )
    return values[key]


def _per_cent(values: Sequence[float]) -> float:
    return 100 * (sum(values) / len(values))


def _shares(names: Mapping[str, Name], correct: Mapping[str, bool]) -> dict[Name, tuple[float, int]]:
    """Name -> (accuracy in per cent, number of questions), sorted by name."""
    groups: dict[Name, list[bool]] = {}
    for key, name in names.items():
        groups.setdefault(name, []).append(correct[key])
    return {name: (_per_cent(groups[name]), len(groups[name])) for name in sorted(groups)}


def _among(answer: str, possible: Sequence[str], question: GQAQuestion) -> bool:
    return answer in (_COMMON_ANSWERS if _COMMON in question.detailed else possible)


def _consistency(
    questions: Mapping[str, GQAQuestion],
    predictions: Mapping[str, str],
    correct: Mapping[str, bool],
    entailed: Mapping[str, Sequence[str]],
) -> float | None:
    """Mean share of entailed questions answered correctly, over correctly answered questions that entail any."""
    shares = []
    for key, right in correct.items():
        others = [other for other in entailed.get(key, ()) if other != key]
        if right and others:
            hits = [_of(predictions, other, "prediction") == _of(questions, other, "record").answer for other in others]
            shares.append(sum(hits) / len(hits))
    return _per_cent(shares) if shares else None


def _distribution(questions: Mapping[str, GQAQuestion], predictions: Mapping[str, str]) -> float | None:
    """Distance between the frequencies of predicted and correct answers: chi squared within each group, averaged by
    group size, over 100. Answers that are never correct in a group are ignored."""
    right: dict[str, Counter[str]] = {}
    given: dict[str, Counter[str]] = {}
    for key, question in questions.items():
        if question.group is not None:
            right.setdefault(question.group, Counter())[question.answer] += 1
            given.setdefault(question.group, Counter())[predictions[key]] += 1
    if not right:
        return None
    total = 0.0
    for group, expected in right.items():
        chi_squared = sum((given[group][answer] - count) ** 2 / count for answer, count in expected.items())
        total += chi_squared * expected.total()
    return total / sum(counts.total() for counts in right.values()) / 100


def grounding_score(regions: Sequence[Region], attention: Attention) -> float:
    """Attention on the regions: each cell's weight times the share of the cell that a region covers. Overlapping
    regions count twice."""
    size = len(attention)
    total = 0.0
    for region in regions:
        for i, column in enumerate(attention):
            for j, weight in enumerate(column):
                cell = (i / size, j / size, (i + 1) / size, (j + 1) / size)
                total += weight * _covered(cell, region)
    return total


def _covered(cell: Region, region: Region) -> float:
    """Share of the cell's area inside the region."""
    width = min(cell[2], region[2]) - max(cell[0], region[0])
    height = min(cell[3], region[3]) - max(cell[1], region[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((cell[2] - cell[0]) * (cell[3] - cell[1]))
