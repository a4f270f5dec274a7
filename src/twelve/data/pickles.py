"""Pickles from outside, read without trusting them.

A pickle is a program. This reader runs only the part that builds lists, dicts, tuples, strings, numbers and None (all
that annotation files of the Python 2 days hold) and refuses anything else before it does something.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from twelve.data.records import unreadable
from twelve.errors import DataError

_PLAIN = (str, int, float, bool, type(None))


class _PlainUnpickler(pickle.Unpickler):
    """Names nothing: without a name a pickle can call nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside the file")


def read_pickle(path: Path) -> Any:
    """Lists, dicts, tuples, strings, numbers and None from a pickle; Python 2 byte strings are read as latin-1.

    Raises:
        DataError: the file is unreadable, damaged, or holds anything but plain containers.
    """
    try:
        with path.open("rb") as stream:
            value = _PlainUnpickler(stream, encoding="latin1").load()
            trailing = stream.read(1)
    except OSError as error:
        raise unreadable(path, error) from None
    except Exception as error:  # a damaged or hostile pickle can raise anything at all
        raise _refused(path, str(error) or type(error).__name__) from None
    if trailing:
        raise _refused(path, "something follows its end")
    foreign = _foreign(value)
    if foreign is not None:
        raise _refused(path, f"it holds a {foreign.__name__}")
    return value


def _foreign(value: Any) -> type | None:
    """The type of something that is not a plain container in ``value``, or None; shared parts are visited once."""
    stack, seen = [value], set()
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind in _PLAIN:
            continue
        if kind not in (list, tuple, dict):
            return kind
        if id(item) in seen:
            continue
        seen.add(id(item))
        if kind is dict:
            stack.extend(item.keys())
            stack.extend(item.values())
        else:
            stack.extend(item)
    return None


def _refused(path: Path, reason: str) -> DataError:
    return DataError(
        f"not a pickle of plain lists, dicts, strings and numbers: {reason}",
        file=path,
        remedy="use the official release's file; a pickle from elsewhere may contain a program",
    )
