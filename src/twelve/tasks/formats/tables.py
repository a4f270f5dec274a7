"""A table (CSV) instead of JSON lines: recognised, so that an error can say how to convert it."""

from __future__ import annotations

from pathlib import Path

from twelve.errors import DataError, Own
from twelve.formats.mistaken import as_table
from twelve.formats.records import text_lines

OWN = Own(f"{as_table()}, and train with the configuration that this command writes")
"""What to do with a table of examples."""


def given_as_table(path: Path, remedy: str = OWN) -> DataError | None:
    """An error about a file whose first line is that of a table, not a JSON value.

    Raises:
        DataError: the line cannot be read.
    """
    line = next((text.strip() for _, text in text_lines(path)), "")
    named = path.suffix.lower() in (".csv", ".tsv") and not line.startswith(("{", "["))
    separated = any(mark in line for mark in ",;\t") and "{" not in line and not line.startswith("[")
    if not line or not (named or separated):
        return None
    return DataError(
        "this is a table (CSV), but one JSON object a line is needed",
        file=path,
        record="line 1",
        remedy=remedy,
    )
