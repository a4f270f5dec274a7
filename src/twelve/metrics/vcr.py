"""VCR's accuracies (Zellers et al. 2019): answers (Q->A), reasons for the correct answer (QA->R), both (Q->AR)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.records import describe
from twelve.formats.results import mended_by

CHOICES = 4
KEY = "annot_id"
ANSWERS = tuple(f"answer_{choice}" for choice in range(CHOICES))
REASONS = tuple(
    tuple(f"rationale_conditioned_on_a{answer}_{choice}" for choice in range(CHOICES)) for answer in range(CHOICES)
)
"""Columns of the official result file, by the answer that the reason is for."""
REMEDY = (
    f"write a CSV file with the columns {KEY}, {ANSWERS[0]} to {ANSWERS[-1]} and {REASONS[0][0]} to {REASONS[-1][-1]}, "
    "with a number for every choice (the highest is chosen); answers or reasons alone will do"
)

ChoiceScores = Mapping[str, float]
"""Column -> score, for one question."""


@dataclass(frozen=True, slots=True)
class Right:
    """Whether each question was answered correctly, in order; None for parts that were not predicted."""

    answers: Sequence[bool] | None
    reasons: Sequence[bool] | None

    @property
    def both(self) -> Sequence[bool] | None:
        """Q->AR: correct answer, and correct reason given the right answer."""
        if self.answers is None or self.reasons is None:
            return None
        return [a and r for a, r in zip(self.answers, self.reasons, strict=True)]


def evaluate(labels: Mapping[str, tuple[int, int]], predicted: Mapping[str, ChoiceScores], path: Path) -> Right:
    """Official metric.

    Args:
        labels: annot_id -> right answer and right reason.
        predicted: annot_id -> scores; contains all of ``labels``.
        path: file they come from, named in errors.

    Raises:
        DataError: only some questions have answers (or reasons), or nothing was predicted at all.
    """
    answers = _chosen(predicted, {key: ANSWERS for key in labels}, path)
    reasons = _chosen(predicted, {key: REASONS[answer] for key, (answer, _) in labels.items()}, path)
    if answers is None and reasons is None:
        raise DataError(
            "expected predictions of answers or of reasons for the correct answers, found neither",
            file=path,
            remedy=REMEDY,
        )
    return Right(
        None if answers is None else [answers[key] == answer for key, (answer, _) in labels.items()],
        None if reasons is None else [reasons[key] == reason for key, (_, reason) in labels.items()],
    )


def _chosen(
    predicted: Mapping[str, ChoiceScores], columns: Mapping[str, Sequence[str]], path: Path
) -> dict[str, int] | None:
    """annot_id -> choice with the highest score (the first one wins ties); None if no question has scores."""
    found: dict[str, int] = {}
    lacking = ""
    for key, names in columns.items():
        numbers = [predicted[key].get(name) for name in names]
        known = [number for number in numbers if number is not None]
        if len(known) == len(names):
            found[key] = known.index(max(known))
        else:
            lacking = lacking or f"{key}, {names[numbers.index(None)]}"
    if found and lacking:
        raise DataError("no score, although other questions have one", file=path, record=lacking, remedy=REMEDY)
    return found or None


def read_results(paths: Sequence[Path]) -> dict[str, dict[str, float]]:
    """annot_id -> column -> score, from files of the official layout. Several files may share the columns.

    Cells without a prediction may be empty.

    Raises:
        DataError: a file lacks these columns, a cell is not a number, or a question occurs twice in a file.
    """
    found: dict[str, dict[str, float]] = {}
    for path in paths:
        with mended_by(path, REMEDY):
            for key, numbers in _read(path).items():
                row = found.setdefault(key, {})
                twice = sorted(row.keys() & numbers.keys())
                if twice:
                    raise DataError("predicted in two files", file=path, record=f"{key}, {twice[0]}")
                row |= numbers
    return found


def _read(path: Path) -> dict[str, dict[str, float]]:
    wanted = {*ANSWERS, *(name for names in REASONS for name in names)}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", file=path) from None
    if not lines or KEY not in lines[0] or not wanted & lines[0].keys():
        raise DataError("expected a table of predictions, found none of its columns", file=path)
    found: dict[str, dict[str, float]] = {}
    for number, line in enumerate(lines, 2):
        key = line[KEY]
        if not key:
            raise DataError(f"this line has no {KEY}", file=path, record=f"line {number}")
        if key in found:
            raise DataError(f"question {key} is predicted twice", file=path, record=f"line {number}")
        cells = {name: cell for name, cell in line.items() if name in wanted and cell not in ("", None)}
        found[key] = {name: _number(cell, path, f"line {number}, {name}") for name, cell in cells.items()}
    return found


def _number(cell: str, path: Path, place: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise DataError(f"expected a number, found {describe(cell)}", file=path, record=place)
    return number
