"""Writing files so that nothing good is ever replaced by something half-written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twelve.errors import TwelveError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` (file or folder) that takes its place when the block ends without an error.

    Raises:
        TwelveError: the disk is full or the folder cannot be written; ``path`` is then as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _sync(partial)
        if path.is_dir():
            # A folder cannot be renamed over another: the old one steps aside and goes once the new one stands.
            aside = path.with_name(f".{path.name}.old")
            _remove(aside)
            os.rename(path, aside)
            os.rename(partial, path)
            _remove(aside)
        else:
            os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        _remove(partial)
        raise write_error(error, path) from error
    except BaseException:
        _remove(partial)
        raise


def write_error(error: OSError, path: Path) -> TwelveError:
    """The one line that a person needs when a file cannot be written."""
    remedy = {
        errno.ENOSPC: "free some space and run the same command again: what was complete has been kept",
        errno.EACCES: "choose a folder that you may write to",
        errno.EROFS: "choose a folder on a disk that can be written",
    }.get(error.errno or 0, "see the reason above")
    return TwelveError(f"cannot write: {error.strerror or error}", file=path, remedy=remedy)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Everything under ``path`` reaches the disk."""
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
        else:
            sync_folder(file)
    if path.is_dir():
        sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make a rename in a folder durable, where the system can."""
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
