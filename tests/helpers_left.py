"""The processes that a test has left behind."""

from __future__ import annotations

import psutil


def left() -> list[psutil.Process]:
    """Children of this process, but for multiprocessing's own, which an earlier test may have started."""
    return [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())]
