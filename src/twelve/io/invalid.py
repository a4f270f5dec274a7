"""What is wrong with a value that pydantic refused, in the words of the other messages: expected what, found what."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "model_attributes": "a mapping of keys to values",
    "dataclass": "a mapping of keys to values",
}
"""Beginning of an error's type, before ``_type`` or ``_parsing``, to what was expected."""
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
"""Type of an error about the size of a number -> key of the bound, in words."""
_SIZES = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}


class _Short(reprlib.Repr):
    """The beginning of any value, also of long, deep or circular ones."""

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if abs(x) < 10**40 else f"of {x.bit_length()} bits"


_SHORT = _Short()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60


def beginning(value: object) -> str:
    """The beginning of a value, as Python writes it."""
    text = _SHORT.repr(value)
    return f"{text[:40]}{'...' if len(text) > 40 else ''}"


def problem_of(error: Mapping[str, Any], found: Callable[[object], str] = beginning) -> str:
    """What is wrong, after the name of the place.

    Args:
        error: one of ``ValidationError.errors()``.
        found: writes the value that was refused.
    """
    kind, value, context = str(error["type"]), error.get("input"), error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return "no such key"
    if kind in ("value_error", "json_invalid"):
        return str(error["msg"]).removeprefix("Value error, ")
    if kind.startswith("string_too_"):
        words, most = _size(kind.removeprefix("string_"), context)
        there = f"one of {len(str(value)):,}" if value else "an empty one"
        return f"expected a text of {words} {_several(most, 'character')}, found {there}"
    if kind in _SIZES:
        words, most = _size(kind, context)
        return f"expected {words} {_several(most, 'item')}, found {context.get('actual_length') or 'none'}"
    expected = _wanted(kind, context)
    return f"{expected or error['msg']}, found {found(value)}"


def bound(error: Mapping[str, Any]) -> str | None:
    """The bound that a number exceeds, such as "at most 1"; None for errors of other kinds."""
    if error["type"] not in _BOUNDS:
        return None
    key, words = _BOUNDS[error["type"]]
    most = error["ctx"][key]
    return f"{words} {f'{most:,}' if isinstance(most, int) else f'{most:g}'}"


def _wanted(kind: str, context: Mapping[str, Any]) -> str | None:
    """What a kind of error expected, as "expected ..."; None for kinds that have words of their own."""
    if kind in ("literal_error", "enum"):
        several = " or " in str(context["expected"])
        return f"expected {'one of ' if several else ''}{context['expected']}"
    if kind in _BOUNDS:
        return f"expected {bound({'type': kind, 'ctx': context})}"
    if kind == "finite_number":
        return "expected a finite number"
    what = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_parsing_size").removesuffix("_from_float")
    return f"expected {_KINDS[what]}" if what != kind and what in _KINDS else None


def _size(kind: str, context: Mapping[str, Any]) -> tuple[str, int]:
    key, words = _SIZES[kind]
    return words, context[key]


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
