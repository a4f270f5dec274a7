"""Writing files so that nothing good is ever replaced by something half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from twelve.errors import ConfigError, TwelveError, quoted


def is_there(path: Path, error: type[TwelveError] = TwelveError) -> bool:
    """Whether there is a file (or a link to one).

    Raises:
        TwelveError: of type ``error``: a folder, a pipe or a device is in its place, which is not the same as nothing;
            or the system refuses to look.
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError as refused:
        remedy = f"allow yourself to read it: chmod u+rX {quoted(path.parent)}"
        raise error(f"cannot be looked at: {refused.strerror}", file=path, remedy=remedy) from None
    except OSError:
        return False
    if stat.S_ISREG(mode):
        return True
    what = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file but a pipe or a device"
    raise error(f"{what}, where a file is expected", file=path, remedy="move it away, and put the file itself here")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` (file or folder) that takes its place when the block ends without an error.

    Where ``path`` is a link, what it leads to is replaced. Of several that write the same, each waits its turn. A file
    takes a file's place, a folder a folder's. Whoever writes a folder where the user said first looks whether there is
    something of the user's: :func:`check_replaceable`.

    Raises:
        ConfigError: ``path`` is a folder and a file was written, or the other way round; nothing is lost.
        TwelveError: the disk is full, the folder cannot be written, or ``path`` is a device or a pipe; it is then as it
            was.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    _check_kind(path)
    with _turn(path):
        yield from _replacing(path)


def _check_kind(path: Path) -> None:
    """Refuse what would be gone for every program once a file stood in its place."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise TwelveError("is a device or a pipe, not a file", file=path, remedy="name a file, in a folder of your own")


def _check_same_kind(new: Path, path: Path) -> None:
    """A file never replaces a folder, which may hold anything, and a folder never a file."""
    if path.exists() and new.exists() and new.is_dir() != path.is_dir():
        raise _not_a_folder(path) if new.is_dir() else _not_a_file(path)


def _not_a_file(path: Path) -> ConfigError:
    return ConfigError("a file is wanted here, this is a folder", file=path, remedy="name a file in it")


def _not_a_folder(path: Path) -> ConfigError:
    remedy = "choose another folder, or move that file away"
    return ConfigError("a folder is wanted here, this is a file", file=path, remedy=remedy)


def _replacing(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.partial")
    try:
        settle(path)
        _remove(partial)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _check_same_kind(partial, path)
        _sync(partial)
        if path.is_dir():
            # A folder cannot be renamed over another: the old one steps aside and goes once the new one stands.
            aside = _aside(path)
            _remove(aside)
            os.rename(path, aside)
            os.rename(partial, path)
            _remove(aside)
        else:
            os.replace(partial, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            settle(path)
            _remove(partial)
        failed = _os_error(error)
        if failed is None:
            raise
        raise write_error(failed, path) from error


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Hold a file beside ``path`` while it is written: one who writes the same waits, in whatever process."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    name = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            lock = open(name, "ab")  # noqa: SIM115 (held until the block ends)
            with contextlib.suppress(OSError):  # a file system without locks: nobody waits there
                fcntl.flock(lock, fcntl.LOCK_EX)
            # The one before removed its lock when it was done: what was waited for may be nobody's any more.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(name)):
                    break
            lock.close()
    except OSError as error:
        raise write_error(error, path) from error
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # one that stays is nobody's, and is in nobody's way
                name.unlink()


def remove(folder: Path) -> None:
    """Remove a folder; interrupted, it leaves nothing under the folder's own name that is not complete.

    Raises:
        TwelveError: the system refuses to.
    """
    going = folder.with_name(".going.partial")
    try:
        if folder != going:
            _remove(going)
            os.rename(folder, going)
        _remove(going)
    except OSError as error:
        raise write_error(error, folder) from error


def settle(path: Path) -> None:
    """Bring back a folder that stepped aside for a new one when the program was killed before the new one stood."""
    if _aside(path).is_dir() and not path.exists():
        os.rename(_aside(path), path)


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes of this machine that ask the same out of a folder; a process that dies lets go of it.

    Args:
        wait: for another process that is there.

    Raises:
        TwelveError: another process is there, or the folder cannot be written.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "wb")  # noqa: SIM115 (held until the block ends)
    except OSError as error:
        raise write_error(error, folder) from None
    with lock:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TwelveError(
                    "another process is writing here", file=folder, remedy="wait for it, or stop it and run again"
                ) from None
            except OSError:  # a file system without locks: nothing can be said
                pass
        yield


def append(path: Path, text: str) -> None:
    """Add ``text`` to the end of a file.

    Raises:
        TwelveError: the disk is full, the file cannot be written, or is a pipe or a device.
    """
    _check_kind(path)  # opening a pipe would wait for its reader
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise write_error(error, path) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, before work is done whose result would go there.

    Nothing is left behind; a folder that is not there yet is tried where it would be made.

    Raises:
        TwelveError: a file is in the way, or the system refuses to write; says which.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        if place == folder:
            raise _not_a_folder(folder)
        remedy = "choose another folder, or move that file away"
        raise TwelveError(f"cannot be made: {place} is a file", file=folder, remedy=remedy)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise write_error(error, folder) from None


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written, as :func:`check_folder` does."""
    if path.is_dir():
        raise _not_a_file(path)
    _check_kind(path)
    check_folder(path.parent)


def check_replaceable(folder: Path, *, marks: Collection[str], names: Collection[str], what: str) -> None:
    """Refuse to write a folder in the place of one that may hold something of the user's, and what
    :func:`check_folder` refuses.

    A folder may be replaced if it is empty, or an earlier one of the same kind with nothing else in it.

    Args:
        marks: files by which such a folder is known, all of which it has.
        names: what else the program writes there; ``*`` stands for any characters.
        what: such a folder, for people.

    Raises:
        ConfigError: names what it holds.
        TwelveError: it cannot be written.
    """
    check_folder(folder)
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    known = (*marks, *names)
    foreign = [path.name for path in there if not path.is_file() or not any(fnmatch(path.name, name) for name in known)]
    if not foreign and not set(marks) <= {path.name for path in there}:
        foreign = [path.name for path in there]
    if foreign:
        problem = f"this folder would be replaced, and holds something else than {what}: {', '.join(foreign[:3])}"
        raise ConfigError(problem, file=folder, remedy="name a new folder")


def write_error(error: OSError, path: Path) -> TwelveError:
    """The one line that a person needs when a file cannot be written."""
    space = "free some space and run the command again (twelve train: with --continue): what was complete has been kept"
    known = {
        errno.ENOSPC: space,
        errno.EDQUOT: space,
        errno.EFBIG: space,
        errno.EACCES: "choose a folder that you may write to",
        errno.EPERM: "choose a folder that you may write to",
        errno.EROFS: "choose a folder on a disk that can be written",
        errno.ENOENT: "choose a folder that exists or can be made",
        errno.ENOTDIR: "choose a folder that is not inside a file",
        errno.EISDIR: "name a file, not a folder",
        errno.ENAMETOOLONG: "choose a shorter name",
    }
    remedy = known.get(error.errno or 0, "write to another folder, on another disk if need be")
    return TwelveError(f"cannot write: {error.strerror or error}", file=path, remedy=remedy)


def reading_remedy(error: Exception, path: Path, otherwise: str) -> str:
    """What to do where a file or folder that is there cannot be read.

    Args:
        otherwise: where neither permissions nor its kind are the reason.
    """
    if isinstance(error, PermissionError):
        return f"allow yourself to read it: chmod u+rX {quoted(path)}"
    if isinstance(error, IsADirectoryError):
        return "name a file, this is a folder"
    return otherwise


def _os_error(error: BaseException) -> OSError | None:
    """``error`` if the system refused something; libraries in Rust (safetensors, tokenizers) say so in words."""
    if isinstance(error, OSError):
        return error
    found = re.search(r"os error (\d+)|Os \{ code: (\d+)", str(error))
    if not isinstance(error, Exception) or found is None:
        return None
    code = int(found[1] or found[2])
    return OSError(code, os.strerror(code))


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


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
