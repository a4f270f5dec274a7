"""How long the waiting requests will take, from the time that the last ones took: the value of ``Retry-After``."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST = 60
"""Seconds that are told at most."""
_REPLY, _LARGE = 0.05, 0.5
"""Seconds from one reply to the next, and for a large image, before the first was measured."""
_REPLIES = 64
"""Number of the last replies whose pace is that of the next ones: more than a batch, whose replies come at once, and so
many that a short pause of the machine does not cause a long Retry-After."""
_SUPPOSED = 8
"""How many replies the pace that is supposed before the first one weighs as much as."""
_SMOOTHING = 0.8


class Queue:
    """The images that a thread is to decode, and extract the regions of.

    Attributes:
        images: how many there are.
        seconds: how long one takes.
    """

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self.images, self.seconds, self._now = 0, seconds, now

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Count an image while the block runs."""
        self.images += 1
        try:
            yield
        finally:
            self.images -= 1

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Learn from the block how long an image takes."""
        start = self._now()
        yield
        self.seconds += (1 - _SMOOTHING) * (self._now() - start - self.seconds)


class ReplyPace:
    """The pace of the replies.

    Args:
        now: a clock, in seconds.

    Attributes:
        waiting: number of accepted requests without an answer.
        small, large: the images that wait, by their size.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.waiting, self._now = 0, now
        self._took = deque[float](maxlen=_REPLIES)
        self.suppose(_REPLY)
        self.small, self.large = Queue(_REPLY, now), Queue(_LARGE, now)
        self._moved = now()

    def suppose(self, seconds: float) -> None:
        """Forget all replies, and suppose a time from one to the next."""
        self._took.clear()
        self._took.extend([seconds] * _SUPPOSED)

    @property
    def seconds(self) -> float:
        """Mean time from one reply to the next, while others wait."""
        return sum(self._took) / len(self._took)

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """Count a request as waiting while the block runs, and learn from its end."""
        if not self.waiting:
            self._moved = self._now()
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
            now = self._now()
            self._took.append(now - self._moved)
            self._moved = now

    def left(self) -> int:
        """Whole seconds after which the waiting requests should be done: at least as many as have passed since the last
        reply, so that clients wait ever longer while nothing moves."""
        queues = [queue.images * queue.seconds for queue in (self.small, self.large)]
        still = self._now() - self._moved if self.waiting else 0.0
        return min(MOST, max(1, math.ceil(max(self.waiting * self.seconds, still, *queues))))
