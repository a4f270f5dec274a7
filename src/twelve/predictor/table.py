"""The answers of ``twelve predict`` as a table in CSV: a row for each question, on one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.outputs.parts.result import rounded

if TYPE_CHECKING:
    from twelve.outputs.parts.result import Result

HEADER = "image,question,answer,confidence,error,calibrated,reliable,codes,warnings"
HEADERS = {
    HEADER,
    "image,question,answer,score,error,calibrated,reliable,codes,warnings",
    "image,question,answer,score,error,calibrated,warnings",
    "image,question,answer,score,error",
}
"""The header, and those of tables of earlier versions."""


def is_table(path: Path) -> bool:
    """Whether a file of answers is to be a table, by its name."""
    return path.suffix.lower() == ".csv"


def row(images: str, question: str, result: Result | None, error: str) -> str:
    """The row of a question; without an answer, only image, question and error are filled."""
    answer = confidence = calibrated = reliable = codes = warnings = ""
    if result is not None:
        answer, confidence = result.value, str(rounded(result.confidence))
        calibrated, reliable = str(result.calibrated).lower(), str(result.reliable).lower()
        codes = " ".join(dict.fromkeys(warning.code for warning in result.warnings))
        warnings = "; ".join(result.warnings)
    stream = io.StringIO()
    cells = question, answer, confidence, error, calibrated, reliable, codes, warnings
    rest = [" ".join(cell.split()) for cell in cells]
    csv.writer(stream, lineterminator="").writerow([images.replace("\n", " "), *rest])
    return stream.getvalue()
