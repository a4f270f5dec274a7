"""Pickles from outside, read without trusting them.

A pickle is a program. This reader runs only the steps that build lists, dicts, tuples, strings, numbers and None and,
where asked for, arrays of numbers as numpy writes them in Python 2 and 3. No function that a pickle names is called:
functions of this file stand in for the few names in arrays, and every other name is refused.

Harmless steps can be abused as well: a pickle can number a place in the reader's memory in the billions, or hash a
tuple that holds itself twice, sixty times over. So the memory is a dict, keys are plain, and the size is bounded. The
fast reader of Python gets only what Python 2 wrote, where it can do no harm.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from twelve.errors import DataError
from twelve.formats.records import check_regular, unreadable

LARGEST = 1 << 26
"""Bytes of a pickle: ten times those of any annotations or features that come as one."""
DEEPEST = 8
"""Levels of containers around arrays."""

_KEYS = (str, bytes, int, float, bool, type(None))
_PLAIN = (str, int, float, bool, type(None))
_NUMBERS = re.compile(r"[fiu](?:1|2|4|8)|b1")
_PYTHON_2 = re.compile(rb"(?:[(dlaNs]|[SVIFLpg][^\n]*+\n)*+\.")
"""A pickle of protocol 0 without tuples, copies or calls."""
_PLACES = re.compile(rb"p(\d+)\n")
_STEPS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "FLOAT", "BINFLOAT"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("LIST", "EMPTY_LIST", "APPEND", "APPENDS", "DICT", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
)


class UnsafePickle(ValueError):
    """A pickle that is damaged, or holds anything but plain values; says which."""


def read_pickle(path: Path, *, arrays: bool = False) -> Any:
    """The value in a pickle file; Python 2 byte strings are read as latin-1.

    Args:
        arrays: allow bytes and arrays of numbers, beside lists, dicts, tuples, strings, numbers and None.

    Raises:
        DataError: the file is unreadable, damaged, too large, or holds anything else.
    """
    try:
        check_regular(path)  # opening a pipe would wait for its writer
        if (size := path.stat().st_size) > LARGEST:  # before reading: a file of holes takes no place on a disk
            raise UnsafePickle(f"it has {size:,} bytes, more than the {LARGEST:,} that are read")
        return load_pickle(path.read_bytes(), arrays=arrays)
    except OSError as error:
        raise unreadable(path, error) from None
    except UnsafePickle as error:
        raise DataError(
            f"not a pickle of plain lists, dicts, strings and numbers: {error}",
            file=path,
            remedy="use the official release's file; a pickle from elsewhere may contain a program",
        ) from None


def load_pickle(content: bytes, *, arrays: bool = False) -> Any:
    """The value in the bytes of a pickle, as :func:`read_pickle`.

    Raises:
        UnsafePickle: it is damaged, too large, or holds anything else.
    """
    if len(content) > LARGEST:
        raise UnsafePickle(f"it has {len(content):,} bytes, more than the {LARGEST:,} that are read")
    stream = io.BytesIO(content)
    reader = _FastUnpickler(stream, encoding="latin1") if _of_python_2(content) else _Unpickler(stream, arrays)
    try:
        value = reader.load()
        _check(value, (*_KEYS, np.ndarray) if arrays else _PLAIN, level=int(arrays))
    except KeyError as error:
        raise UnsafePickle(f"it asks for step or place {error}") from None
    except Exception as error:  # a damaged or hostile pickle can raise anything at all
        raise UnsafePickle(str(error) or type(error).__name__) from None
    if stream.read(1):
        raise UnsafePickle("there is more data after its end")
    return value


def _of_python_2(content: bytes) -> bool:
    """Whether the fast reader can do nothing with a pickle that it should not."""
    if _PYTHON_2.fullmatch(content) is None:
        return False
    return all(len(place) < 20 and int(place) <= len(content) for place in _PLACES.findall(content))


def _check(value: Any, allowed: tuple[type, ...], level: int) -> None:
    """Refuse whatever is no container and not of an allowed type; shared and circular parts are visited once.

    Args:
        level: 1 also refuses what is nested deeper than :data:`DEEPEST`, and visits shared parts once a level.
    """
    waiting, seen = [(value, 0)], dict[int, int]()
    while waiting:
        item, depth = waiting.pop()
        kind = type(item)
        if kind in allowed or seen.get(id(item), -1) >= depth:
            continue
        if kind not in (list, tuple, dict):
            raise UnsafePickle(f"it contains a {kind.__name__}")
        if depth > DEEPEST:
            raise UnsafePickle("it is nested too deeply")
        seen[id(item)] = depth
        parts = (*item.keys(), *item.values()) if kind is dict else item
        waiting.extend((part, depth + level) for part in parts)


class _FastUnpickler(pickle.Unpickler):
    """Names nothing: without a name, a pickle can call nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise UnsafePickle(f"it asks for {module}.{name}")


class _Unpickler(pickle._Unpickler):
    """Runs the steps of :data:`_STEPS` and no other."""

    stack: list[Any]

    def __init__(self, stream: io.BytesIO, arrays: bool) -> None:
        super().__init__(stream, encoding="latin1")
        self.names = _NAMES if arrays else {}

    def find_class(self, module: str, name: str) -> Any:
        found = self.names.get(f"{module}.{name}")
        if found is None:
            raise UnsafePickle(f"it asks for {module}.{name}")
        return found

    def reduce(self) -> None:
        """Call one of the functions below, and nothing else."""
        arguments, function = self.stack.pop(), self.stack[-1]
        if not any(function is each for each in _CALLED) or not isinstance(arguments, tuple):
            raise UnsafePickle("it calls something")
        self.stack[-1] = function(*arguments)

    def build(self) -> None:
        """Give a new array or a type its state; nothing else has one."""
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is _Dtype:
            value.build(state)
        elif type(value) is np.ndarray and value.flags.owndata and not value.size:
            self.stack[-1] = _filled(value, state)
        else:
            raise UnsafePickle(f"it changes a {type(value).__name__}")

    def plain_keys(self, step: Callable[[Any], None], keys: list[Any]) -> None:
        """Run a step that puts these keys into a dict."""
        for key in keys:
            if type(key) not in _KEYS:
                raise UnsafePickle(f"it has a {type(key).__name__} as a key")
        step(self)


def _dispatch() -> dict[int, Callable[[Any], None]]:
    known: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch
    code = {name: getattr(pickle, name)[0] for name in _STEPS}
    steps = {code[name]: known[code[name]] for name in _STEPS}
    one, many, whole = (known[code[name]] for name in ("SETITEM", "SETITEMS", "DICT"))
    steps[code["SETITEM"]] = lambda self: self.plain_keys(one, self.stack[-2:-1])
    steps[code["SETITEMS"]] = lambda self: self.plain_keys(many, self.stack[::2])
    steps[code["DICT"]] = lambda self: self.plain_keys(whole, self.stack[::2])
    steps[code["REDUCE"]], steps[code["BUILD"]] = _Unpickler.reduce, _Unpickler.build
    return steps


_Unpickler.dispatch = _dispatch()


# --- what stands in for the names in arrays ----------------------------------------------------------------------


class _Dtype:
    """For ``numpy.dtype``: a type of numbers, or of Python objects (None)."""

    def __init__(self, name: Any, *flags: Any) -> None:
        self.numbers: np.dtype[Any] | None = None
        if isinstance(name, str) and _NUMBERS.fullmatch(name):
            self.numbers = np.dtype(name)
        elif name not in ("O", "O8", "O4"):
            raise UnsafePickle(f"arrays of type {str(name)[:20]!r}")

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise UnsafePickle("arrays of a compound type")
        if self.numbers is not None:
            if state[1] not in ("<", ">", "|", "="):
                raise UnsafePickle("an unknown byte order")
            self.numbers = self.numbers.newbyteorder(state[1])


def _filled(array: NDArray[Any], state: Any) -> Any:
    """An array with its state; of an array of one Python object, as numpy saves a dict, that object."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise UnsafePickle("an array without its state")
    _, shape, dtype, fortran, raw = state
    if isinstance(dtype, _Dtype) and dtype.numbers is None:
        if shape != () or not isinstance(raw, list) or len(raw) != 1:
            raise UnsafePickle("an array of Python objects")
        return raw[0]
    numbers, raw = _checked(raw, dtype, shape)
    cast(Any, array).__setstate__((1, shape, numbers, bool(fortran), raw))  # numpy's annotations differ
    return array


def _checked(raw: Any, dtype: Any, shape: Any) -> tuple[np.dtype[Any], bytes]:
    """Type and bytes (Python 2 wrote them as a string) of an array, which fill its shape."""
    if not isinstance(dtype, _Dtype) or dtype.numbers is None:
        raise UnsafePickle("an array without a type")
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes | bytearray):
        raise UnsafePickle("an array without its bytes")
    whole = isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)
    if not whole or math.prod(shape) * dtype.numbers.itemsize != len(raw):
        raise UnsafePickle(f"an array of shape {str(shape)[:60]} in {len(raw)} bytes")
    return dtype.numbers, bytes(raw)


def _reconstruct(kind: Any, shape: Any, letter: Any) -> NDArray[Any]:
    if kind is not np.ndarray:
        raise UnsafePickle("an array of another kind")
    return np.zeros(0, np.uint8)


def _scalar(dtype: Any, raw: Any = None) -> int | float | bool:
    numbers, raw = _checked(raw, dtype, ())
    value: int | float | bool = np.frombuffer(raw, numbers).item()
    return value


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    numbers, raw = _checked(raw, dtype, shape)
    if order not in ("C", "F") or axes is not None:
        raise UnsafePickle("an array in an unknown order")
    return np.frombuffer(raw, numbers).reshape(shape, order=order)


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickle("bytes in another encoding")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_CALLED = (_Dtype, _reconstruct, _scalar, _from_buffer, _encode, _no_bytes)
_NAMES: Mapping[str, Any] = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
