"""Pickled records with numpy arrays, read without trusting them.

A pickle is a program. Only those of its steps run that build plain values. Of the names that it may ask for, only those
exist that numpy (of Python 2 and 3) writes for arrays of numbers, and small classes in this module stand for them: no
function that a pickle names is ever called. See :mod:`twelve.formats.pickles` for memory and keys.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.formats.pickles import PLAIN, PLAIN_STEPS, PlainUnpickler, steps_of
from twelve.regions.importers.base import BadRecord

_PLAIN = (*PLAIN, bytes)
_NUMBERS = re.compile(r"[fiu](?:1|2|4|8)|b1")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_CALLS = ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD")


class _Dtype:
    """Stands for ``numpy.dtype``: the type of numbers, or of Python objects."""

    def __init__(self, name: Any, *flags: Any) -> None:
        if name in ("O", "O8", "O4"):
            self.numbers: np.dtype[Any] | None = None
        elif isinstance(name, str) and _NUMBERS.fullmatch(name):
            self.numbers = np.dtype(name)
        else:
            raise pickle.UnpicklingError(f"arrays of type {str(name)[:20]!r}")

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("arrays of a compound type")
        if self.numbers is not None:
            if state[1] not in ("<", ">", "|", "="):
                raise pickle.UnpicklingError("an unknown byte order")
            self.numbers = self.numbers.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray`` until its state is set."""

    def __init__(self) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array without its state")
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a type")
        if dtype.numbers is None:  # numpy saves a dict as an array of one Python object
            if shape != () or not isinstance(raw, list) or len(raw) != 1:
                raise pickle.UnpicklingError("an array of Python objects")
            self.value = raw[0]
            return
        self.value = _numbers(raw, dtype.numbers, shape, "F" if fortran else "C")


def _numbers(raw: Any, dtype: np.dtype[Any], shape: Any, order: Any) -> NDArray[Any]:
    """The array in some bytes, which Python 2 writes as a string."""
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(raw, (bytes, bytearray)) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array without its bytes")
    whole = isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)
    if not whole or math.prod(shape) * dtype.itemsize != len(raw):
        raise pickle.UnpicklingError(f"an array of shape {str(shape)[:60]} in {len(raw)} bytes")
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, letter: Any) -> _Array:
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of another kind")
    return _Array()


def _scalar(dtype: Any, raw: Any = None) -> int | float | bool:
    if not isinstance(dtype, _Dtype) or dtype.numbers is None:
        raise pickle.UnpicklingError("a number without a type")
    value: int | float | bool = _numbers(raw, dtype.numbers, (), "C").item()
    return value


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype) or dtype.numbers is None or axes is not None:
        raise pickle.UnpicklingError("an array without a type")
    return _numbers(raw, dtype.numbers, shape, order)


def _encode(text: Any, encoding: Any) -> bytes:
    """Python 3 writes bytes for Python 2 in this way."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in another encoding")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_NAMES: dict[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray._reconstruct"] = _reconstruct
    _NAMES[f"{_core}.multiarray.scalar"] = _scalar
    _NAMES[f"{_core}.numeric._frombuffer"] = _from_buffer
_CALLED = (_Dtype, _reconstruct, _scalar, _from_buffer, _encode, _no_bytes)


class _ArrayUnpickler(PlainUnpickler):
    """Also builds arrays of numbers."""

    keys = _PLAIN
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        found = _NAMES.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return found

    def reduce(self) -> None:
        """Call one of the functions above, and nothing else."""
        arguments, function = self.stack.pop(), self.stack[-1]
        if function not in _CALLED or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls something")
        self.stack[-1] = function(*arguments)

    def build(self) -> None:
        """Set the state of an array or a dtype; nothing else has one."""
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) not in (_Array, _Dtype):
            raise pickle.UnpicklingError(f"it changes a {type(value).__name__}")
        value.__setstate__(state)


_ArrayUnpickler.dispatch = steps_of((*PLAIN_STEPS, *_BYTES, *_CALLS)) | {
    pickle.REDUCE[0]: _ArrayUnpickler.reduce,
    pickle.BUILD[0]: _ArrayUnpickler.build,
}


def load_arrays(content: bytes) -> Any:
    """Read plain containers, numbers, strings and numpy arrays of numbers from a pickle; Python 2 strings are latin-1.

    Raises:
        BadRecord: it contains anything else, or is damaged.
    """
    stream = io.BytesIO(content)
    try:
        value = _ArrayUnpickler(stream, encoding="latin1").load()
        resolved = _resolved(value, {}, 0)
    except KeyError as error:
        raise BadRecord(f"a pickle that is not plain: step or place {error}") from None
    except Exception as error:  # a damaged or hostile pickle raises anything
        raise BadRecord(f"a pickle that is not plain: {error or type(error).__name__}") from None
    if stream.read(1):
        raise BadRecord("a pickle with something behind its end")
    return resolved


def _resolved(value: Any, known: dict[int, Any], depth: int) -> Any:
    """``value`` with arrays in place of their stand-ins. Shared parts are visited once."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, np.ndarray):
        return value
    if id(value) in known:
        return known[id(value)]
    if depth > 8:
        raise pickle.UnpicklingError("it is nested too deeply")
    if kind is _Array:
        result = _resolved(value.value, known, depth + 1)
    elif kind is dict:
        result = {key: _resolved(part, known, depth + 1) for key, part in value.items()}
    elif kind in (list, tuple):
        result = kind(_resolved(part, known, depth + 1) for part in value)
    else:
        raise pickle.UnpicklingError(f"it holds a {kind.__name__}")
    known[id(value)] = result
    return result
