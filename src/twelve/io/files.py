"""Writing files atomically: a complete file is never replaced by a partial one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import ConfigError, TwelveError, nearest, quoted

if TYPE_CHECKING:
    from filelock import FileLock


def is_there(path: Path, error: type[TwelveError] = TwelveError) -> bool:
    """Whether there is a file (or a link to one).

    Raises:
        TwelveError: of type ``error``: a folder, a pipe or a device is in its place, which is not the same as nothing;
            or the system refuses access.
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError as refused:
        remedy = f"make it readable: chmod u+rX {quoted(path.parent)}"
        raise error(f"cannot be accessed: {refused.strerror}", file=path, remedy=remedy) from None
    except (OSError, ValueError):  # a ValueError for NUL in the name
        return False
    if stat.S_ISREG(mode):
        return True
    found = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
    raise error(f"expected a regular file, found {found}", file=path, remedy="move it away, and put the file here")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` (file or folder) that takes its place when the block ends without an error.

    The target of a link is replaced, not the link. Processes that write the same path wait for each other. A file only
    replaces a file, and a folder a folder; before replacing a folder that a user has named, call
    :func:`check_replaceable`.

    Raises:
        ConfigError: ``path`` is a folder and a file was written, or the other way round; ``path`` is unchanged.
        TwelveError: the disk is full, the folder cannot be written, or ``path`` is a device or a pipe; ``path`` is
            unchanged.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    _check_kind(path)
    with _turn(path):
        yield from _replacing(path)


def _check_kind(path: Path) -> None:
    """Refuse a device or a pipe, which would be gone for every program once a file replaced it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise TwelveError("is a device or a pipe, not a file", file=path, remedy="name a file, in a folder of your own")


def _check_same_kind(new: Path, path: Path) -> None:
    """Refuse to replace a folder by a file, or a file by a folder."""
    if path.exists() and new.exists() and new.is_dir() != path.is_dir():
        raise _not_a_folder(path) if new.is_dir() else _not_a_file(path)


def _not_a_file(path: Path) -> ConfigError:
    return ConfigError("expected a file, found a folder", file=path, remedy="name a file in it")


def _not_a_folder(path: Path) -> ConfigError:
    remedy = "choose another folder, or move that file away"
    return ConfigError("expected a folder, found a file", file=path, remedy=remedy)


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
            # A folder cannot be renamed over another: move the old one aside, and remove it once the new one is there.
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
    """Hold a lock beside ``path`` while it is written: a process that writes the same waits."""
    from filelock import FileLock

    _check_started()
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise write_error(error, path) from error
    try:
        yield
    finally:
        _unlocked(lock)


def _unlocked(lock: FileLock) -> None:
    """Release a lock, and remove its file."""
    with contextlib.suppress(OSError):  # Windows removes no open file; one that stays is in nobody's way
        os.unlink(lock.lock_file)  # whoever waits notices that this file is gone, and makes another
    lock.release()


def _check_started() -> None:
    """Raise TwelveError in a process that multiprocessing is still starting: it would wait for its parent's lock, and
    the parent for it. This happens if it imports a program that does its work when it is imported."""
    import multiprocessing

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise TwelveError(
            "this program starts processes, and each of them runs it again",
            remedy="move its calls into a block: if __name__ == '__main__':",
        )


def remove(folder: Path) -> None:
    """Remove a folder; if interrupted, nothing incomplete remains under its name.

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
    """Restore a folder that was moved aside for a new one, if the program was killed before the new one was there."""
    if _aside(path).is_dir() and not path.exists():
        os.rename(_aside(path), path)


def restore(path: Path) -> None:
    """:func:`settle`, unless another process is about to put the new folder there."""
    if _aside(path).is_dir() and not path.exists():
        with _turn(path):
            settle(path)


def check_idle(folder: Path) -> None:
    """Raise TwelveError if a process is writing into a folder, or a folder in it: by :func:`replacing`, or regions."""
    from filelock import FileLock, Timeout

    for path in sorted([*folder.rglob(".*.lock"), *folder.rglob(".*.parts/lock")]):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            remedy = "wait for it, or stop it and run again"
            raise TwelveError("another process is writing here", file=path.parent, remedy=remedy) from None
        except OSError as error:
            raise write_error(error, path) from None
        lock.release()  # its process was killed


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other processes of this machine that call this; the lock ends with the process.

    Args:
        wait: wait for a process that holds the lock.

    Raises:
        TwelveError: another process holds the lock, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    _check_started()
    check_folder(folder)
    lock = FileLock(folder / ".lock", timeout=-1 if wait else 0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        remedy = "wait for it, or stop it and run again"
        raise TwelveError("another process is writing here", file=folder, remedy=remedy) from None
    except OSError as error:
        raise write_error(error, folder) from None
    try:
        yield
    finally:
        _unlocked(lock)


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


def free(path: Path) -> Path:
    """The path, or the first of PATH-2, PATH-3 ... where nothing is."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def check_folder(folder: Path) -> None:
    """Check that a folder can be written, before doing work whose result goes there.

    Leaves nothing behind. For a folder that does not exist yet, the folder that it would be made in is checked.

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
        raise TwelveError(f"cannot be created: {place} is a file", file=folder, remedy=remedy)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise write_error(error, folder) from None


def check_file(path: Path) -> None:
    """Check that a file can be written, as :func:`check_folder` does."""
    if path.is_dir():
        raise _not_a_file(path)
    _check_kind(path)
    check_folder(path.parent)


def check_replaceable(folder: Path, *, marks: Collection[str], names: Collection[str], what: str) -> None:
    """Check that a folder can be written and replaced: it is empty, or an earlier one of the same kind.

    Args:
        marks: files that every folder of this kind has.
        names: other files that the program writes there; ``*`` stands for any characters.
        what: what such a folder holds, for the message.

    Raises:
        ConfigError: it holds something else; names it.
        TwelveError: it cannot be written.
    """
    check_folder(folder)
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    known = (*marks, *names)
    foreign = [path.name for path in there if not path.is_file() or not any(fnmatch(path.name, name) for name in known)]
    if not foreign and not set(marks) <= {path.name for path in there}:
        foreign = [path.name for path in there]
    if foreign:
        odd = ", ".join(foreign[:3])
        problem = f"refusing to replace this folder: it contains something that does not belong to {what} ({odd})"
        raise ConfigError(problem, file=folder, remedy="name a new folder")


def check_links(paths: Iterable[Path], home: Path, what: str) -> None:
    """Refuse files of a folder, which may come from anybody, that are links out of it, before they are written: their
    targets would be replaced.

    Args:
        paths: the files, in ``home``; they need not exist.
        what: what the folder holds, for the message.

    Raises:
        ConfigError: names the link.
    """
    inside = os.path.realpath(home)
    for path in paths:
        real = os.path.realpath(path)
        if path.is_symlink() and os.path.dirname(real) != inside:
            problem = f"is a link out of its {what}; the file that it leads to would be replaced: {real}"
            raise ConfigError(problem, file=path, remedy="put the file itself here, if it is yours")


def write_error(error: OSError, path: Path) -> TwelveError:
    """The error, with a remedy, for a file that cannot be written."""
    space = "free some space and run the command again (twelve train: with --continue): complete files have been kept"
    known = {
        errno.ENOSPC: space,
        errno.EDQUOT: space,
        errno.EFBIG: space,
        errno.EACCES: "choose a folder that you may write to",
        errno.EPERM: "choose a folder that you may write to",
        errno.EROFS: "choose a folder on a disk that can be written",
        errno.ENOENT: "choose a folder that exists or can be created",
        errno.ENOTDIR: "choose a folder that is not inside a file",
        errno.EISDIR: "name a file, not a folder",
        errno.ENAMETOOLONG: "choose a shorter name",
    }
    remedy = known.get(error.errno or 0, "write to another folder, on another disk if need be")
    return TwelveError(f"cannot be written: {error.strerror or error}", file=path, remedy=remedy)


def reading_remedy(error: Exception, path: Path, otherwise: str) -> str:
    """The remedy for an existing file or folder that cannot be read.

    Args:
        otherwise: the remedy where the reason is neither its permissions nor its kind.
    """
    if isinstance(error, PermissionError):
        return f"make it readable: chmod u+rX {quoted(path)}"
    if isinstance(error, IsADirectoryError):
        return "name a file, this is a folder"
    return otherwise


def _os_error(error: BaseException) -> OSError | None:
    """The error of the system in ``error``, if any; libraries in Rust (safetensors, tokenizers) only give its text."""
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
        try:
            shutil.rmtree(path)
        except PermissionError:  # a folder in it is read-only
            _make_writable(path)
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make_writable(folder: Path) -> None:
    """Let its owner empty a folder and all folders in it."""
    folder.chmod(0o700)
    for inside, names, _ in os.walk(folder):
        for path in (Path(inside, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)


def _sync(path: Path) -> None:
    """Flush everything under ``path`` to the disk. Files get the permissions of the umask, because safetensors 0.8 lets
    only their owner read them."""
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
            if not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o600:
                os.umask(mask := os.umask(0o077))
                file.chmod(0o666 & ~mask)
        elif file.is_dir():  # not a link to nothing, nor a pipe, which would have to be waited for
            sync_folder(file)
    if path.is_dir():
        sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make a rename in a folder durable, where the system allows it."""
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def from_here(path: Path) -> str:
    """A hint at the current folder after a relative path that is not there; empty for an absolute one."""
    return "" if path.is_absolute() else f" (in {Path.cwd()})"


def folder_beside(folder: Path) -> str:
    """A hint at the folder beside a missing one whose name is most similar; empty if there is none."""
    try:
        above = str(folder).removesuffix(folder.name)  # so that the hint can be pasted
        return nearest(folder.name, [one.name for one in folder.parent.iterdir() if one.is_dir()], above)
    except OSError:
        return ""
