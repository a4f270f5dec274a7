"""A thread that does one thing after another; what takes long is done in steps, between which others have a turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pending(Future[T], Generic[T]):
    """What will come of something.

    Attributes:
        begun: whether anything was done of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = False


class Work:
    """Something to do, step by step. Once nobody waits for it any more (its future is cancelled), no step is done.

    Args:
        steps: the generator; what it yields is nobody's concern, what it returns is the result.
    """

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps, self.future = steps, Pending[Any]()

    def step(self) -> bool:
        """Do a step; says whether there are more."""
        if self.future.cancelled():
            self._steps.close()
            return False
        self.future.begun = True
        try:
            next(self._steps)
        except StopIteration as end:
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(end.value)
        except Exception as error:  # the thread outlives every mistake; the request that made it hears of it
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)
        else:
            return True
        return False


class Line:
    """Runs until :meth:`stop`."""

    def __init__(self, name: str) -> None:
        self._works: deque[Work] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> Pending[T]:
        """What ``work`` returns, once the thread has run it."""
        return self.run(_at_once(work))

    def run(self, steps: Generator[Any, None, T]) -> Pending[T]:
        """What a generator returns, once the thread has run it; where it yields, others have their turn."""
        work = Work(steps)
        self._put(self._works, work)
        return work.future

    def stop(self) -> None:
        """Finish what waits, then end; returns when that is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _put(self, queue: deque[T], item: T) -> None:
        with self._changed:
            if self._stopping:
                raise RuntimeError("the thread was stopped")
            queue.append(item)
            self._changed.notify()

    def _loop(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Wait for something to do and do it; False when all is done. A function of its own, so that nothing of it is
        kept in memory while the next is waited for."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting() or self._stopping)
            todo = self._next() if self._waiting() else None
        if todo is not None:
            todo()
        return todo is not None

    def _waiting(self) -> bool:
        return bool(self._works)

    def _next(self) -> Callable[[], None]:
        """What to do next, taken from what waits; called with the lock held."""
        work = self._works.popleft()
        return lambda: self._step(work)

    def _step(self, work: Work) -> None:
        if work.step():
            with self._changed:
                self._works.append(work)


def _at_once(work: Callable[[], T]) -> Generator[None, None, T]:
    yield from ()
    return work()
