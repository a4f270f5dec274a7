"""Progress with an estimate of the time left: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

from twelve.errors import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_EVERY = 20.0
"""Seconds between lines when the output is not a terminal."""
FIRST_AFTER = 5.0
"""Seconds until the first of them."""
WIDTH = 80
"""Columns to which text for a terminal is wrapped."""


@functools.cache
def console() -> Console:
    """Standard error, where the bar is shown. rich is imported when there is something to show."""
    from rich.console import Console

    return Console(stderr=True)


def tell(text: str, to: Console | None = None) -> None:
    """Print lines with their control characters escaped, above the bar if one is shown.

    Args:
        to: :func:`console` by default.
    """
    (to or console()).print(shown(text), highlight=False, soft_wrap=True, markup=False)


class Track:
    """``with Track("extracting", 100, unit="images") as track: track.advance()``; inside another one: nothing.

    Args:
        done: units that were done before, which say nothing about the time.
    """

    _bars: ClassVar[int] = 0
    """Bars that are shown: a terminal has room for one."""

    def __init__(self, label: str, total: int, unit: str = "", *, done: int = 0, shown: bool = True) -> None:
        self.label, self.total, self.unit, self.shown = label, total, unit, shown
        self.done = self.before = done
        self.start = time.monotonic()
        self.last = self.start + FIRST_AFTER - LINE_EVERY
        self._bar: Progress | None = None

    def __enter__(self) -> Track:
        if self.shown and console().is_terminal and not Track._bars:
            from rich import progress

            Track._bars += 1
            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]} {task.fields[note]}"),
                progress.TimeElapsedColumn(),
                progress.TextColumn("left"),
                progress.TimeRemainingColumn(),
                console=console(),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.done, rate="", note="")
        elif Track._bars:
            self.shown = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            Track._bars -= 1
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Units a second so far."""
        return (self.done - self.before) / max(time.monotonic() - self.start, 1e-9)

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        rate = f"{self.rate:.3g} {self.unit}/s" if self.unit else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rate=rate, note=note)
            return
        now = time.monotonic()
        if self.shown and now - self.last >= LINE_EVERY:
            self.last = now
            parts = [f"{self.label} {self.done}/{self.total}", note]
            if self.done > self.before:  # before the first unit, nothing is known of the time left
                parts[1:1] = [rate, f"{clock((self.total - self.done) / self.rate)} left"]
            print(shown(", ".join(part for part in parts if part)), file=sys.stderr, flush=True)


@contextmanager
def silent() -> Iterator[None]:
    """Show no progress within the block."""
    Track._bars += 1
    try:
        yield
    finally:
        Track._bars -= 1


def counted(count: int, noun: str, verb: str = "") -> str:
    """``3 steps``, ``1 step``; with a verb, ``3 steps are``, ``1 step is``."""
    if count == 1 and verb:
        verb = {"are": "is", "were": "was", "have": "has"}.get(verb, f"{verb}s")
    return f"{count:,} {noun}{'s' * (count != 1)}{' ' * bool(verb)}{verb}"


def times_as_many(times: float) -> str:
    """``as many``, ``twice as many``, ``10 times as many``."""
    return {1.0: "as many", 2.0: "twice as many"}.get(times, f"{times:g} times as many")


def with_sign(value: float, digits: int = 1) -> str:
    """A difference: ``+1.2``, ``-1.2``, or ``0.0`` without a sign if it rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def enumerated(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def clock(seconds: float) -> str:
    """``75 -> '1:15'``."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
