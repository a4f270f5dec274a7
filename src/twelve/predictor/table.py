"""The answers of ``twelve predict`` as a table in CSV: a row for each question, on one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twelve.predictor.command import Outcome

COLUMNS = ("image", "question", "answer", "score", "error")
HEADER = ",".join(COLUMNS)


def is_table(path: Path) -> bool:
    """Whether a file of answers is to be a table, by its name."""
    return path.suffix.lower() == ".csv"


def row(outcome: Outcome) -> str:
    """The row of a question; without an answer, it has the error in place of answer and score."""
    images, result = " + ".join(map(str, outcome.request.images)), outcome.result
    answer, score = ("", "") if result is None else (result.value, str(round(result.score, 6)))
    stream = io.StringIO()
    cells = [" ".join(cell.split()) for cell in (outcome.asked, answer, score, outcome.error)]
    csv.writer(stream, lineterminator="").writerow([images.replace("\n", " "), *cells])
    return stream.getvalue()
