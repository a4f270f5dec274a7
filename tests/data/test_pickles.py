"""The restricted reader gives back plain containers and refuses every other pickle before it does anything."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.errors import DataError
from twelve.formats import pickles
from twelve.formats.pickles import DEEPEST, UnsafePickle, load_pickle, read_pickle

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


class Hostile:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file.p"
    path.write_bytes(content)
    return path


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_containers_come_back(tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int) -> None:
    path = write(tmp_path_factory.mktemp("pickle"), pickle.dumps(value, protocol))
    assert read_pickle(path) == value


def test_python_2_strings_are_latin_1(tmp_path: Path) -> None:
    assert read_pickle(write(tmp_path, b"(lp0\nS'caf\\xe9'\np1\naVcaf\\u00e9\naI01\na.")) == ["café", "café", True]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "made"
    path = write(tmp_path, pickle.dumps([{"a": Hostile(victim)}], protocol))
    with pytest.raises(DataError, match=r"asks for .*mkdir"):
        read_pickle(path)
    assert not victim.exists()
    pickle.loads(path.read_bytes())
    assert victim.exists()  # the attack is real


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset({1}),
        b"bytes",
        bytearray(b"x"),
        complex(1, 2),
        Fraction(1, 2),
        OrderedDict(a=1),
        np.zeros(3),
        np.float64(1),
        len,
        Path,
        [("deep", [b"x"])],
        {b"key": 1},
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_everything_else_is_refused(tmp_path: Path, value: object, protocol: int) -> None:
    with pytest.raises(DataError, match="not a pickle of plain lists"):
        read_pickle(write(tmp_path, pickle.dumps(value, protocol)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"(lp0\nI1\na",
        b"Pid\n.",
        b"\x82\x01.",
        b"I1\n.I2\n.",
        b"]\x94R.",
        b"}(]K\x01u.",
        b"cos\nsystem\n.",
    ],
)
def test_damaged_and_odd_files_are_errors_of_data(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"file\.p: not a pickle of plain lists"):
        read_pickle(write(tmp_path, content))


@given(st.binary(max_size=40))
def test_any_bytes_give_a_value_or_an_error_of_data(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("pickle"), content)
    with contextlib.suppress(DataError):
        read_pickle(path)


def test_shared_and_circular_parts_are_visited_once(tmp_path: Path) -> None:
    value: list[object] = ["leaf"]
    for _ in range(60):  # 2**60 leaves if shared parts were visited each time
        value = [value, value]
    value.append(value)
    stream = io.BytesIO()
    pickle.dump(value, stream)
    assert len(read_pickle(write(tmp_path, stream.getvalue()))) == 3


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_pickle(tmp_path / "none.p")


def test_large_files_and_pipes_are_not_read(tmp_path: Path) -> None:
    """A file of holes takes no place on a disk, and reading it would take as much memory as it says it has."""
    path = tmp_path / "refs(unc).p"
    with open(path, "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p: .* 2,147,483,648 bytes, more than the 67,108,864"):
        read_pickle(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is a pipe or a device, not a file"):
        read_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_only_where_they_are_allowed(protocol: int) -> None:
    value = {"boxes": np.arange(8, dtype=">f4").reshape(2, 4), "width": np.int64(7), "raw": b"x", "deep": [("a", 1.5)]}
    content = pickle.dumps(value, protocol)
    found = load_pickle(content, arrays=True)
    assert found.keys() == value.keys() and found["width"] == 7 and found["deep"] == [("a", 1.5)]
    assert np.array_equal(found["boxes"], np.arange(8).reshape(2, 4)) and found["raw"] == b"x"
    with pytest.raises(UnsafePickle):
        load_pickle(content)


def test_around_arrays_nothing_is_deep_or_large(monkeypatch: pytest.MonkeyPatch) -> None:
    value: list[object] = ["leaf"]
    for _ in range(DEEPEST):
        value = [value, value]
    assert load_pickle(pickle.dumps(value), arrays=True) == value
    for deeper in ([value], {"a": value}, (value,)):
        with pytest.raises(UnsafePickle, match="nested too deeply"):
            load_pickle(pickle.dumps(deeper), arrays=True)
    value.append(value)
    with pytest.raises(UnsafePickle, match="nested too deeply"):
        load_pickle(pickle.dumps(value), arrays=True)
    monkeypatch.setattr(pickles, "LARGEST", 100)
    for arrays in (False, True):
        assert len(load_pickle(pickle.dumps("x" * 50), arrays=arrays)) == 50
        with pytest.raises(UnsafePickle, match="more than the 100 that are read"):
            load_pickle(pickle.dumps("x" * 100), arrays=arrays)
