"""Large files member by member: the same as reading them whole, and as clear about what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelve.errors import DataError
from twelve.formats import json_streams as streams
from twelve.formats.json_streams import read_elements, read_items, read_list, read_members, watching

FIELDS = st.dictionaries(st.text(max_size=4), st.one_of(st.integers(), st.text(max_size=9), st.none()), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.dictionaries(st.text(max_size=5), FIELDS, max_size=4),
    indent=st.sampled_from([None, 1]),
    size=st.integers(1, 9),
)
def test_chunks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, object], indent: int | None, size: int
) -> None:
    path = tmp_path_factory.mktemp("streams") / "rows.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", size)
        path.write_text(json.dumps(rows, indent=indent), encoding="utf-8")
        assert {key: record.fields for key, record in read_members(path)} == rows
        path.write_text(json.dumps(list(rows.values()), indent=indent, ensure_ascii=False), encoding="utf-8")
        assert [record.fields for record in read_elements(path)] == list(rows.values())


def test_packed_and_marked_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.json.gz"
    path.write_bytes(gzip.compress('\ufeff [ {"a": 1} , {} ] \n'.encode()))
    assert [record.fields for record in read_elements(path)] == [{"a": 1}, {}]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        list(read_elements(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "expected an object, found list"),
        ("", "not valid JSON: Expecting value"),
        ('{"a": {}', r"\[character 8\]: not valid JSON: it ends before ','"),
        ('{"a": {} "b": {}}', r"\[character 9\]: not valid JSON: expected ',', found '\"'"),
        ('{"a": {},}', "expected another member after the comma"),
        ('{"a" {}}', "expected ':', found '{'"),
        ("{3: {}}", "expected a key, found int 3"),
        ('{"a": {"b": }}', "not valid JSON: Expecting value"),
        ('{"a": 3}', r"\[a\]: expected an object with fields, found int 3"),
        ('{"a": {}} x', "there is more data after its end"),
        ('{"a": {"b": ' + "[" * 100_000, "not valid JSON: lists or objects nested too deeply"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        list(read_members(path))
    assert str(path) in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(FIELDS, max_size=4),
    before=st.one_of(st.integers(), FIELDS, st.lists(st.integers(), max_size=2)),
    indent=st.sampled_from([None, 1]),
    size=st.integers(1, 9),
)
def test_a_list_inside_an_object(
    tmp_path_factory: pytest.TempPathFactory, rows: list[object], before: object, indent: int | None, size: int
) -> None:
    path = tmp_path_factory.mktemp("streams") / "rows.json"
    counted: list[int] = []
    with pytest.MonkeyPatch.context() as patch, watching(counted.append):
        patch.setattr(streams, "CHUNK", size)
        path.write_text(json.dumps({"info": before, "rows": rows, "more": [{}]}, indent=indent), encoding="utf-8")
        found = list(read_list(path, "rows"))
    assert [record.fields for record in found] == rows
    assert [record.place for record in found] == [f"rows[{index}]" for index in range(len(rows))]
    assert sum(counted) == len(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "expected an object with fields, found list"),
        ("[] x", "there is more data after its end"),
        ("{}", "field 'rows' is missing"),
        ('{"other": []}', "field 'rows' is missing"),
        ('{"rows": {}}', "field 'rows' must be a list, found dict"),
        ('{"rows": [3]}', r"\[rows\[0\]\]: expected an object with fields, found int 3"),
        ('{"rows": [{}] "a": 1}', "expected ',', found"),
        ('{"rows": [{}', "it ends before ','"),
        ('{"rows": []} x', "there is more data after its end"),
        ('{"rows": [], "rows": []}', "the key 'rows' occurs twice"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(DataError, match=problem):
        list(read_list(path, "rows"))


def test_the_damage_is_named_however_much_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that is missing early on is that, and not a member of the rest of the file."""
    monkeypatch.setattr(streams, "CHUNK", 64)
    monkeypatch.setattr(streams, "LONGEST", 256)
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1, b: 2}' + ', {"a": 1}' * 99 + "]")
    with pytest.raises(DataError, match="Expecting property name"):
        list(read_elements(path))


def test_what_stands_before_the_damage_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1}, {"a": 2}, ')
    rows = read_elements(path)
    assert [next(rows).integer("a"), next(rows).integer("a")] == [1, 2]
    with pytest.raises(DataError):
        next(rows)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(read_elements(tmp_path / "none.json"))


def test_items_of_nested_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"v": "1", "data": {"a": ["x", 2], "b": [{"c": [3]}], "d": {"a": [4]}}, "a": [5]}')
    assert list(read_items(path, "data.a", "data.b")) == [("data.a", "x"), ("data.a", 2), ("data.b", {"c": [3]})]
    assert list(read_items(path, "a", "data.d.a")) == [("data.d.a", 4), ("a", 5)]
    assert list(read_items(path, "data.d", "v")) == []
    for wrong, problem in (('{"a": [1}', "not valid JSON"), ('{"a": [1], "a": [2]}', "occurs twice"), ("", "JSON")):
        path.write_text(wrong)
        with pytest.raises(DataError, match=problem):
            list(read_items(path, "a"))
