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
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from typing import TypeVar, cast

from twelve import progress
from twelve.errors import TwelveError

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
    context, found = multiprocessing.get_context("fork"), dict[str, T]()
    tokens, give = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(give, bytes(range(len(names))))
    with ExitStack() as ends:
        ends.callback(os.close, tokens)
        ends.callback(os.close, give)
        ends.enter_context(_one_thread())
        gc.freeze()  # else a collection, here or in a fork, would write to all that they share, and so copy it
        ends.callback(gc.unfreeze)
        working = list[Connection]()
        for _ in range(count):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_help, args=(work, names, tokens, there), daemon=True)
            process.start()
            ends.callback(process.join)
            ends.callback(process.kill)
            there.close()  # so that this end notices when the process ends
            working.append(here)
            ends.callback(here.close)
        with progress.Track(label, len(names), shown=bool(label)) as track:
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


def end_with_parent() -> None:
    """Let this process, which another one has started to help it, end with that one, and leave interruptions to it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=wait, daemon=True).start()


def _help(work: Callable[[str], T], names: Sequence[str], tokens: int, connection: Connection) -> None:
    """What a forked process does."""
    end_with_parent()
    # Another thread of the parent, which draws its bar, may have held the locks of these when it was forked.
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    progress.console.cache_clear()
    with progress.silent():
        while (name := _taken(names, tokens)) is not None:
            try:
                connection.send((name, work(name)))
            except Exception as error:
                connection.send((name, error))
        signal.pause()  # until the parent, which reads what was sent, ends this process


def _taken(names: Sequence[str], tokens: int) -> str | None:
    """The next name that no process has taken, or None if there is none."""
    try:
        return names[os.read(tokens, 1)[0]]
    except BlockingIOError:
        return None
