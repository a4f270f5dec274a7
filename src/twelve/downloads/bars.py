"""Progress of transfers, in megabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twelve.progress import Track

Advance = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all if known)."""


@contextmanager
def bar(label: str, total: int | None, shown: bool) -> Iterator[Advance]:
    """A bar with an estimate of the time left.

    Args:
        total: bytes, if known.
    """
    with Track(label, _mega(total or 0), "MB", shown=shown) as track:

        def advance(done: int, known: int | None) -> None:
            track.total = max(track.total, _mega(known or done))
            if (steps := _mega(done) - track.done) > 0:
                track.advance(steps)

        yield advance


def _mega(count: int) -> int:
    return count // 1_000_000
