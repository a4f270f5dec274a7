"""A thread with a queue of work. Long work runs in steps, and other work has its turn between two steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pending(Future[T], Generic[T]):
    """The future result of some work.

    Attributes:
        begun: whether the work has started.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = False


class Work:
    """Work that runs step by step, until it is done or its future is cancelled.

    Args:
        steps: a generator; each ``next`` is one step, its return value is the result. Yielded values are ignored.
    """

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps, self.future = steps, Pending[Any]()

    def step(self) -> bool:
        """Run one step; return whether there are more."""
        if self.future.cancelled():
            self._steps.close()
            return False
        self.future.begun = True
        try:
            next(self._steps)
        except StopIteration as end:
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(end.value)
        except Exception as error:  # the request gets the error, and the thread goes on
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)
        else:
            return True
        return False


class Line:
    """A thread that runs work in the order of its arrival, until :meth:`stop`.

    Args:
        alternating: whether other work has its turn between two steps; else it waits until all steps are done.
    """

    def __init__(self, name: str, *, alternating: bool = True) -> None:
        self.name, self._alternating = name, alternating
        self._works: deque[Work] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._since: float | None = None  # when the present work last moved
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> Pending[T]:
        """Queue a function; the future has its return value."""
        return self.run(_at_once(work))

    def run(self, steps: Generator[Any, None, T]) -> Pending[T]:
        """Queue a generator; the future has its return value. Whenever it yields, other work can have its turn."""
        work = Work(steps)
        self._put(self._works, work)
        return work.future

    @property
    def ended(self) -> bool:
        """Whether the thread has ended without being stopped. Work does not end it: errors go to the futures."""
        return not self._stopping and not self._thread.is_alive()

    @property
    def still(self) -> float:
        """Seconds for which the thread has worked on the same step; 0 while it waits for work."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    def stop(self, within: float | None = None) -> None:
        """Finish the queued work and end the thread; wait at most ``within`` seconds for that."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(within)

    def _put(self, queue: deque[T], item: T) -> None:
        with self._changed:
            if self._stopping or self.ended:
                raise RuntimeError(f"the thread for {self.name} was stopped or has ended")
            queue.append(item)
            self._changed.notify()

    def _loop(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Wait for work and run it; return False once the thread may end. It is a separate method, so that no local
        variable keeps the finished work in memory during the next wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting() or self._stopping)
            todo = self._next() if self._waiting() else None
        if todo is not None:
            self._since = monotonic()
            todo()
            self._since = None
        return todo is not None

    def _waiting(self) -> bool:
        return bool(self._works)

    def _next(self) -> Callable[[], None]:
        """Remove the next work from the queue; the caller holds the lock."""
        work = self._works.popleft()
        return lambda: self._step(work)

    def _step(self, work: Work) -> None:
        if work.step():
            with self._changed:
                (self._works.append if self._alternating else self._works.appendleft)(work)


def _at_once(work: Callable[[], T]) -> Generator[None, None, T]:
    yield from ()
    return work()
