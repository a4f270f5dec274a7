"""The answers of ``twelve predict`` as a table in CSV: a row for each question, on one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twelve.outputs.parts.result import Result

COLUMNS = ("image", "question", "answer", "score", "error")
HEADER = ",".join(COLUMNS)


def is_table(path: Path) -> bool:
    """Whether a file of answers is to be a table, by its name."""
    return path.suffix.lower() == ".csv"


def row(images: str, question: str, result: Result | None, error: str) -> str:
    """The row of a question; without an answer, it has the error in place of answer and score."""
    answer, score = ("", "") if result is None else (result.value, str(round(result.score, 6)))
    stream = io.StringIO()
    cells = [" ".join(cell.split()) for cell in (question, answer, score, error)]
    csv.writer(stream, lineterminator="").writerow([images.replace("\n", " "), *cells])
    return stream.getvalue()
