"""What a fetch would bring: files with their sizes, the pages and terms of their datasets, and the room on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.filesize import decimal

from twelve.downloads import parts
from twelve.downloads.download import Download
from twelve.downloads.fetch import WORK, part_of
from twelve.downloads.lock import FetchLock
from twelve.downloads.present import first_choices, others_of, present
from twelve.downloads.report import Fetched
from twelve.downloads.requests import Hosts, remote_size
from twelve.downloads.writing import check_room, free_bytes
from twelve.errors import one_line
from twelve.progress import counted

_ASKED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What :func:`~twelve.downloads.fetch.fetch` would do; ``str()`` shows it.

    Attributes:
        downloads: in the registry's order, those that must be asked for included.
        present: key -> what there is to say of a file for which nothing is to be transferred.
        again: key -> what is missing of a file that came before.
        answered: key -> bytes, according to the server, of files whose size nobody states.
        free: bytes on the root's disk.
    """

    root: Path
    downloads: tuple[Download, ...]
    present: Mapping[str, Fetched]
    again: Mapping[str, str]
    answered: Mapping[str, int]
    free: int

    @property
    def wanted(self) -> tuple[Download, ...]:
        """Files that would be transferred, one that serves two datasets once."""
        missing = [one for one in first_choices(self.downloads) if one.urls and one.key not in self.present]
        return tuple({one.transfer: one for one in missing}.values())

    @property
    def known_bytes(self) -> int:
        """Bytes of the files whose size is known, exactly or roughly."""
        return sum(self._bytes(one) or 0 for one in self.wanted)

    @property
    def total(self) -> str:
        """The size of all files, for people."""
        sizes = [self._bytes(one) for one in self.wanted]
        rough = any(one.bytes is None and one.key not in self.answered and one.about for one in self.wanted)
        unknown = sum(size is None for size in sizes)
        if sizes and unknown == len(sizes):
            return "of unknown size"
        more = f" without {unknown} of unknown size" if unknown else ""
        return f"{'about ' if rough else ''}{decimal(self.known_bytes)}{more}"

    def check_room(self) -> None:
        """Raise TwelveError if the disk is too small for the files alone, of which a part may be there."""
        begun = sum(min(parts.length(part_of(one, self.root)), self._bytes(one) or 0) for one in self.wanted)
        check_room(self.root / WORK, self.known_bytes - begun)

    def _bytes(self, one: Download) -> int | None:
        return self.answered.get(one.key, one.rough)

    def __str__(self) -> str:
        lines, chosen = [], first_choices(self.downloads)
        for dataset, group in groupby(self.downloads, lambda one: one.dataset):
            files = [one for one in group if one in chosen]
            if files:
                lines += [f"{dataset}: {files[0].page}", f"  terms: {files[0].terms}"]
                lines += [self._line(one) for one in files if one.urls]
                lines += _to_ask_for([one for one in files if not one.urls])
        lines.append(
            f"to fetch: {counted(len(self.wanted), 'file')}, {self.total}; free: {decimal(self.free)}, of which "
            "archives need their size twice or more while they are unpacked"
        )
        return "\n".join(lines)

    def _line(self, one: Download) -> str:
        answer = self.answered.get(one.key)
        size = f"{decimal(answer)} (says the server)" if answer is not None else one.size
        mark = ", sources disagree" if any(each.disagrees for each in one.hashes) else ""
        return f"  {one_line(f'{one.key}: {one.kind}, {size}, {self._state(one)}{mark}')}"

    def _state(self, one: Download) -> str:
        there = self.present.get(one.key)
        if there is not None:
            kept = "in its place already" if there.outcome == "kept" else f"cannot come: {there.note}"
            return "as fetched" if there.outcome == "there" else kept
        known = "hash known" if any(not each.disagrees for each in one.hashes) else "no public hash"
        return f"{known}, comes again: {self.again[one.key]}" if one.key in self.again else known


def _to_ask_for(files: Sequence[Download]) -> list[str]:
    """Lines on files that must be asked for, one for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in files:
        reasons.setdefault((one.page, one.source), []).extend(place for _, place in one.places)
    return [
        f"  not available without registration or asking: {', '.join(places)}: see {page} ({why})"
        for (page, why), places in reasons.items()
    ]


def make_plan(downloads: Sequence[Download], root: str | Path, *, ask: bool = True) -> FetchPlan:
    """Look at the root, and ask servers for sizes that nobody states.

    Args:
        ask: whether to ask servers.

    Raises:
        DataError: the lock file is damaged.
    """
    lock, hosts = FetchLock(Path(root)), Hosts()
    chosen = [one for one in first_choices(downloads) if one.urls]
    found = {one.key: present(one, others_of(one, downloads), lock, look=True) for one in chosen}
    there = {key: each for key, each in found.items() if each is not None}
    missing = [one for one in chosen if one.key not in there]
    again = {one.key: text for one in missing if (text := _lacking(one, lock))}
    open_ = [one for one in missing if one.bytes is None] if ask else []
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        sizes = pool.map(lambda one: remote_size(one.urls[0], hosts=hosts), open_)
        answered = {one.key: size for one, size in zip(open_, sizes, strict=True) if size}
    return FetchPlan(lock.root, tuple(downloads), there, again, answered, free_bytes(lock.root))


def _lacking(one: Download, lock: FetchLock) -> str:
    """What is missing of a file that came before; "" if it did not."""
    if one.key not in lock.entries:
        return ""
    states = lock.states_of(one.key)
    gone = [place for place in {**states, **dict.fromkeys(one.needed)} if states.get(place) in (None, "missing")]
    return f"{gone[0]}{f' and {len(gone) - 1} more' if len(gone) > 1 else ''} missing" if gone else ""
