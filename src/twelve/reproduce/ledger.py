"""What finished stages have read and written, so that none is done twice: a JSON file beside the results.

A stage is finished if the ledger has it with the same inputs, and what it wrote is still there. Inputs and outputs are
compared by their SHA-256; a file is read again only if its size or its time of change differ from those in the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from twelve.downloads.lock import FetchLock, PlacedFile
from twelve.errors import TwelveError
from twelve.formats.records import finite
from twelve.io import files, json_file
from twelve.progress import Track

_BLOCK = 1 << 24
_LONGEST = 1e9
"""Seconds that no stage takes."""
_LONG = 1 << 28
"""Bytes from which on hashing a file takes long enough to show it."""


class Ledger:
    """The ledger in the file ``path``; a damaged file is an empty ledger, so that everything is done again.

    Args:
        home: file names are written relative to this folder, where they lie in it: the folder can be moved.
    """

    def __init__(self, path: Path, home: Path) -> None:
        self.path, self.home = path, home
        tree = json_file.read_or_none(path)
        found = tree if isinstance(tree, dict) else {}
        self._files: dict[str, Any] = _objects(found.get("files"))
        self._stages: dict[str, Any] = _objects(found.get("stages"))

    def digest(self, file: Path) -> str:
        """SHA-256 of a file's bytes, in hexadecimal; "" if there is no such file."""
        if not files.is_there(file):
            return ""
        state, name = file.stat(), self._name(file)
        known = self._files.get(name)
        stamp = [state.st_size, state.st_mtime_ns]
        if isinstance(known, dict) and known.get("stamp") == stamp and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        found = _sha256(file, state.st_size)
        self._files[name] = {"stamp": stamp, "sha256": found}
        return found

    def trust(self, root: Path) -> None:
        """Know the digests of the files that were fetched into a data root, which were read when they came."""
        for entry in FetchLock(root).entries.values():
            for place, was in entry.places.items():
                if isinstance(was, PlacedFile):
                    self._files[self._name(root / place)] = {"stamp": [was.bytes, was.mtime_ns], "sha256": was.sha256}

    def digests(self, paths: Iterable[Path]) -> dict[str, str]:
        """Name -> SHA-256 of files, those in folders among ``paths`` included."""
        each = [
            file
            for path in paths
            for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
            if not file.is_dir() and not file.name.startswith(".")
        ]
        return {self._name(file): self.digest(file) for file in each}

    def finished(self, stage: str, inputs: Mapping[str, Any]) -> bool:
        """Whether a stage was finished with the same inputs, and what it wrote is there unchanged."""
        known = self._stages.get(stage)
        if not isinstance(known, dict) or known.get("inputs") != _plain(inputs):
            return False
        written = _objects(known.get("outputs"))
        try:
            return bool(written) and all(
                then and self.digest(self.home / name) == then for name, then in written.items()
            )
        except (TwelveError, OSError):  # a folder is there now, or it cannot be read
            return False

    def seconds(self, stage: str) -> float | None:
        """How long a finished stage took; None if the ledger does not say."""
        known = self._stages.get(stage)
        spent = known.get("seconds") if isinstance(known, dict) else None
        return float(spent) if finite(spent) and spent is not None and 0 <= spent < _LONGEST else None

    def record(self, stage: str, inputs: Mapping[str, Any], outputs: Iterable[Path], seconds: float) -> None:
        """Write that a stage is finished.

        Raises:
            TwelveError: the disk is full, or the file cannot be written.
        """
        known = {"inputs": _plain(inputs), "outputs": self.digests(outputs), "seconds": round(seconds, 1)}
        self._stages[stage] = known
        with files.replacing(self.path) as partial:
            tree = {"stages": self._stages, "files": self._files}
            partial.write_text(json.dumps(tree, indent=1, sort_keys=True), encoding="utf-8")

    def _name(self, file: Path) -> str:
        whole, home = file.absolute(), self.home.absolute()
        return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else whole.as_posix()


def _sha256(file: Path, size: int) -> str:
    found = hashlib.sha256()
    with open(file, "rb") as stream, Track(f"hashing {file.name}", size, "bytes", shown=size >= _LONG) as track:
        read: Callable[[], bytes] = lambda: stream.read(_BLOCK)  # noqa: E731
        for block in iter(read, b""):
            found.update(block)
            track.advance(len(block))
    return found.hexdigest()


def _objects(tree: Any) -> dict[str, Any]:
    return dict(tree) if isinstance(tree, dict) else {}


def _plain(tree: Any) -> Any:
    """A tree as JSON gives it back."""
    return json.loads(json.dumps(tree, sort_keys=True))
