"""Returning freed memory to the operating system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable


def _trimmer() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # a C library other than glibc, which keeps less
        return None
    return trim


_trim = _trimmer()


def give_back() -> None:
    """Return freed memory to the operating system. For each thread, glibc keeps the blocks into which a large image was
    decoded, for reuse."""
    if _trim is not None:
        _trim(0)
