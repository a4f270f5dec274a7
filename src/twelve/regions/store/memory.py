"""Memory for large batches, reused when their tensors are gone.

The system gives out large blocks of memory page by page and clears each page, so that a batch of a hundred megabytes
costs three times the copy itself. The blocks of the last batches are therefore kept and reused.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

_LARGE = 2**25
"""Smallest block that is kept, in bytes; the C library itself keeps smaller ones."""
_LARGEST = 2**28
"""Largest block that is kept, in bytes."""
_KEPT = 2
"""Number of blocks kept: for the batch in use, and the next."""


class Memory:
    """Allocates arrays of bytes and reuses the last large ones."""

    def __init__(self) -> None:
        self._kept: deque[tuple[NDArray[np.uint8], weakref.ref[NDArray[np.uint8]]]] = deque()

    def take(self, size: int) -> NDArray[np.uint8]:
        """(size,) uninitialised bytes that nothing else refers to."""
        if not _LARGE <= size <= _LARGEST:
            return np.empty(size, dtype=np.uint8)
        owner = self._free(size)
        if owner is None:
            # numpy requests huge pages, torch does not.
            owner = np.empty(size, dtype=np.uint8)
        given = owner[:size]
        if len(self._kept) < _KEPT:
            self._kept.append((owner, weakref.ref(given)))
        return given

    def _free(self, size: int) -> NDArray[np.uint8] | None:
        """A free block of at least this size; free blocks that are too small are dropped."""
        for _ in range(len(self._kept)):
            try:
                owner, user = self._kept.popleft()
            except IndexError:  # another thread took it
                return None
            if user() is not None:
                self._kept.append((owner, user))
            elif len(owner) >= size:
                return owner
        return None
