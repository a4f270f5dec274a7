"""How far an extraction is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 15.0


class ImageProgress:
    """Counts images; a context manager. Everything goes to stderr, and nothing with ``shown`` False."""

    def __init__(self, total: int, what: str, *, shown: bool = True) -> None:
        self.total, self.what, self.count = total, what, 0
        self._started = self._said = time.monotonic()
        console = Console(stderr=True)
        self._lines = shown and not console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not shown or self._lines,
        )
        self._task = self._bar.add_task(what, total=total, rate=0.0)

    @property
    def rate(self) -> float:
        """Images a second so far."""
        return self.count / max(time.monotonic() - self._started, 1e-9)

    def advance(self, images: int) -> None:
        """``images`` more are done."""
        self.count += images
        self._bar.update(self._task, advance=images, rate=self.rate)
        now = time.monotonic()
        if self._lines and (now - self._said >= _SECONDS_BETWEEN_LINES or self.count == self.total):
            self._said = now
            left = (self.total - self.count) / max(self.rate, 1e-9)
            print(
                f"{self.what}: {self.count}/{self.total} images, {self.rate:.1f} images/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> ImageProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
