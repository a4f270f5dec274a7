"""Many objects in two arrays, for processes that only read them.

A process that is forked shares its parent's memory until somebody writes to it. Python writes whenever it looks at an
object: it counts references in the object itself. So a worker that reads a list of hundreds of thousands of examples
ends up with a copy of them. Bytes in an array are not counted ("Demystify RAM Usage in Multi-Process Data Loaders",
Wu 2022).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, overload

import numpy as np

Value = TypeVar("Value")


class Packed(Sequence[Value], Generic[Value]):
    """A sequence that holds its values pickled, one behind the other, and builds one when it is asked for.

    The pickles never leave memory: nothing from outside is read.
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
            raise IndexError(f"value {row} of {len(self)}")
        start, end = self._ends[row % len(self) :][:2].tolist()
        value: Value = pickle.loads(self._bytes[start:end].data)
        return value
