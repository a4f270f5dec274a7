"""Memory for large batches, used again once nobody looks at it any more.

The system hands out large pieces of memory page by page, each cleared first: a batch of a hundred megabytes then costs
three times the copying itself. So the pieces of the last batches are kept, and given out anew when their tensors are
gone.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

_LARGE = 2**25
"""Bytes from which on it pays; smaller pieces the C library keeps by itself."""
_LARGEST = 2**28
"""Bytes beyond which nothing is kept."""
_KEPT = 2
"""A batch in use, and the next."""


class Memory:
    """Arrays of bytes. Of those given out, the last few large ones are remembered."""

    def __init__(self) -> None:
        self._kept: deque[tuple[NDArray[np.uint8], weakref.ref[NDArray[np.uint8]]]] = deque()

    def take(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of any content, not used by anyone: nothing refers to the array that was given out before."""
        if not _LARGE <= size <= _LARGEST:
            return np.empty(size, dtype=np.uint8)
        owner = self._free(size)
        if owner is None:
            # numpy asks the system for huge pages, torch does not.
            owner = np.empty(size, dtype=np.uint8)
        given = owner[:size]
        if len(self._kept) < _KEPT:
            self._kept.append((owner, weakref.ref(given)))
        return given

    def _free(self, size: int) -> NDArray[np.uint8] | None:
        """A kept piece of this size that is free; free ones that are too small go."""
        for _ in range(len(self._kept)):
            try:
                owner, user = self._kept.popleft()
            except IndexError:  # another thread was here
                return None
            if user() is not None:
                self._kept.append((owner, user))
            elif len(owner) >= size:
                return owner
        return None
