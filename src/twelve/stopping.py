"""Ctrl+C (SIGINT) and SIGTERM while the command line trains: the run ends at a checkpoint, so that nothing is lost.

Only the command line wants this (:func:`allowed`): a program that trains keeps its own signal handlers.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NOTICE = "twelve: training will stop at a checkpoint, after this iteration; Ctrl+C stops it at once\n"
_allowed = False


class Stopped(BaseException):
    """A signal has ended training; its state is in a checkpoint. Like KeyboardInterrupt, it is no Exception.

    Args:
        number: the signal.
        iteration, total: iterations that are done, and those of the whole run.
        told: whether this process prints.
    """

    def __init__(self, number: int, iteration: int, total: int, told: bool) -> None:
        super().__init__(number)
        self.number, self.iteration, self.total, self.told = number, iteration, total, told

    @property
    def exit_code(self) -> int:
        """What a shell reports of a program that the signal has ended."""
        return 128 + self.number

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        return f"{name}: stopped after iteration {self.iteration:,} of {self.total:,}, with a checkpoint"


class Stop:
    """Whether training is to end.

    Attributes:
        signal: the first signal that arrived; 0: none.
    """

    def __init__(self, told: bool = False) -> None:
        self.signal, self._told, self._process = 0, told, os.getpid()

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The handler of signals. SIGINT after another signal ends the program at once."""
        if os.getpid() != self._process:  # a fork of this process, which its parent ends
            return
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.signal and self._told:
            with suppress(OSError):  # not sys.stderr: the signal may have interrupted a print to it
                os.write(2, ("\n" * os.isatty(2) + _NOTICE).encode())
        self.signal = self.signal or number


@contextmanager
def allowed() -> Iterator[None]:
    """Within the block, training handles signals."""
    global _allowed
    _allowed = True
    try:
        yield
    finally:
        _allowed = False


@contextmanager
def awaited(told: bool) -> Iterator[Stop]:
    """Handle signals within the block where that is allowed, in the main thread only, and unless the program was
    started with them ignored (nohup). One that was not acted on takes effect after the block, if no exception ends it.

    Args:
        told: whether this process prints.
    """
    stop, main = Stop(told), threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if _allowed and main}
    before = {number: handler for number, handler in found.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, stop.ask)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.signal:
        signal.raise_signal(stop.signal)
