"""Puts a file that was verified, or its members, where they belong: the only place where something takes its name."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from twelve.downloads.bars import Advance
from twelve.downloads.download import Download
from twelve.downloads.lock import FetchLock, LockEntry, PlacedFile, PlacedFolder
from twelve.downloads.unpack import BadArchive, clear, unpack
from twelve.downloads.verify import fitting, hashes_of, misfit
from twelve.downloads.writing import full, settle_on_disk
from twelve.errors import one_line


class InTheWay(Exception):
    """Another file has the place of one that came; says which, and what to do."""


def place(
    one: Download,
    goals: Sequence[Download],
    part: Path,
    sha256: str,
    url: str,
    lock: FetchLock,
    advance: Advance,
) -> None:
    """Put ``part``, which is verified, or its members into the lock's root. What is there is never replaced.

    The lock is written first: if the process is killed before all have their names, the next fetch sees which lack.

    Args:
        one: what to unpack; ``goals`` has the same members, by dataset.
        sha256: of the part.
        url: where it came from, for the lock.
        advance: told of the bytes that are unpacked.

    Raises:
        BadArchive: the archive is not what the registry says.
        InTheWay: a place is taken by another file.
        TwelveError: the disk is full, or cannot be written.
    """
    stage = part.with_name(f".{part.name}.unpacked")
    clear(stage)  # what a killed process left
    try:
        if one.packed:
            staged = {name: stage / name for name in unpack(part, one.file, one.places, stage, one.optional, advance)}
            _check_members(one, staged)
        else:
            staged = {one.places[0][1]: part}
        for name, path in staged.items():
            if not _free(lock.root / name, path):
                raise InTheWay(f"{name} is there, and differs from what {one.key} holds -> move it away and run again")
        settle_on_disk(list(staged.values()))
        for goal in goals:
            lock.add(goal.key, _entry(goal, url, part, sha256, staged))
        for name, path in staged.items():
            _move(path, lock.root / name)
    finally:
        clear(stage)


def _free(target: Path, path: Path) -> bool:
    """Whether a file can take its name: nothing is there, or the same file."""
    try:
        return not os.path.lexists(target) or filecmp.cmp(path, target, shallow=False)
    except OSError:
        return False


def _check_members(one: Download, staged: Mapping[str, Path]) -> None:
    for member, name in one.places:
        if member in one.members and name in staged:
            stated, path = one.members[member], staged[name]
            wrong = misfit(path.stat().st_size, hashes_of(path, [stated.algorithm]), None, [stated])
            if wrong is not None:
                raise BadArchive(f"its member {member} has a {wrong}")


def _entry(one: Download, url: str, part: Path, sha256: str, staged: Mapping[str, Path]) -> LockEntry:
    places: dict[str, PlacedFile | PlacedFolder] = {}
    for member, name in one.places:
        if name.endswith("/"):
            sizes = [path.stat().st_size for each, path in staged.items() if each.startswith(name)]
            places[name] = PlacedFolder(len(sizes), sum(sizes))
            continue
        if name not in staged:  # optional
            continue
        digest = sha256 if member == "" else hashes_of(staged[name])["sha256"].partition(":")[2]
        state = staged[name].stat()
        places[name] = PlacedFile(state.st_size, digest, state.st_mtime_ns)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return LockEntry(one_line(url)[:2000], part.stat().st_size, sha256, when, fitting(one.hashes), places)


def _move(path: Path, target: Path) -> None:
    """Rename; across disks, copy beside the target and rename there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            partial = target.with_name(f".{target.name}.partial")
            try:
                shutil.copy2(path, partial)
                settle_on_disk([partial])
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise full(error, target) from None
