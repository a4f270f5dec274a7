"""Memory for batches. That of large ones is reused when their tensors are gone.

The system gives out large blocks of memory page by page and clears each page, so that a batch of a hundred megabytes
costs three times the copy itself. The blocks of the last batches are therefore kept and reused.

A process that builds batches for another one gets memory that both can map, so that nothing is copied in between.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

_LARGE = 2**25
"""Smallest block that is kept, in bytes; the C library itself keeps smaller ones."""
_LARGEST = 2**28
"""Largest block that is kept, in bytes."""
_KEPT = 2
"""Number of blocks kept: for the batch in use, and the next."""


class Memory:
    """Allocates bytes and reuses the last large blocks.

    Attributes:
        shared: whether this process makes batches for another one.
    """

    shared: ClassVar[bool] = False

    def __init__(self) -> None:
        self._kept: deque[tuple[NDArray[np.uint8], weakref.ref[NDArray[np.uint8]]]] = deque()

    def take(self, size: int) -> torch.Tensor:
        """(size,) uninitialised bytes that nothing else refers to."""
        if self.shared:
            storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
            return torch.empty(0, dtype=torch.uint8).set_(storage)
        return torch.from_numpy(self._own(size))

    def _own(self, size: int) -> NDArray[np.uint8]:
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
