"""``fetched.lock.json`` in a data root: what came from where, so that it can be compared ever after.

    {"version": 1, "files": {"nlvr2/dev.json": {
        "url": "https://...", "bytes": 3762423, "sha256": "7c44...", "when": "2026-01-31T12:00:00+00:00",
        "checked": ["sha256:7c44..."],
        "places": {"nlvr2/dev.json": {"bytes": 3762423, "sha256": "7c44...", "mtime_ns": 17...}}}}}

``sha256`` is of the file that came, archives included; ``checked`` are the public hashes that it fits (none: it was
trusted when it first came). Of the images of an archive only their number and size are kept.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from twelve.downloads.shapes import Count, Line, Place, Sha256, flaw
from twelve.downloads.verify import hashes_of
from twelve.errors import DataError
from twelve.io.files import is_there, replacing
from twelve.io.json_file import read_text

LOCK = "fetched.lock.json"
_STRICT = ConfigDict(strict=True, extra="forbid")
_MOST = 1 << 26
State = Literal["as fetched", "changed since it was fetched", "missing"]


@dataclass(frozen=True, slots=True, config=_STRICT)
class PlacedFile:
    """A file in the data root, as it was when it took its name."""

    bytes: Count
    sha256: Sha256
    mtime_ns: int


@dataclass(frozen=True, slots=True, config=_STRICT)
class PlacedFolder:
    """The members of an archive that went into a folder: their number and their size together."""

    files: Count
    bytes: Count


@dataclass(frozen=True, slots=True, config=_STRICT)
class LockEntry:
    """One file that came; see the module."""

    url: Line
    bytes: Count
    sha256: Sha256
    when: Line
    checked: tuple[Line, ...]
    places: dict[Place, PlacedFile | PlacedFolder]


@dataclass(frozen=True, slots=True, config=_STRICT)
class _Content:
    version: Literal[1] = 1
    files: dict[str, LockEntry] = field(default_factory=dict)


_ADAPTER: TypeAdapter[_Content] = TypeAdapter(_Content)


class FetchLock:
    """The lock file of a data root; the file is read when this is made.

    Raises:
        DataError: the file is damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / LOCK
        self.entries: dict[str, LockEntry] = {}
        if is_there(self.path, DataError):
            remedy = f"move {LOCK} away and fetch again: what is there is compared where a hash is public"
            text = read_text(self.path, DataError, remedy=remedy, most=_MOST)
            try:
                self.entries = dict(_ADAPTER.validate_json(text).files)
            except ValidationError as error:
                where, problem = flaw(error)
                raise DataError(problem, file=self.path, record=where or None, remedy=remedy) from None

    def add(self, key: str, entry: LockEntry) -> None:
        """Note what came, and write the file."""
        self.entries[key] = entry
        files = {name: asdict(one) for name, one in sorted(self.entries.items())}
        with replacing(self.path) as partial:
            partial.write_text(json.dumps({"version": 1, "files": files}, indent=1), encoding="utf-8")

    def state(self, key: str, *, again: bool = False) -> State | None:
        """How the files of an entry are now; None if there is no such entry.

        Args:
            again: read the files, even where size and time of change are the same.
        """
        entry = self.entries.get(key)
        if entry is None:
            return None
        states = {*self.states_of(key, again=again).values()}
        for worst in ("missing", "changed since it was fetched"):
            if worst in states:
                return worst
        return "as fetched"

    def states_of(self, key: str, *, again: bool = False) -> dict[str, State]:
        """Place -> state of the files of an entry; as :meth:`state`."""
        return {place: self._state(place, was, again) for place, was in self.entries[key].places.items()}

    def states_in(self, folder: str) -> dict[str, State]:
        """Path in a folder of the root -> state of every file in it that came."""
        return {
            place.removeprefix(f"{folder}/"): self._state(place, was, False)
            for entry in self.entries.values()
            for place, was in entry.places.items()
            if place.startswith(f"{folder}/")
        }

    def hashes(self) -> dict[str, str]:
        """Place -> sha256 of every file that came, as it was then; folders of images have none."""
        return {
            place: was.sha256
            for entry in self.entries.values()
            for place, was in entry.places.items()
            if isinstance(was, PlacedFile)
        }

    def _state(self, place: str, was: PlacedFile | PlacedFolder, again: bool) -> State:
        path = self.root / place
        try:
            if isinstance(was, PlacedFolder):
                with os.scandir(path) as there:
                    sizes = [one.stat().st_size for one in there if one.is_file() and not one.name.startswith(".")]
                if len(sizes) < was.files:
                    return "missing"
                return "as fetched" if sum(sizes) >= was.bytes else "changed since it was fetched"
            found = path.stat()
        except OSError:
            return "missing"
        if found.st_size != was.bytes or not stat.S_ISREG(found.st_mode):
            return "changed since it was fetched"
        if again or found.st_mtime_ns != was.mtime_ns:
            same = hashes_of(path)["sha256"] == f"sha256:{was.sha256}"
            return "as fetched" if same else "changed since it was fetched"
        return "as fetched"

    def touch(self, key: str) -> None:
        """Note the present times of change of files that have been compared, which need not be read again then."""
        entry = self.entries[key]
        places = {
            place: was
            if isinstance(was, PlacedFolder)
            else replace(was, mtime_ns=(self.root / place).stat().st_mtime_ns)
            for place, was in entry.places.items()
        }
        if places != entry.places:
            self.add(key, replace(entry, places=places))
