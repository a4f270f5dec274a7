"""The list of answers that an answer head can give, shared by all tasks that use the head.

An answer is kept if it is the (normalised) most common answer to enough questions: 9 in the original, which keeps 3,129
answers of VQA v2's train and val. The order of the original is that of a Python 2 dict and cannot be reproduced; here,
answers are sorted by count, then alphabetically. To continue from a released head, give its list of answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.data.examples.columns import counted
from twelve.data.kept import kept_of_examples
from twelve.errors import DataError
from twelve.formats.records import describe, read_json, writable
from twelve.types.examples import Example

OFFICIAL_MIN_COUNT = 9


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a set of questions a vocabulary can answer; ``str()`` gives a line.

    Attributes:
        questions: number of labelled questions.
        best_known: share, 0..1, of questions one of whose best answers is in the vocabulary.
        highest_score: mean soft score, 0..1, of a model that always gives the best answer in the vocabulary.
        answers: size of the vocabulary.
    """

    questions: int
    best_known: float
    highest_score: float
    answers: int

    def __str__(self) -> str:
        said = f"{self.answers:,} answers to choose among"
        if not self.questions:
            return said
        lacking = self.questions - round(self.best_known * self.questions)
        if not lacking and self.highest_score == 1:
            return f"{said}; the correct answer to every question is one of them"
        known = "the best answer to every question is one of them"
        if lacking:
            share = f"{100 * lacking / self.questions:.1f}%"
            known = f"for {lacking:,} of {self.questions:,} questions ({share}), the best answer is not one of them"
        return f"{said}; {known}, and no score can be higher than {100 * self.highest_score:.1f}"


def build_vocabulary(
    examples: Iterable[Sequence[Example]], *, min_count: int = OFFICIAL_MIN_COUNT, label_map: Path | None = None
) -> list[str]:
    """Answers in the order of a head's rows.

    Args:
        examples: training examples of every task that shares the head; their answers are in ``facts["label"]``.
        min_count: an answer is kept if at least this many questions of one task have it.
        label_map: a file with a list of answers to use instead.

    Raises:
        DataError: no answer is frequent enough, or the label map is malformed.
    """
    if label_map is not None:
        return read_label_map(label_map)
    return vocabulary_of([labels_of(task) for task in examples], min_count)


def vocabulary_of(counts: Sequence[Counter[str]], min_count: int) -> list[str]:
    """:func:`build_vocabulary` from each task's :func:`labels_of`."""
    kept = frequent_labels(counts, min_count)
    if not kept:
        highest = max((count for task in counts for count in task.values()), default=0)
        raise DataError(
            f"no answer is given to at least {min_count} questions (the most frequent one to {highest})",
            remedy="lower vocabulary.min_count or train on more questions",
        )
    return kept


def labels_of(examples: Sequence[Example]) -> Counter[str]:
    """``facts["label"]`` -> number of examples that have it."""

    def compute() -> NDArray[np.uint8]:
        total: Counter[str] = Counter()
        for facts, count in counted(examples, "facts"):
            if "label" in facts:
                total[str(facts["label"])] += count
        return np.frombuffer(json.dumps(total).encode(), np.uint8)

    return Counter(json.loads(kept_of_examples("labels", examples, (), compute).tobytes()))


def frequent_labels(tasks: Sequence[Counter[str]], min_count: int) -> list[str]:
    """Labels that any task has at least ``min_count`` times, sorted by their count in all tasks, largest first."""
    total: Counter[str] = Counter()
    for counts in tasks:
        total.update(counts)
    kept = {label for counts in tasks for label, count in counts.items() if count >= min_count}
    return sorted(kept, key=lambda label: (-total[label], label))


def read_label_map(path: Path) -> list[str]:
    """Answers in a JSON file: a list, or an object answer -> row.

    Raises:
        DataError: it holds anything else, an answer twice, or rows that are not 0, 1, 2, ...
    """
    return check_labels(read_json(path), path)


def check_labels(content: Any, path: Path) -> list[str]:
    """Answers in the order of their rows, from the content of a file; raises DataError as :func:`read_label_map`."""
    expected = "a list of answers, or an object answer -> row"
    if isinstance(content, Mapping):
        rows = {answer: row for answer, row in content.items() if isinstance(row, int) and not isinstance(row, bool)}
        if len(rows) != len(content) or sorted(rows.values()) != list(range(len(rows))):
            raise _malformed(path, "the rows of its answers must be 0, 1, 2, ... each once", expected)
        content = sorted(rows, key=rows.__getitem__)
    if not isinstance(content, list) or not content:
        raise _malformed(path, f"found {describe(content)}", expected)
    for row, answer in enumerate(content):
        if not isinstance(answer, str):
            raise _malformed(path, f"row {row} is {describe(answer)}", expected)
        if not writable(answer):
            raise _malformed(path, f"row {row} is not a string: {describe(answer)}", expected)
    twice = [answer for answer, count in Counter(content).items() if count > 1]
    if twice:
        raise _malformed(path, f"the answer {twice[0]!r} occurs twice", expected)
    return content


def coverage(examples: Sequence[Example], vocabulary: Sequence[str]) -> Coverage:
    """Coverage of the examples by a vocabulary; examples without a target do not count."""

    def compute() -> NDArray[np.float64]:
        known = frozenset(vocabulary)
        best_known, reachable, questions = 0, 0.0, 0
        for target, count in counted(examples, "target"):
            if not isinstance(target, Mapping):
                continue
            questions += count
            highest = max(target.values(), default=0.0)
            within = max((score for answer, score in target.items() if answer in known), default=0.0)
            best_known += count * (highest > 0 and within == highest)
            reachable += count * within
        return np.array([questions, best_known / max(1, questions), reachable / max(1, questions)])

    questions, best_known, reachable = kept_of_examples("coverage", examples, vocabulary, compute).tolist()
    return Coverage(int(questions), best_known, reachable, len(vocabulary))


def _malformed(path: Path, problem: str, expected: str) -> DataError:
    return DataError(problem, file=path, remedy=f"give a JSON file that contains {expected}")
