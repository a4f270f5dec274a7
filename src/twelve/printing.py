"""Standard output and error of a command whose reader may go away, as in ``twelve train ... 2>&1 | head``."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lasting(io.FileIO):
    """A file descriptor that leads to nowhere once nobody reads its pipe any more; later writers use it too."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            discard(self.fileno())
            return super().write(data)


def lasting(stream: TextIO) -> TextIO:
    """A stream that writes where another one does, and discards what it writes once the reader has gone."""
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    through = isinstance(getattr(stream, "buffer", None), io.RawIOBase)  # PYTHONUNBUFFERED
    return io.TextIOWrapper(
        raw if through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


@contextmanager
def outlasting(*, output: bool) -> Iterator[None]:
    """Within the block, the program goes on if nobody reads its standard error any more.

    Args:
        output: likewise for standard output; else a write to it raises BrokenPipeError.
    """
    before = sys.stdout, sys.stderr
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:  # not those of a test
        sys.stderr = lasting(sys.stderr)
    if output and sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = lasting(sys.stdout)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream not in before and stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def discard(number: int) -> None:
    """Let a file descriptor lead to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
