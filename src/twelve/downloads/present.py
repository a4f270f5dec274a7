"""What is in the data root before a fetch: files that came before, files that somebody else put there, and what is in
the way of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from twelve.downloads.download import Download
from twelve.downloads.lock import FetchLock
from twelve.downloads.report import Fetched
from twelve.downloads.verify import fitting, hashes_of, misfit
from twelve.errors import TwelveError

_AGAIN = "move it away and run the command again"


def others_of(one: Download, downloads: Iterable[Download]) -> list[Download]:
    """Files that are tried where ``one`` cannot be had."""
    return [each for each in downloads if each.dataset == one.dataset and each.instead_of == one.file]


def first_choices(downloads: Sequence[Download]) -> list[Download]:
    """Files without those that are only tried where another one of them cannot be had."""
    keys = {one.key for one in downloads}
    return [one for one in downloads if one.instead_of is None or f"{one.dataset}/{one.instead_of}" not in keys]


def present(
    one: Download, others: Sequence[Download], lock: FetchLock, *, again: bool = False, look: bool = False
) -> Fetched | None:
    """What there is to say of a file if nothing must be transferred for it; else None.

    Args:
        others: files that may have come instead of it.
        again: read what came before, even if its size and time of change are the same.
        look: only look, for a plan: what somebody else put there is not compared, and nothing is noted in the lock.
    """
    try:
        return _misplaced(one, lock.root) or _before(one, others, lock, again, look)
    except TwelveError as error:  # it cannot be read
        return Fetched(one, "failed", str(error))


def _before(one: Download, others: Sequence[Download], lock: FetchLock, again: bool, look: bool) -> Fetched | None:
    for key in (one.key, *(other.key for other in others)):
        state = lock.state(key, again=again)
        if state == "as fetched" and lock.entries[key].places.keys() >= {*one.needed}:
            if not look:
                lock.touch(key)
            return Fetched(one, "there", state)
        if state == "changed since it was fetched":
            changed = ", ".join(place for place, each in lock.states_of(key).items() if each == state)
            return Fetched(one, "failed", f"{changed} {state} on {lock.entries[key].when} -> {_AGAIN}")
        if state is not None:
            return None
    return _by_hand(one, lock.root, look)


def _by_hand(one: Download, root: Path, look: bool) -> Fetched | None:
    """The same for files that did not come by this program: a stated hash is compared, and nothing is replaced."""
    there = {place for _, place in one.places if exists(root / place)}
    notes = []
    for member, place in one.places:
        if place not in there:
            continue
        path = root / place
        if path.is_file() and not path.stat().st_size:
            return Fetched(one, "failed", f"{place} is there, and is empty -> {_AGAIN}")
        stated = one.hashes if member == "" else [one.members[member]] if member in one.members else []
        if look or not fitting(stated):
            continue
        found = hashes_of(path, {each.algorithm for each in stated})
        wrong = misfit(path.stat().st_size, found, one.bytes if member == "" else None, stated)
        if wrong is not None:
            return Fetched(one, "failed", f"{place} is there, and is not the official file: {wrong} -> {_AGAIN}")
        notes.append(f"{place} was there, and has the stated hash")
    if not there.issuperset(one.needed):
        return None
    return Fetched(one, "kept", "; ".join(notes) or "it was there; no public hash tells whether it is the official one")


def _misplaced(one: Download, root: Path) -> Fetched | None:
    """Says so if a folder is where a file belongs, or the other way round."""
    for _, place in one.places:
        *above, last = place.split("/")
        folders = ["/".join(above[:count]) for count in range(1, len(above) + 1)]
        wrong = [folder for folder in folders if os.path.lexists(root / folder) and not os.path.isdir(root / folder)]
        if wrong:
            return Fetched(one, "failed", f"{wrong[0]} is not a folder, and {place} belongs into it -> {_AGAIN}")
        if last and os.path.exists(root / place) and not os.path.isfile(root / place):
            kind = "a folder" if os.path.isdir(root / place) else "a pipe or a device"
            return Fetched(one, "failed", f"{place} is {kind}, and the file belongs there -> {_AGAIN}")
    return None


def exists(path: Path) -> bool:
    """Whether there is a file, or a folder with a file in it; hidden ones do not count there."""
    if not path.is_dir():
        return path.is_file()
    with os.scandir(path) as there:
        return any(one.is_file() and not one.name.startswith(".") for one in there)
