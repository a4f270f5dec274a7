from __future__ import annotations

import re
from pathlib import Path

import pytest

from twelve.errors import DataError
from twelve.formats.records import read_lines, read_object


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.json"


def test_lines_come_one_by_one(file: Path) -> None:
    """What stands before a damaged line is read before the error comes."""
    file.write_text('\ufeff{"a": "x"}\n\n{"a": "y"}\n{"a": ', encoding="utf-8")
    lines = read_lines(file)
    assert [next(lines).text("a"), next(lines).text("a")] == ["x", "y"]
    with pytest.raises(DataError, match=r"records\.json \[line 4\]: expected one JSON object a line"):
        next(lines)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1', "{ at column 1 is not closed: write }"),
        ('{"a": 1}\n{"a": "x}", "b": [1, 2', "[ at column 18 is not closed: write ]"),
        ('{"a": {"b": "\\"}"}\n', "{ at column 1 is not closed: write }"),
    ],
)
def test_a_bracket_that_is_not_closed_is_named(file: Path, text: str, place: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=re.escape(f"[line {1 + text.strip().count(chr(10))}]: ")) as caught:
        list(read_lines(file))
    assert f"expected one JSON object a line: the {place} at its end" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            '{"info": [\n1], "license": 2}',
            "found an object with the fields 'info', 'license' that goes over several lines",
        ),
        ('[{"a": 1},\n{"a": 2}]', "found a list that goes over several lines"),
    ],
)
def test_a_whole_file_in_the_place_of_lines_is_said_to_be_one(file: Path, text: str, found: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=re.escape(found)):
        list(read_lines(file))


@pytest.mark.parametrize("text", ["[1]", "3", '"x"', "null"])
def test_a_line_must_be_an_object(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=r"line 1.*expected an object with fields"):
        list(read_lines(file))


def test_damaged_object_names_line_and_column(file: Path) -> None:
    file.write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(DataError, match=r"\[line 2, column 6\]: not valid JSON"):
        read_object(file)


def test_files_that_cannot_be_read(file: Path) -> None:
    for read in (read_object, lambda path: list(read_lines(path))):
        with pytest.raises(DataError, match="cannot be read: No such file"):
            read(file)
    file.write_bytes(b"\xff\xfe\xff")
    for read in (read_object, lambda path: list(read_lines(path))):
        with pytest.raises(DataError, match=r"cannot be read|not UTF-8"):
            read(file)


def test_fields_are_checked(file: Path) -> None:
    file.write_text('{"n": true, "t": 3, "b": [1, 2, null, 4], "short": [1], "inf": [1, 2, 3, 1e999], "list": [{}, 5]}')
    record = read_object(file)
    for problem, call in {
        "field 'n' must be a whole number, found bool True": lambda: record.integer("n"),
        "field 't' must be a string, found int 3": lambda: record.text("t"),
        r"field 'none' is missing \(expected a string\)": lambda: record.text("none"),
        "field 'b' must be 4 finite numbers, found NoneType None among them": lambda: record.numbers("b", 4),
        "field 'short' must be 4 finite numbers, found 1 values": lambda: record.numbers("short", 4),
        "field 'inf' must be 4 finite numbers": lambda: record.numbers("inf", 4),
        r"\[list\[1\]\]: expected an object with fields, found int 5": lambda: list(record.records("list")),
    }.items():
        with pytest.raises(DataError, match=problem):
            call()
