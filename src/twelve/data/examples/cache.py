"""The cache of examples, which is never stale: an entry is found by a hash of everything that decides what the reader
returns, so a change of any of it finds no entry.

Entries lie under ``$TWELVE_CACHE``, by default in the user's folder for caches; ``TWELVE_CACHE=off`` switches the cache
off. Where the folder cannot be written, every start reads the official files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from urllib.parse import quote

from twelve.data.examples.codec import Codec
from twelve.data.examples.store import ENTRY, checksum, open_examples, write_examples
from twelve.errors import ConfigError, DataError, TwelveError
from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import watching
from twelve.io.files import alone, replacing
from twelve.progress import Track, tell
from twelve.tasks.base import Task
from twelve.types.examples import Example

PACKAGE = Path(str(sys.modules[__name__.partition(".")[0]].__file__)).parent
"""This whole package: by its name, so that a module that moves does not narrow what is hashed."""
FOLDER = "TWELVE_CACHE"
"""Environment variable: where the cache is, or ``off``."""
OFF = "off"


def cache_folder() -> Path | None:
    """Where the cache is; None where it is switched off, or the user has no home folder."""
    named = os.environ.get(FOLDER, "")
    if named.lower() == OFF:
        return None
    if named:
        return Path(named).expanduser()
    standard = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    if standard and sys.platform != "darwin":
        return Path(standard) / "twelve"
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and a user that the system does not know: usual in containers
        return None
    return home / "Library" / "Caches" / "twelve" if sys.platform == "darwin" else home / ".cache" / "twelve"


def key_of(task: Task, root: DataRoot, split: str, paths: Sequence[Path]) -> str:
    """64 hexadecimal digits that change with anything that decides what ``task.read(root, split)`` returns.

    Raises:
        OSError: a file cannot be read.
    """
    threads = min(len(paths), os.cpu_count() or 1) or 1
    with (
        ThreadPoolExecutor(threads) as pool,
        Track(f"comparing {task.title}'s files with the cache", len(paths), "files") as track,
    ):
        sums = []
        for found in pool.map(checksum, paths):
            sums.append(found)
            track.advance()
    names = [os.path.relpath(path, root.path) for path in paths]
    # A reader may treat the training split differently, and may ask for the source of the task's images.
    facts = [task.name, split, task.train_split, root.image_source(task), *names, *sums, code_of(type(task))]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def code_of(kind: type[Task]) -> str:
    """A hash of the source code that reads a task's files: all of this package, and the package of each class.

    Raises:
        OSError: this package is installed without its source code, or a file of it cannot be read.
    """
    files = set[Path]()
    for name in dict.fromkeys(cls.__module__ for cls in kind.__mro__):
        found = getattr(sys.modules.get(name), "__file__", None)
        if found is None or name.startswith("twelve.") or name in sys.stdlib_module_names:
            continue
        path = Path(found)
        depth = name.count(".") + (path.name == "__init__.py")
        files |= set(path.parents[depth - 1].rglob("*.py")) if depth else {path}
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__}\0{package_code()}".encode())
    for path in sorted(files):
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def package_code() -> str:
    """A hash of the source code of this package, as it was when this process first asked.

    Raises:
        OSError: this package is installed without its source code, or a file of it cannot be read.
    """
    files = sorted(PACKAGE.rglob("*.py"))
    if not files:
        raise FileNotFoundError(f"no source code in {PACKAGE}, whose hash finds an entry")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def cached(folder: Path, task: Task, root: DataRoot, split: str, paths: Sequence[Path]) -> Sequence[Example]:
    """What ``task.read(root, split)`` returns, from the entry in ``folder``, which is written if there is none.

    Args:
        folder: where the task's entries are.
        paths: the files that the reader opens.

    Raises:
        DataError, ConfigError: as the reader.
    """
    codec = Codec(task.fact_types)
    prefix = quote(split, safe="") + "-"
    try:
        before = _states(paths)
        entry = folder / (prefix + key_of(task, root, split, paths)[:32])
        if (found := _opened(entry, codec)) is not None:
            return found
        with alone(folder, wait=True):
            found = _opened(entry, codec, quietly=True)  # another process may have written it in the meantime
            if found is None:
                _write(entry, task, root, split, paths, codec)
                for other in folder.iterdir():  # under other keys; hidden ones are of processes that were killed
                    if other.name.lstrip(".").startswith(prefix) and entry.name not in other.name:
                        shutil.rmtree(other, ignore_errors=True)
                found = _opened(entry, codec)
        if _states(paths) == before and found is not None:
            return found
        shutil.rmtree(entry, ignore_errors=True)  # what was read may not be what was hashed
    except (DataError, ConfigError):
        raise
    except (TwelveError, OSError, TypeError, UnicodeEncodeError) as error:
        tell(f"note: {task.title} {split} is read without a cache: {error}")
    return task.read(root, split)


def _opened(entry: Path, codec: Codec, *, quietly: bool = False) -> Sequence[Example] | None:
    """The examples of an entry; None where it is missing or damaged."""
    if not (entry / ENTRY).is_file():
        return None
    try:
        return open_examples(entry, codec)
    except DataError as error:
        if not quietly:
            tell(f"note: the cache is written again: {error}")
        return None


def _write(entry: Path, task: Task, root: DataRoot, split: str, paths: Sequence[Path], codec: Codec) -> None:
    size = sum(path.stat().st_size for path in paths)
    with (
        Track(f"reading {task.title} {split} into the cache", size >> 20, "MB") as track,
        watching(lambda characters: track.advance(characters >> 20)),
        replacing(entry) as partial,
    ):
        write_examples(partial, task.iterate(root, split), codec)


def _states(paths: Sequence[Path]) -> list[tuple[int, ...]]:
    found = (path.stat() for path in paths)
    return [(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for state in found]
