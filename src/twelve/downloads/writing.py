"""Writing large files: room on the disk is checked before, and a full disk is told from a lost connection."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from twelve.errors import TwelveError

_SPARE = 64 << 20
"""Bytes that are left free."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def free_bytes(path: Path) -> int:
    """Free space on the disk that ``path`` is on, or would be on."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def check_room(path: Path, count: int) -> None:
    """Raise TwelveError if ``count`` bytes do not fit beside ``path``."""
    if count > 0 and count + _SPARE > (free := free_bytes(path)):
        problem = f"the disk is too small: expected {decimal(count + _SPARE)} free, found {decimal(free)}"
        raise TwelveError(problem, file=path.parent, remedy="free some space, and run the command again: it goes on")


def make_folder(path: Path) -> None:
    """Make a folder with those above it; raises as :func:`write`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise full(error, path) from None


def begin(path: Path, start: int) -> Any:
    """Open a file to write from byte ``start`` on, unbuffered; raises as :func:`write`."""
    try:
        stream = open(path, "r+b" if start else "wb", buffering=0)  # noqa: SIM115 - end() closes it
        stream.truncate(start)
        stream.seek(start)
    except OSError as error:
        raise full(error, path) from None
    return stream


def end(stream: Any, *, durable: bool = True) -> None:
    """Make what was written durable (else :func:`settle_on_disk` must), and close; raises as :func:`write`."""
    try:
        if durable:
            os.fsync(stream.fileno())
        stream.close()
    except OSError as error:
        raise full(error, Path(stream.name)) from None


def write(stream: Any, piece: bytes) -> None:
    """Write all of ``piece`` to an unbuffered file.

    Raises:
        TwelveError: the disk is full, or cannot be written.
    """
    view = memoryview(piece)
    try:
        while view:
            view = view[stream.write(view) :]
    except OSError as error:
        raise full(error, Path(stream.name)) from None


def full(error: OSError, path: Path) -> TwelveError:
    """The error for a file that cannot be written."""
    remedy = "choose a root on a disk that can be written (--root)"
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        remedy = "move away what is there, and run the command again"
    if error.errno in _FULL:
        remedy = "free some space, and run the command again: it goes on where it stopped"
    return TwelveError(f"cannot be written: {error.strerror or error}", file=path, remedy=remedy)


def settle_on_disk(paths: list[Path]) -> None:
    """Make new files durable before they take their names; many at once, where the system can."""
    if hasattr(os, "sync") and len(paths) > 100:
        os.sync()
        return
    for path in paths:
        with open(path, "r+b") as stream:
            os.fsync(stream.fileno())
