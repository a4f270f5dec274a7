"""Tables of a harness as records: xlsx, tsv, csv and json."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError, DataError
from twelve.extras import install
from twelve.formats.records import (
    EMPTY,
    Record,
    check_regular,
    describe,
    open_text,
    read_json,
    unpacks_within,
    unreadable,
)

REMEDY = "give the file as the harness wrote it (xlsx, tsv or json)"
_DELIMITERS = {".tsv": "\t", ".csv": ","}


def read_table(path: Path) -> Iterator[Record]:
    """The rows of a table, in order, by the names of its columns; empty ones are skipped.

    Raises:
        DataError: unreadable, of another kind, a row that does not fit the head, or more empty ones than a file has.
        ConfigError: xlsx cannot be read here.
    """
    if path.suffix == ".json":
        rows = read_json(path)
        if not isinstance(rows, list):
            raise DataError(f"expected a list of rows, found {describe(rows)}", file=path, remedy=REMEDY)
        yield from (Record(row, path, f"row {number}") for number, row in enumerate(rows, 1))
        return
    if path.suffix not in (".xlsx", *_DELIMITERS):
        raise DataError(f"expected a table, found a file {path.suffix or 'without a suffix'}", file=path, remedy=REMEDY)
    lines = _sheet(path) if path.suffix == ".xlsx" else _separated(path, _DELIMITERS[path.suffix])
    head = [str(name) for name in next(lines, [])]
    if len(set(head)) != len(head) or not head:
        raise DataError("expected a head with distinct names of columns", file=path, record="row 0", remedy=REMEDY)
    blank = 0
    for number, row in enumerate(lines, 1):
        if all(cell is None or not str(cell).strip() for cell in row):
            blank += 1
            if blank > EMPTY:
                problem = f"more than {EMPTY:,} consecutive empty rows"
                raise DataError(problem, file=path, record=f"row {number}", remedy=REMEDY)
            continue
        blank = 0
        if len(row) > len(head):
            problem = f"expected {len(head)} cells, found {len(row)}"
            raise DataError(problem, file=path, record=f"row {number}", remedy=REMEDY)
        yield Record(dict(zip(head, row, strict=False)), path, f"row {number}")


def text_of(record: Record, key: str) -> str:
    """A cell as text; an empty cell is "".

    Raises:
        DataError: there is no such column, or the cell holds no text or number.
    """
    if key not in record.fields:
        raise record.error(f"column {key!r} is missing, found {', '.join(record.fields)}", REMEDY)
    value = record.fields[key]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)


def _separated(path: Path, delimiter: str) -> Iterator[list[Any]]:
    number = 0
    try:
        check_regular(path)
        with open_text(path) as stream:
            for row in csv.reader(stream, delimiter=delimiter, strict=True):
                if delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in row):
                    problem = (
                        "a cell holds tabs and ends of lines: a quote that is not closed takes in the rows after it"
                    )
                    raise DataError(problem, file=path, record=f"row {number}", remedy=REMEDY)
                yield row
                number += 1
    except csv.Error as error:
        raise DataError(f"cannot be read: {error}", file=path, record=f"row {number}", remedy=REMEDY) from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


def _sheet(path: Path) -> Iterator[list[Any]]:
    """The rows of the first sheet."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise ConfigError(
            "reading xlsx needs openpyxl",
            file=path,
            remedy=f"{install('harness')}, or let the harness write tsv (PRED_FORMAT=tsv)",
        ) from None
    try:
        check_regular(path)
        unpacks_within(path)
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            for row in book.worksheets[0].iter_rows(values_only=True):
                yield list(row)
        finally:
            book.close()
    except DataError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise DataError(f"not an xlsx file: {error or type(error).__name__}", file=path, remedy=REMEDY) from None
