"""Reading damaged files: what a reader may do with one, and what stops it when it does something else.

A reader that hangs is stopped by a signal, or, where it hangs outside of Python, with the whole test run; one that
takes too much memory gets no more.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fnmatch
import json
import os
import random
import signal
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutator
import pytest
from mutator import Mutation

from twelve.errors import MissingData, TwelveError

SEED = int(os.environ.get("TWELVE_SEED", "12"))
COUNT = int(os.environ.get("TWELVE_MUTATIONS", "220"))
"""Mutations of every reader; more of them look deeper."""
LEAST = 200
SECONDS = 20
"""After which a reader hangs. The sound files take it some milliseconds."""
MEMORY = 1 << 30
"""Bytes that a reader may ask for beyond what the tests have."""


_BINARY = (".npz", ".npy", ".arrow")


class Hangs(BaseException):
    """No Exception: a reader that catches everything must not catch this."""


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        files: those it reads, each of which is damaged in turn.
        read: reads them and returns something that can be compared; raises TwelveError.
        sane: raises AssertionError about what was read and cannot be meant.
        tolerated: patterns of mutations of values (``$.questions[].image_id: null``) -> why the file is read
            nevertheless, and may say something else.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Any]
    sane: Callable[[Any], None] = lambda found: None
    tolerated: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """No more memory than :data:`MEMORY` beyond what the process has, where the system can say so."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise Hangs when the block takes more than :data:`SECONDS`; end the test run when it does not let itself be
    stopped. (pytest then ends with code 1 and without a word; ``-s`` shows where it was.)"""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def torture(reader: Reader, count: int = COUNT) -> dict[str, int]:
    """Read every file of a reader in ``count`` damaged forms altogether, and say how many were refused, and read.

    Fails with everything that is needed to see the same again.
    """
    sound = reader.read()
    reader.sane(sound)
    tally = {"refused": 0, "read": 0}
    failures: list[str] = []
    for number, path in enumerate(reader.files):
        content = path.read_bytes()
        share = count * (number + 1) // len(reader.files) - count * number // len(reader.files)
        rng = random.Random(f"{SEED} {reader.name} {path.name}")
        mutations = of_file(path, content, rng, max(share, 20))
        for mutation in mutations:
            path.write_bytes(mutation.content)
            problem = outcome(reader, mutation, sound, tally)
            if problem:
                failures.append(
                    f"{path.name}: {mutation.name}\n    {problem}\n    seed {SEED}, reader {reader.name}, "
                    f"{len(mutation.content):,} bytes, crc {zlib.crc32(mutation.content):08x}: "
                    f"{mutation.content[:80]!r}"
                )
        path.write_bytes(content)
    if failures:
        pytest.fail(f"{len(failures)} of {sum(tally.values()) + len(failures)}\n" + "\n".join(failures), pytrace=False)
    return tally


def outcome(reader: Reader, mutation: Mutation, sound: Any, tally: dict[str, int]) -> str | None:
    """What is wrong with what a reader does about the damaged file that lies there, if anything is."""
    try:
        with watched(), limited():
            found = reader.read()
    except TwelveError as error:
        tally["refused"] += 1
        return unclear(error, reader, mutation)
    except Hangs:
        return f"hangs: more than {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    tally["read"] += 1
    try:
        reader.sane(found)
    except AssertionError as error:
        return f"read, and it cannot be: {str(error)[:300]}"
    if mutation.strict and found != sound:
        allowed = any(fnmatch.fnmatchcase(mutation.name, escaped(pattern)) for pattern in reader.tolerated)
        return None if allowed else "read, and it says something else than before"
    return None


def escaped(pattern: str) -> str:
    """Brackets of a path are no character sets."""
    return pattern.replace("[", "[[]")


def unclear(error: TwelveError, reader: Reader, mutation: Mutation) -> str | None:
    """What an error leaves open: it must name a file of the reader's, the record and the remedy, in one line."""
    text = str(error)
    folders = {path.parent for path in reader.files}
    missing = isinstance(error, MissingData) and error.file is not None and Path(error.file).parent in folders
    if not missing and (error.file is None or Path(error.file) not in reader.files):
        return f"names no file that was read ({error.file}): {text[:300]}"
    whole = isinstance(error, MissingData) or "not a pickle of plain" in text
    if mutation.inner and error.record is None and not whole:
        return f"names no record: {text[:300]}"
    if not error.remedy:
        return f"names no remedy: {text[:300]}"
    if len(text) > 3000 or not text.isprintable():
        return f"is not one line for people ({len(text):,} letters): {text[:300]!r}"
    return None


def of_file(path: Path, content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """Mutations of a file in its own format, two thirds of them of its values where it has any."""
    if path.suffix in _BINARY:
        return mutator.of_binary(content, rng, count)
    tree, write = _tree(path, content)
    if path.suffix == ".p":
        inner = mutator.of_pickle_bytes(content, rng, count // 3)
    elif path.suffix == ".gz":
        inner = mutator.of_packed_bytes(content, rng, count // 3)
    else:
        inner = mutator.of_bytes(content, rng, count // 3 if write is not None else count)
    if write is None:
        return inner
    found = inner + mutator.of_tree(tree, write, rng, count - len(inner), packed=path.suffix == ".p")
    return found + mutator.drawn(content, rng, count - len(found))


def _tree(path: Path, content: bytes) -> tuple[Any, Callable[[Any], bytes] | None]:
    """A file's values and how they are written again; None of a file that is neither JSON nor a pickle."""
    import gzip
    import pickle

    if path.suffix == ".p":
        return pickle.loads(content), mutator.write_pickle
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    try:
        return json.loads(text), mutator.write_json
    except ValueError:
        pass
    try:
        rows = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return None, None
    return rows, mutator.write_packed if path.suffix == ".gz" else mutator.write_lines
