"""The original program's LMDB: image id -> pickled dict, and ``keys`` -> pickled list of the ids.

A value is ``{"image_id", "image_h", "image_w", "num_boxes", "boxes": (R, 4), "features": (R, 2048)}``; in some files
the two arrays are base64 of float32. There is no global region.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twelve.errors import RegionError
from twelve.regions.importers.base import BadRecord, ImageRecord, RawRegions, from_fields, library, unpickled

_KEYS = b"keys"

_UNWRITTEN = 256
"""Number of pages that a complete file may lack."""


class LmdbFile:
    """An LMDB environment: a folder with ``data.mdb``, or the file alone.

    Raises:
        RegionError: it is damaged, or the package lmdb is not installed.
    """

    format = "lmdb"
    unit = "images"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lmdb = library("lmdb", path)
        try:
            # Without a lock, other processes may read, and the folder may be read-only.
            self._environment: Any = self._lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, create=False
            )
            self._check_whole(path / "data.mdb" if path.is_dir() else path)
            with self._environment.begin() as transaction:
                self._listed: list[bytes] = self._keys(transaction.get(_KEYS))
        except self._lmdb.Error as error:
            raise self._damaged(error) from error
        entries: int = self._environment.stat()["entries"]
        self.total = entries - (1 if self._listed else 0)

    def _check_whole(self, file: Path) -> None:
        """Raise RegionError for a truncated file: reading missing pages would kill the process.

        A complete file may lack a few of its last pages, if these were freed before they were written.
        """
        pages, size = self._environment.info()["last_pgno"] + 1, self._environment.stat()["psize"]
        lacking = pages - file.stat().st_size // size
        if lacking > min(pages // 100, _UNWRITTEN):
            raise self._damaged(f"{file.stat().st_size:,} of its {pages * size:,} bytes are there")

    def records(self) -> Iterator[ImageRecord | tuple[str, str]]:
        try:
            with self._environment.begin(buffers=True) as transaction:
                for key in self._listed:
                    if transaction.get(key) is None:
                        yield _label(key), "it is among the file's keys, but not in the file"
                for key in transaction.cursor().iternext(values=False):
                    name = bytes(key)
                    if name != _KEYS:
                        yield ImageRecord(_label(name), _label(name), partial(self._load, transaction, name))
        except self._lmdb.Error as error:
            raise self._damaged(error) from error

    def close(self) -> None:
        self._environment.close()

    def _load(self, transaction: Any, key: bytes) -> RawRegions:
        try:
            content = bytes(transaction.get(key))
        except self._lmdb.Error as error:
            raise BadRecord(f"cannot be read ({error})") from None
        fields = unpickled(content)
        if not isinstance(fields, dict):
            raise BadRecord(f"a {type(fields).__name__} instead of a dict")
        return from_fields(fields)

    def _keys(self, pickled: bytes | None) -> list[bytes]:
        """The ids in the entry ``keys``, which is optional."""
        if pickled is None:
            return []
        try:
            listed = unpickled(pickled)
        except BadRecord as error:
            raise self._damaged(error) from None
        if not isinstance(listed, list):
            raise self._damaged("its keys are not a list")
        keys = [key.encode("latin1") if isinstance(key, str) else key for key in listed]
        if not all(isinstance(key, bytes) and key for key in keys):
            raise self._damaged("its keys are not byte strings")
        return keys

    def _damaged(self, reason: object) -> RegionError:
        return RegionError(
            f"not an LMDB of region features ({reason})", file=self.path, remedy="download or copy it again"
        )


def _label(key: bytes) -> str:
    return key.decode("utf-8", errors="backslashreplace")
