"""Writes pickles like Python 2 (protocol 0), with byte strings that a reader has to decode."""

from __future__ import annotations

from typing import Any


def dumps(value: Any) -> bytes:
    """Pickle lists, dicts, ASCII strings, ints, floats and None with protocol 0, in Python 2's order.

    Raises:
        TypeError: the value contains another type.
        UnicodeEncodeError: a string is not ASCII.
    """
    parts: list[str] = []
    _write(value, parts, [0])
    return ("".join(parts) + ".").encode("ascii")


def _write(value: Any, parts: list[str], memo: list[int]) -> None:
    """Append the opcodes that push ``value``. ``memo`` is a one-element list with the next free index."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, list, dict, type(None))):
        raise TypeError(f"cannot write a {type(value).__name__}")
    if value is None:
        parts.append("N")
    elif isinstance(value, int):
        parts.append(f"I{value}\n")
    elif isinstance(value, float):
        parts.append(f"F{value!r}\n")
    elif isinstance(value, str):
        value.encode("ascii")
        parts.append(f"S{value!r}\n{_put(memo)}")
    elif isinstance(value, list):
        parts.append(f"(l{_put(memo)}")
        for item in value:
            _write(item, parts, memo)
            parts.append("a")
    else:
        parts.append(f"(d{_put(memo)}")
        for key, item in value.items():
            _write(key, parts, memo)
            _write(item, parts, memo)
            parts.append("s")


def _put(memo: list[int]) -> str:
    memo[0] += 1
    return f"p{memo[0] - 1}\n"
