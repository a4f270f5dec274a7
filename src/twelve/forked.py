"""Work on several tasks at the same time, each on a core of its own, in processes that are forked from this one.

They have its model and data without copying them. What they find comes back; what they change does not.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TypeVar, cast

from twelve import progress
from twelve.errors import TwelveError, places
from twelve.printing import lasting

T = TypeVar("T")


class HelperLost(TwelveError):
    """A process that works for this one has ended. Exit code 1: it is no mistake of the user."""

    exit_code = 1


def each(work: Callable[[str], T], names: Sequence[str], count: int, lost: HelperLost, label: str = "") -> dict[str, T]:
    """The result of ``work`` on each name, in the order of the names.

    Args:
        count: number of processes, each of which computes with one thread; up to 1: this process does all work.
        lost: what to raise if a process ends early.
        label: what the progress is of; empty: none is shown.

    Raises:
        HelperLost: see ``lost``.
        Exception: what ``work`` raised.
    """
    if count <= 1:
        return {name: work(name) for name in names}
    found = dict[str, T]()
    with ExitStack() as ends:
        turns = ends.enter_context(closing(Turns()))
        turns.offer(len(names))  # before there are processes: one that finds nothing to do works no more
        working = ends.enter_context(helping(partial(_work, work, names, turns), count))
        track = ends.enter_context(progress.Track(label, len(names), shown=bool(label)))
        while len(found) < len(names):
            for connection in cast(list[Connection], wait(working)):
                try:
                    name, result = connection.recv()
                except (EOFError, ConnectionError) as error:
                    raise lost from error
                if isinstance(result, BaseException):
                    raise result
                found[name] = result
                track.advance()
    return {name: found[name] for name in names}


def _work(work: Callable[[str], T], names: Sequence[str], turns: Turns, connection: Connection) -> None:
    """What a process of :func:`each` does."""
    with progress.silent():
        for place in turns:
            try:
                connection.send((names[place], work(names[place])))
            except Exception as error:
                error.places = places(error)  # type: ignore[attr-defined]
                connection.send((names[place], error))
    while True:
        signal.pause()  # until the parent, which reads what was sent, ends this process


class Turns:
    """Hands out numbers to processes that are forked after this was made: each number to the first that asks."""

    def __init__(self) -> None:
        self._numbers, self._give = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def offer(self, count: int) -> None:
        """Hand out the numbers below ``count`` (at most 256); all of the last time must have been taken."""
        os.write(self._give, bytes(range(count)))

    def __iter__(self) -> Iterator[int]:
        """The numbers that this process gets; ends when none is left."""
        while (number := self._take()) is not None:
            yield number

    def _take(self) -> int | None:
        try:
            return os.read(self._numbers, 1)[0]
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close it in this process."""
        os.close(self._numbers)
        os.close(self._give)


@contextmanager
def helping(work: Callable[[Connection], None], count: int) -> Iterator[list[Connection]]:
    """Connections to ``count`` forked processes, each of which runs ``work`` with its end and is killed at the end of
    the block. Meanwhile, torch has one thread here, as it has there."""
    context = multiprocessing.get_context("fork")
    with ExitStack() as ends:
        ends.enter_context(_one_thread())
        gc.freeze()  # else a collection, here or in a fork, would write to all that they share, and so copy it
        ends.callback(gc.unfreeze)
        connections = list[Connection]()
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_help, args=(work, there), daemon=True)
            process.start()
            ends.callback(process.join)
            ends.callback(process.kill)
            there.close()  # so that this end notices when the process ends
            connections.append(here)
            ends.callback(here.close)
        yield connections


def _help(work: Callable[[Connection], None], connection: Connection) -> None:
    end_with_parent()
    # Another thread of the parent, which draws its bar, may have held the locks of these when it was forked.
    sys.stdout, sys.stderr = (lasting(open(number, "w", closefd=False)) for number in (1, 2))  # noqa: SIM115
    progress.console.cache_clear()
    work(connection)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Where torch is loaded, let it use one thread: a fork has no other, and an operator would wait for it forever."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def sigterm_later() -> Iterator[None]:
    """Hold SIGTERM back: this process gets it afterwards, processes that are forked meanwhile once they call
    :func:`end_with_parent`. Else it could end them before."""
    if not hasattr(signal, "sigwaitinfo"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let this process, which helps its parent, end with it, and leave interruptions to it. A SIGTERM that others send
    to both leaves this process to help until the parent ends; one of the parent ends it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    def obey() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
            pass
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none: there, SIGTERM ends this process
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the threads that follow, too
        threading.Thread(target=obey, daemon=True).start()
    threading.Thread(target=wait, daemon=True).start()
