"""Many objects in two arrays, for worker processes that only read them.

A forked process shares its parent's memory until one of them writes to it. Reading a Python object writes to it, since
its reference count is stored in the object: a worker that reads a list of hundreds of thousands of examples ends up
with a copy of them. Bytes in an array have no reference counts ("Demystify RAM Usage in Multi-Process Data Loaders",
Wu 2022).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, overload

import numpy as np

Value = TypeVar("Value")


class Packed(Sequence[Value], Generic[Value]):
    """A sequence that stores its values pickled in one buffer and unpickles each on access.

    The pickles never leave memory, so no foreign pickle is ever loaded.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        buffer, ends = bytearray(), [0]
        for value in values:
            buffer += pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            ends.append(len(buffer))
        self._bytes, self._ends = np.frombuffer(buffer, np.uint8), np.array(ends, np.int64)

    @property
    def nbytes(self) -> int:
        return self._bytes.nbytes + self._ends.nbytes

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> list[Value]: ...
    def __getitem__(self, index: int | slice) -> Value | list[Value]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = int(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"index {row} is out of range for {len(self)} values")
        start, end = self._ends[row % len(self) :][:2].tolist()
        value: Value = pickle.loads(self._bytes[start:end].data)
        return value
