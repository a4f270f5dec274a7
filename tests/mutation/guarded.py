"""Reading hostile files in a process of its own, which may crash, hang, or take all memory, and is watched all the
while for what it opens, imports and asks the network."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from twelve.errors import TwelveError

SECONDS = 20
MEMORY = 2 << 30
"""Bytes beyond what the process has."""


def outcome(read: Callable[[], Any], folder: Path) -> tuple[str, Any]:
    """What a reader does: ("read", what it returned, as JSON), ("refused", [its line, its file, its remedy]), or what
    it must not do: ("crashed", why), ("hung", None), ("strayed", what it opened, imported or asked), ("raised", what).
    """
    (found,) = outcomes([read], folder)
    return found


def outcomes(reads: Sequence[Callable[[], Any]], folder: Path) -> Iterator[tuple[str, Any]]:
    """The same of several, one after the other in one process, and in a new one after each that ended it."""
    done = 0
    while done < len(reads):
        receive, send = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads: none is used
            child = os.fork()
        if not child:
            _in_child(reads[done:], folder, send)
        os.close(send)
        with open(receive, encoding="utf-8") as stream:
            for line in stream:
                done += 1
                kind, what = json.loads(line)
                yield kind, what
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            done += 1
            number = os.WTERMSIG(status)
            yield ("hung", None) if number == signal.SIGALRM else ("crashed", signal.Signals(number).name)


def _in_child(reads: Sequence[Callable[[], Any]], folder: Path, send: int) -> None:
    """Never returns."""
    strays: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith((os.path.realpath(folder), sys.prefix, sys.base_prefix, "/proc/")):
                strays.append(f"opened {path}")
        elif event == "import" and arguments[0].partition(".")[0] not in sys.modules:
            strays.append(f"imported {arguments[0]}")
        elif event.startswith(("socket.", "subprocess.", "os.system", "os.exec")):
            strays.append(event)

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 1 << 40
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.addaudithook(note)
        for read in reads:
            strays.clear()
            signal.alarm(SECONDS)
            try:
                said: tuple[str, Any] = ("read", read())
            except TwelveError as error:
                said = ("refused", [str(error), str(error.file), error.remedy])
            except BaseException as error:
                said = ("raised", f"{type(error).__name__}: {str(error)[:300]}")
            if strays:
                said = ("strayed", strays)
            os.write(send, json.dumps(said).encode() + b"\n")
    finally:
        os._exit(0)
