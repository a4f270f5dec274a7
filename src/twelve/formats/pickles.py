"""Pickles from outside, read without trusting them.

A pickle is a program. This reader runs only the part that builds lists, dicts, tuples, strings, numbers and None (all
that annotation files of the Python 2 days hold) and refuses anything else before it does something.

Even the harmless part can be abused: a place in the reader's memory may be numbered in the billions, and the hash of a
tuple that holds itself twice, sixty times over, takes centuries. The fast reader therefore only gets what Python 2
wrote; everything else goes through the slow one, whose memory is a dict and whose keys are plain.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twelve.errors import DataError
from twelve.formats.records import check_regular, unreadable

LARGEST = 1 << 26
"""Bytes of a pickle, over ten times those of any annotations that come as one."""

PLAIN = (str, int, float, bool, type(None))
_PYTHON_2 = re.compile(rb"(?:[(dlaNs]|[SVIFLpg][^\n]*+\n)*+\.")
"""A pickle of protocol 0 without tuples, copies or calls."""
_PLACES = re.compile(rb"p(\d+)\n")
PLAIN_STEPS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "FLOAT", "BINFLOAT"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("LIST", "EMPTY_LIST", "APPEND", "APPENDS", "DICT", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE"),
)
_NAMED = ("GLOBAL", "STACK_GLOBAL", "INST")
"""Steps that ask for a name, which :meth:`PlainUnpickler.find_class` refuses by it."""


class PlainUnpickler(pickle._Unpickler):
    """Runs the steps of :data:`PLAIN_STEPS` and no other; keys of dicts are of :attr:`keys`."""

    keys: tuple[type, ...] = PLAIN

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def plain_keys(self, step: Callable[[Any], None], keys: list[Any]) -> None:
        """Run a step that puts these keys into a dict."""
        for key in keys:
            if type(key) not in self.keys:
                raise pickle.UnpicklingError(f"it has a {type(key).__name__} as a key")
        step(self)


def steps_of(names: Iterable[str]) -> dict[int, Callable[[Any], None]]:
    """The dispatch table of a :class:`PlainUnpickler` that runs the steps of these names and no other."""
    known: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch
    code = {name: getattr(pickle, name)[0] for name in names}
    steps = {code[name]: known[code[name]] for name in code}
    one, many, whole = (known[code[name]] for name in ("SETITEM", "SETITEMS", "DICT"))
    steps[code["SETITEM"]] = lambda self: self.plain_keys(one, self.stack[-2:-1])
    steps[code["SETITEMS"]] = lambda self: self.plain_keys(many, self.stack[::2])
    steps[code["DICT"]] = lambda self: self.plain_keys(whole, self.stack[::2])
    return steps


PlainUnpickler.dispatch = steps_of((*PLAIN_STEPS, *_NAMED))


class _FastUnpickler(pickle.Unpickler):
    """Names nothing: without a name a pickle can call nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_pickle(path: Path) -> Any:
    """Lists, dicts, tuples, strings, numbers and None from a pickle; Python 2 byte strings are read as latin-1.

    Raises:
        DataError: the file is unreadable, damaged, or holds anything but plain containers.
    """
    content = _content(path)
    stream = io.BytesIO(content)
    kind = _FastUnpickler if _of_python_2(content) else PlainUnpickler
    try:
        value = kind(stream, encoding="latin1").load()
    except KeyError as error:
        raise _refused(path, f"it asks for step or place {error}") from None
    except Exception as error:  # a damaged or hostile pickle can raise anything at all
        raise _refused(path, str(error) or type(error).__name__) from None
    if stream.read(1):
        raise _refused(path, "something follows its end")
    foreign = _foreign(value)
    if foreign is not None:
        raise _refused(path, f"it holds a {foreign.__name__}")
    return value


def _content(path: Path) -> bytes:
    """All of a file, whose size is looked at first: one of two gigabytes of nothing takes a few blocks of a disk."""
    try:
        check_regular(path)  # opening a pipe would wait for its writer
        if (size := path.stat().st_size) > LARGEST:
            raise _refused(path, f"it has {size:,} bytes, more than the {LARGEST:,} that are read")
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise unreadable(path, error) from None


def _of_python_2(content: bytes) -> bool:
    """Whether the fast reader can do nothing with a pickle that it should not."""
    if _PYTHON_2.fullmatch(content) is None:
        return False
    return all(len(place) < 20 and int(place) <= len(content) for place in _PLACES.findall(content))


def _foreign(value: Any) -> type | None:
    """The type of something that is not a plain container in ``value``, or None; shared parts are visited once."""
    stack, seen = [value], set()
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind in PLAIN:
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
