"""Values as text and back: the same value of the same types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.data.examples.codec import Codec


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    parts: tuple[Any, ...]
    more: Any = None


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.text(max_size=3) | st.integers(0, 3) | st.sampled_from(["!list", "!dict", "!Fact", "!"])
VALUES = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(Fact, st.text(max_size=3), st.lists(inner, max_size=2).map(tuple), inner)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_values_come_back_with_their_types(value: Any) -> None:
    codec = Codec((Fact,))
    assert repr(codec.decode(codec.encode(value))) == repr(value)  # 1, 1.0 and True differ


def test_equal_texts_are_equal_values() -> None:
    codec = Codec()
    assert len({codec.encode(value) for value in (1, 1.0, True, "1", (1,), [1], {"1": 1}, {1: 1}, None)}) == 9


def test_what_is_not_declared_is_not_written() -> None:
    for value in (Fact("x", ()), {"a": (Fact("x", ()),)}, {1, 2}, b"x"):
        with pytest.raises(TypeError, match="cannot be written: a task declares its own types"):
            Codec().encode(value)
    other = dataclass(type("Fact", (), {}))
    with pytest.raises(TypeError, match="Fact"):
        Codec((other,)).encode(Fact("x", ()))  # the name alone does not do
    with pytest.raises(ValueError, match="not dataclasses of different names"):
        Codec((Fact, other))
    with pytest.raises(ValueError, match="not dataclasses"):
        Codec((int,))


def test_texts_make_no_other_class() -> None:
    with pytest.raises(LookupError):
        Codec((Fact,)).decode('{"!Path":["x"]}')
