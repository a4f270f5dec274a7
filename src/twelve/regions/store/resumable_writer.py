"""Writes a region file so that nothing is lost if the extraction is killed.

During the extraction, record batches go to Arrow streams in ``.<name>.parts/`` beside the target. Every complete batch
of a truncated stream can still be read, unlike an IPC file without its footer. At the end, the complete batches of all
parts become one IPC file under a temporary name, which is then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
from filelock import FileLock, Timeout

from twelve.errors import ConfigError, RegionError
from twelve.io import json_file
from twelve.io.files import sync_folder
from twelve.progress import counted
from twelve.regions.store.arrow_format import CHECKSUM, MAX_IMAGES, checksum, record_batch, view
from twelve.regions.store.headers import check_stream
from twelve.types.regions import Regions

BATCH_BYTES = 2**26
"""Size from which a batch is written, in bytes."""
METADATA_CHECKSUM = "checksum"
"""Key in the schema metadata of the checksum of all other keys."""

_NUMBERED = re.compile(r"[0-9]{4,9}")
_COUNTS = b"counts"
"""Key in a batch's metadata of what the writer counted while it made the batch."""


def plain_name(name: str, option: str) -> str:
    """``name``, if it is the name of one file or folder: a store has nothing outside its folder.

    Raises:
        ConfigError: it is a path.
    """
    if name.strip() in ("", ".", "..") or "/" in name or "\\" in name:
        raise ConfigError(f"{option} {name!r} is not a name", remedy="give a plain name such as coco, not a path")
    return name


def free_name(folder: Path, name: str) -> Path:
    """``<name>.arrow``, or the first of ``<name>-2.arrow``, ... that does not exist."""
    path, number = folder / f"{name}.arrow", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.arrow"
    return path


def metadata_checksum(metadata: Mapping[str, str]) -> str:
    """BLAKE2b of the schema metadata without the checksum itself."""
    items = sorted((key, value) for key, value in metadata.items() if key != METADATA_CHECKSUM)
    return hashlib.blake2b(repr(items).encode(), digest_size=16).hexdigest()


def whole_batches(path: Path) -> Iterator[tuple[pa.RecordBatch, str, Mapping[str, int]]]:
    """The complete record batches of a stream with their checksums and counts, up to the first damaged one."""
    try:
        if not path.is_file():
            return
        with pa.memory_map(str(path)) as source:
            whole = source.read_buffer()
        check_stream(memoryview(whole).cast("B"))
        reader = pa.ipc.open_stream(whole)
    except (pa.ArrowException, OSError, ValueError):
        return
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
            found = checksum(view(batch, path, 0))
            if metadata is None or metadata.get(CHECKSUM) != found.encode():
                return
            counts = json_file.decode(metadata.get(_COUNTS, b"{}").decode())
            if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
                return
        except (pa.ArrowException, OSError, ValueError, TypeError, RecursionError, RegionError, StopIteration):
            return
        yield batch, found, counts


def remove_leftovers(folder: Path) -> None:
    """Remove the parts of finished files, which remain if the extraction was killed right after the rename."""
    for parts in folder.glob(".*.arrow.parts"):
        if (folder / parts.name.removeprefix(".").removesuffix(".parts")).exists():
            with contextlib.suppress(Timeout), _lock(parts):
                shutil.rmtree(parts)


def _lock(folder: Path) -> FileLock:
    """A lock on a folder, which is not waited for and ends with the process."""
    return FileLock(folder / "lock", timeout=0, thread_local=False)


class PartWriter:
    """An unfinished region file: the batches of earlier runs, and a stream for this run.

    A context manager; leaving it early keeps what was written.

    Args:
        target: the IPC file to make.
        schema: its columns and metadata.

    Attributes:
        done: ids of the images written so far, by this run and earlier ones.
        counts: what the writers of their batches counted, summed.

    Raises:
        RegionError: another process is writing to ``target``, or the earlier runs had other settings.
    """

    def __init__(self, target: Path, schema: pa.Schema) -> None:
        self.target = target
        self.folder = target.parent / f".{target.name}.parts"
        self.schema = schema
        self.done: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._images: list[Regions] = []
        self._image_counts: Counter[str] = Counter()
        self._size = 0
        self._writer: Any = None
        self._sink: IO[bytes] | None = None
        self._made = [part for part in self.folder.parents if not part.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.folder)
            self._lock.acquire()
        except Timeout as error:
            raise RegionError(
                "another extraction is writing here", file=target, remedy="wait for it, or stop it and run again"
            ) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            for path in self._parts():
                self._adopt(path)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def add(self, image: Regions, counts: Counter[str] | None = None) -> None:
        """Add an image to the current batch, which is written when it is full; see :meth:`write`."""
        self._images.append(image)
        self._image_counts += counts or Counter()
        columns = (image.features, image.class_probabilities, image.boxes)
        self._size += sum(column.nbytes for column in columns if column is not None)
        if len(self._images) >= MAX_IMAGES or self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the current batch."""
        if self._images:
            images, counts = self._images, self._image_counts
            self._images, self._image_counts, self._size = [], Counter(), 0
            self.write(images, counts)

    def write(self, images: Sequence[Regions], counts: Mapping[str, int] | None = None) -> None:
        """Append a record batch and flush it to disk; ``counts`` are stored with it and added to :attr:`counts`.

        Raises:
            RegionError: the disk is full; earlier batches are kept.
        """
        batch = record_batch(images, self.schema)
        try:
            if self._writer is None:
                number = max((int(path.stem) for path in self._parts()), default=-1) + 1
                self._sink = open(self.folder / f"{number:04d}.arrows", "xb", buffering=0)  # noqa: SIM115
                self._writer = pa.ipc.new_stream(self._sink, self.schema)
            assert self._sink is not None
            metadata = {CHECKSUM: checksum(view(batch, self.target, 0)), _COUNTS: json.dumps(counts or {})}
            self._writer.write_batch(batch, custom_metadata=metadata)
            os.fsync(self._sink.fileno())
        except OSError as error:
            self._abandon()
            raise self._cannot_write(error) from error
        self.done.update(image.image_id for image in images)
        self.counts.update(counts or {})

    def finish(self, extra: Mapping[str, str]) -> None:
        """Combine all parts into the IPC file, with ``extra`` added to its metadata.

        Raises:
            RegionError: the disk is full; the parts are kept, and the target does not appear.
        """
        self._end_stream()
        metadata = {k.decode(): v.decode() for k, v in (self.schema.metadata or {}).items()} | dict(extra)
        metadata[METADATA_CHECKSUM] = metadata_checksum(metadata)
        schema = self.schema.with_metadata(metadata)
        temporary = self.folder / self.target.name
        try:
            with open(temporary, "wb") as sink:
                with pa.ipc.new_file(sink, schema) as writer:
                    for path in self._parts():
                        for batch, found, _ in whole_batches(path):
                            writer.write_batch(
                                batch.replace_schema_metadata(metadata), custom_metadata={CHECKSUM: found}
                            )
                sink.flush()
                os.fsync(sink.fileno())
            os.replace(temporary, self.target)
            sync_folder(self.target.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise self._cannot_write(error) from error
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """End the stream of this run and release the folder."""
        self._end_stream()
        if self.folder.is_dir() and not self._parts():
            shutil.rmtree(self.folder)
            with contextlib.suppress(OSError):  # another process put something there
                for folder in self._made:
                    folder.rmdir()
        self._lock.release()

    def _parts(self) -> list[Path]:
        return sorted(
            path for path in self.folder.glob("*.arrows") if _NUMBERED.fullmatch(path.stem) and path.is_file()
        )

    def _adopt(self, path: Path) -> None:
        """Count the batches of an earlier run, or remove a stream that was cut before its first batch."""
        found = False
        for batch, _, counts in whole_batches(path):
            if not found and not batch.schema.equals(self.schema, check_metadata=True):
                raise RegionError(
                    "an unfinished extraction with other settings is here",
                    file=self.folder,
                    remedy="run it again with its settings, or delete that folder",
                )
            found = True
            self.done.update(batch.column("image_id").to_pylist())
            self.counts.update(counts)
        if not found:
            path.unlink()

    def _end_stream(self) -> None:
        if self._writer is None:
            return
        with contextlib.suppress(OSError):  # the disk is full; a stream without its end marker is readable
            self._writer.close()
        self._abandon()

    def _abandon(self) -> None:
        """Close the stream without writing to it."""
        if self._sink is not None:
            self._sink.close()
        self._writer = self._sink = None

    def _cannot_write(self, error: OSError) -> RegionError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return RegionError(
            f"cannot be written ({error.strerror or error}); {counted(len(self.done), 'extracted image', 'are')} kept",
            file=self.target,
            remedy=("free space on that disk" if full else "make the folder writable") + " and run the command again",
        )
