"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable


def _trimmer() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # a C library other than GNU's, which keeps less
        return None
    return trim


_trim = _trimmer()


def give_back() -> None:
    """Give back what was freed. GNU's C library keeps the blocks that a large image was decoded into, for every thread
    that ever decoded one, in the hope of another."""
    if _trim is not None:
        _trim(0)
