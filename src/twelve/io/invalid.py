"""What is wrong with a value that pydantic refused, in the words of the other messages: expected what, found what; and
what to write in its place."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from twelve.errors import closest, nearest, quoted
from twelve.progress import counted

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a string",
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
_CHOICES = ("literal_error", "enum")
"""Types of errors about a value that is none of several."""
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

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, 60

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if abs(x) < 10**40 else f"of {x.bit_length()} bits"


class _ShortJson(_Short):
    """The same with the words of JSON for values that Python calls otherwise."""

    def repr_NoneType(self, x: None, level: int) -> str:
        return json.dumps(x)

    def repr_bool(self, x: bool, level: int) -> str:
        return json.dumps(x)

    def repr_float(self, x: float, level: int) -> str:
        return json.dumps(x)


_SHORT, _SHORT_JSON = _Short(), _ShortJson()


def beginning(value: object) -> str:
    """The beginning of a value, as Python writes it."""
    return _cut(_SHORT.repr(value))


def json_beginning(value: object) -> str:
    """The same with null, true, false, NaN and Infinity, as in JSON."""
    return _cut(_SHORT_JSON.repr(value))


def _cut(text: str) -> str:
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
    if kind == "string_unicode":
        return "contains half a character (a lone surrogate)"
    if kind.startswith("string_too_"):
        words, most = _size(kind.removeprefix("string_"), context)
        there = f"one of {len(str(value)):,}" if value else "an empty one"
        return f"expected a string of {words} {counted(most, 'character')}, found {there}"
    if kind in _SIZES:
        words, most = _size(kind, context)
        return f"expected {words} {counted(most, 'item')}, found {context.get('actual_length') or 'none'}"
    expected = _wanted(kind, context)
    choices = re.findall(r"'([^']*)'", str(context["expected"])) if kind in _CHOICES else []
    meant = nearest(value, choices) if isinstance(value, str) else ""
    return f"{expected or error['msg']}, found {found(value)}{meant}"


def instead(error: Mapping[str, Any], place: Sequence[str], annotation: object, known: Iterable[object]) -> str | None:
    """What to write instead of a refused value of a configuration, as ``--set a.b=value``; None where nobody knows.

    Args:
        error: one of ``ValidationError.errors()``.
        place: the keys that lead to the value.
        annotation: type of the value.
        known: values that suit it, such as its default; those that are None or empty are passed over.
    """
    value, choices = error.get("input"), _choices(annotation)
    meant = closest(value, choices) if isinstance(value, str) else None
    if error["type"] == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"write it in quotes: {_setting(place, json.dumps(str(value)))}"
    several = get_origin(annotation) is tuple
    fitting = [*([meant] if meant else []), *([] if several else known), *choices, *(known if several else [])]
    chosen = next((each for each in fitting if isinstance(each, str | int | float | list | tuple) and each != ()), None)
    if chosen is None:
        return None
    listed = several and not isinstance(chosen, list | tuple)
    text = chosen if isinstance(chosen, str) and not listed else json.dumps([chosen] if listed else chosen)
    return f"change it, for example: {_setting(place, text)}"


def _setting(place: Sequence[str], text: str) -> str:
    return f"--set {quoted('.'.join(place) + '=' + text)}"


def _choices(annotation: object) -> list[str]:
    """The words among which a type lets one choose."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [part for part in parts if isinstance(part, str)]
    return [word for part in parts for word in _choices(part)]


def bound(error: Mapping[str, Any]) -> str | None:
    """The bound that a number exceeds, such as "at most 1"; None for errors of other kinds."""
    if error["type"] not in _BOUNDS:
        return None
    key, words = _BOUNDS[error["type"]]
    most = error["ctx"][key]
    return f"{words} {f'{most:,}' if isinstance(most, int) else f'{most:g}'}"


def _wanted(kind: str, context: Mapping[str, Any]) -> str | None:
    """What a kind of error expected, as "expected ..."; None for kinds that have words of their own."""
    if kind in _CHOICES:
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
