"""Gets official files: each is transferred, verified, unpacked, and only then put where ``twelve data check`` looks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from twelve.downloads import parts
from twelve.downloads.bars import bar
from twelve.downloads.copying import copy
from twelve.downloads.download import Download, merged
from twelve.downloads.lock import LOCK, FetchLock
from twelve.downloads.placing import InTheWay, place
from twelve.downloads.present import first_choices, others_of, present
from twelve.downloads.report import Fetched, FetchReport
from twelve.downloads.requests import Hosts, Refused
from twelve.downloads.transfer import Patience, transfer
from twelve.downloads.unpack import BadArchive
from twelve.downloads.verify import disagreements, fitting, hashes_of, misfit
from twelve.downloads.writing import make_folder
from twelve.errors import ConfigError, TwelveError, located_problem, quoted
from twelve.formats.mistaken import what_is
from twelve.io.files import alone
from twelve.progress import tell

WORK = ".fetching"
"""Folder in the data root for what is not complete."""
FLAGS = {"image": ("--images",), "feature": ("--features",)}
"""Kind -> what the command line needs for it to come."""


def fetch(
    downloads: Iterable[Download],
    root: str | Path,
    *,
    mirrors: Sequence[str | Path] = (),
    progress: Callable[[str], None] | None = tell,
    patience: Patience | None = None,
    verify: bool = False,
    asked: Sequence[str] = (),
) -> FetchReport:
    """Fetch files into a data root. Verified files are kept, and interrupted downloads resume.

    Args:
        downloads: from :func:`~twelve.downloads.registry.choose`. Files with ``instead_of`` are only transferred if
            the file that they name is among the others and cannot be had, or is not among them at all.
        root: the data root.
        mirrors: URLs or folders that are tried before the official URLs, in this order; each holds files as
            ``DATASET/FILE`` (:attr:`Download.key`).
        progress: called with a line when something begins or fails; None also hides the bars.
        patience: how long to go on with a URL.
        verify: read again what is there, even if its size and time of change are the same.
        asked: words of the command line that asked for these files, which a remedy repeats; by default, those for the
            files of one task.

    Returns:
        What became of each file. A file that cannot be had is no error here, see :meth:`FetchReport.check`.

    Raises:
        ConfigError: a mirror is neither a URL nor a folder.
        DataError: the lock file is damaged.
        TwelveError: the disk is full, or the root cannot be written. Files that were complete are kept.
    """
    root = Path(root)
    for mirror in mirrors:
        if not _is_url(mirror) and not Path(mirror).is_dir():
            raise ConfigError("no such folder", file=mirror, remedy="name a folder, or a URL with http(s)://")
    groups = _groups(tuple(downloads))
    with _alone(root / WORK, progress):
        fetcher = _Fetcher(root, mirrors, progress, patience or Patience(), verify, asked)
        return FetchReport(root, tuple(one for group, others in groups for one in fetcher.group(group, others)))


def part_of(one: Download, root: Path) -> Path:
    """Where a file is while it is not complete."""
    return root / WORK / one.dataset / one.file


def _is_url(mirror: str | Path) -> bool:
    return str(mirror).startswith(("http://", "https://"))


@contextlib.contextmanager
def _alone(folder: Path, progress: Callable[[str], None] | None) -> Iterator[None]:
    """Hold the root's lock; say so if another process has it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(alone(folder))
        except TwelveError:
            if progress is not None and folder.is_dir():
                progress(f"another process is fetching into {folder.parent}: waiting for it")
            stack.enter_context(alone(folder, wait=True))
        yield


def _groups(downloads: Sequence[Download]) -> list[tuple[list[Download], list[Download]]]:
    """(files that come with one transfer, files that are tried instead of them), in the registry's order."""
    groups: dict[tuple[str, ...], tuple[list[Download], list[Download]]] = {}
    for one in first_choices(downloads):
        group, others = groups.setdefault(one.transfer, ([], []))
        group.append(one)
        others += others_of(one, downloads)
    return list(groups.values())


class _Fetcher:
    def __init__(
        self,
        root: Path,
        mirrors: Sequence[str | Path],
        progress: Callable[[str], None] | None,
        patience: Patience,
        verify: bool,
        asked: Sequence[str],
    ) -> None:
        self.root, self.mirrors, self.progress, self.patience, self.verify = root, mirrors, progress, patience, verify
        self.asked = asked
        self.lock, self.hosts = FetchLock(root), Hosts()
        self._named: set[str] = set()
        """Datasets whose page and terms were named."""

    def group(self, group: list[Download], others: list[Download]) -> Iterator[Fetched]:
        """Get files that come with one transfer."""
        pending = []
        for one in group:
            asked = None if one.urls else Fetched(one, "asked", f"see {one.page} ({one.source})")
            if (found := asked or present(one, others, self.lock, again=self.verify)) is not None:
                yield found
            else:
                pending.append(one)
        if not pending:
            return
        for one in pending:
            if one.dataset not in self._named:
                self._named.add(one.dataset)
                self._say(f"{one.dataset}: {one.page}; terms: {one.terms}")
        problems: list[str] = []
        try:
            note = self._obtain(merged(pending), pending, problems) or next(
                filter(None, (self._obtain(other, [other], problems) for other in others)), None
            )
            failure = f"{'; '.join(problems)} -> {self._remedy(pending[0])}"
        except InTheWay as error:
            note, failure = None, str(error)
        for one in pending:
            yield Fetched(one, "failed", failure) if note is None else Fetched(one, "fetched", note)

    def _say(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    def _obtain(self, one: Download, goals: Sequence[Download], problems: list[str]) -> str | None:
        """Transfer, verify and place a file; returns how it was verified. None if no URL gives it: why is added to
        ``problems``."""
        part = part_of(one, self.root)
        make_folder(part.parent)
        begun = parts.whole(part)
        for url in [*([begun] if begun else []), *self._urls(one)]:
            try:
                if parts.whole(part) is None:
                    self._say(f"{one.key} ({one.size}) from {url}")
                    self._transfer(one, url, part)
                found = self._verified(one, part)
                parts.finish(part, url)
                sha256 = found["sha256"].partition(":")[2]
                with bar(f"unpacking {one.file}", None, self.progress is not None) as advance:
                    place(one, goals, part, sha256, url, self.lock, advance)
                parts.forget(part)
                return _words(one, found)
            except (Refused, BadArchive) as error:
                problems.append(located_problem(url, str(error)))
                self._say(f"{one.key}: {problems[-1]}")
                if isinstance(error, BadArchive):
                    parts.forget(part)
                    if fitting(one.hashes):
                        return None  # another URL has the same bytes
        return None

    def _remedy(self, one: Download) -> str:
        by_hand = Path("FOLDER", one.dataset, one.file)
        words = self.asked or [one.tasks[0], *FLAGS.get(one.kind, ()), "--root", str(self.root)]
        command = " ".join(["twelve data fetch", *map(quoted, words), "--mirror FOLDER --yes"])
        return f"run it again later; or save the file from {one.page} as {by_hand}, and run {command}"

    def _urls(self, one: Download) -> Iterator[str]:
        """URLs of a file on the mirrors, or its paths in those that are folders; then those of the registry."""
        for mirror in self.mirrors:
            yield f"{str(mirror).rstrip('/')}/{quote(one.key) if _is_url(mirror) else one.key}"
        yield from one.urls

    def _transfer(self, one: Download, url: str, part: Path) -> None:
        with bar(one.file, one.bytes, self.progress is not None) as advance:
            if _is_url(url):
                known = bool(fitting(one.hashes) or one.key in self.lock.entries)
                patience, hosts = self.patience, self.hosts
                transfer(url, part, size=one.bytes, verifiable=known, patience=patience, hosts=hosts, advance=advance)
            else:
                copy(Path(url), part, size=one.bytes, advance=advance)

    def _verified(self, one: Download, part: Path) -> dict[str, str]:
        """The hashes of a file that came; raises Refused, and removes it, if it is not the one that is stated."""
        size = part.stat().st_size
        with bar(f"verifying {one.file}", size, self.progress is not None) as advance:
            found = hashes_of(part, {each.algorithm for each in one.hashes}, lambda done: advance(done, size))
        wrong = misfit(size, found, one.bytes, one.hashes)
        before = None if fitting(one.hashes) else self.lock.entries.get(one.key)
        if wrong is None and before is not None and found["sha256"] != f"sha256:{before.sha256}":
            wrong = (
                f"not the file that came on {before.when}: expected sha256:{before.sha256} ({LOCK}), found "
                f"{found['sha256']}; to accept it, remove {one.key!r} from {self.lock.path}"
            )
        if wrong is None and not one.packed and one.kind == "annotation" and (strange := what_is(part)):
            wrong = strange[0]
        if wrong is not None:
            parts.forget(part)
            raise Refused(wrong)
        return found


def _words(one: Download, found: dict[str, str]) -> str:
    """How a file was verified, for people."""
    sources = ", ".join(f"{each.algorithm} of {each.source}" for each in one.hashes if not each.disagrees)
    first = f"trusted, since no hash is public: {found['sha256']} is compared from now on ({LOCK})"
    return "; ".join([f"verified: {sources}" if sources else first, *disagreements(one)])
