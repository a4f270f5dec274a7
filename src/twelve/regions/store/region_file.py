"""One region file, mapped into memory."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from twelve.errors import RegionError, found_in, quoted
from twelve.io.files import reading_remedy
from twelve.progress import counted
from twelve.regions.recipe import KEY, Made, Recipe
from twelve.regions.store.arrow_format import CHECKSUM, BatchView, view
from twelve.regions.store.headers import BadHeader, check_file
from twelve.types.half_precision import dtype_of
from twelve.types.regions import Regions

GIVEN = "given"
"""Subfolder of a source with the regions of boxes that datasets give."""
BOXES_ONLY = "boxes only"
"""Fingerprint of a file without features."""
_LONGEST = 1000
"""Most characters of a command that names each file."""


class RegionFile:
    """An Arrow IPC file, mapped into memory.

    Attributes:
        path: the file.
        metadata: as recorded: backbone, settings, fingerprint, origin of the boxes.
        whole: the mapped bytes.
        feature_size: F; None for a file without features.
        feature_dtype: ``float16`` or ``bfloat16``; None for a file without features.

    Raises:
        RegionError: the file is truncated, damaged or compressed, or not a region file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        remedy = f"if it was copied, copy it again; else delete it and extract {path.parent.name} again"
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its writer
                problem = "is a folder" if stat.S_ISDIR(found.st_mode) else "is a pipe or a device"
                raise RegionError(f"{problem}, no region file", file=path, remedy="name a region file")
            with pa.memory_map(str(path)) as source:
                whole = source.read_buffer()
            self.whole = memoryview(whole).cast("B")
            self._name = str(path)  # converting a path takes as long as the check itself
            self._stamp = (found.st_dev, found.st_ino, found.st_mtime_ns, len(self.whole))
            compressed = check_file(self.whole)
            self._reader = pa.ipc.open_file(whole)
            recorded = self._reader.schema.metadata or {}
            self.metadata: dict[str, str] = {key.decode(): value.decode() for key, value in recorded.items()}
            self.feature_size, self.feature_dtype = _features(self._reader.schema)
            if compressed and self.feature_size is not None:
                raise BadHeader("its features are compressed")
            batches = [self._reader.get_batch(k) for k in range(self._reader.num_record_batches)]
            self._views = [view(batch, path, k) for k, batch in enumerate(batches)]
        except FileNotFoundError as error:
            raise RegionError("no such file", file=path, remedy="check the path") from error
        except PermissionError as error:
            raise RegionError("cannot be read", file=path, remedy=reading_remedy(error, path, remedy)) from error
        except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
            why = str(error) or type(error).__name__
            raise RegionError(f"truncated, damaged or not a region file ({why})", file=path, remedy=remedy) from error
        for v in self._views:
            for array in (v.features, v.means, v.boxes) if v.features is not None else ():
                address = 0 if array is None else array.__array_interface__["data"][0]
                if array is not None and array.nbytes and not 0 <= address - whole.address < whole.size:
                    problem = "its features are not laid out as a region file's"
                    raise RegionError(problem, file=path, remedy="write the file without compression, in native order")

    def check_unchanged(self) -> None:
        """Raise RegionError if the file was truncated or overwritten since it was opened: reading bytes that are gone
        would end the process, and new bytes were never checked. A new file in its place does not matter."""
        try:
            found = os.stat(self._name)
        except OSError:
            return  # the name is gone; the content stays while it is mapped
        device, number, changed, size = self._stamp
        if (found.st_dev, found.st_ino) != (device, number):
            return
        if found.st_size != size or found.st_mtime_ns != changed:
            raise RegionError(
                f"was overwritten while in use ({size:,} bytes then, {found.st_size:,} now)",
                file=self.path,
                remedy=f"start the command again when the file is complete: twelve regions verify {quoted(self.path)}",
            )

    @property
    def views(self) -> list[BatchView]:
        """One view per record batch. To read the arrays of many, use :meth:`batches`.

        Raises:
            RegionError: see :meth:`check_unchanged`.
        """
        self.check_unchanged()
        return self._views

    def batches(self) -> Iterator[BatchView]:
        """The same, one after the other; checks the file before each. Raises RegionError as :attr:`views`."""
        for batch in self._views:
            self.check_unchanged()
            yield batch

    @property
    def schema(self) -> pa.Schema:
        """Columns of the file."""
        return self._reader.schema

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the features; all files of a source have the same."""
        return self.metadata.get("fingerprint", "" if self.feature_size is not None else BOXES_ONLY)

    @cached_property
    def made(self) -> tuple[Made, ...]:
        """How its regions were made; a merged file may record several ways.

        Raises:
            RegionError: the recipe cannot be read.
        """
        if KEY not in self.metadata:
            return (Made(self.fingerprint),)
        with found_in(self.path):
            return tuple(Made(self.fingerprint, recipe) for recipe in Recipe.all_from_json(self.metadata[KEY]))

    def difference(self, other: RegionFile, *, boxes: bool = True) -> tuple[str, str] | None:
        """The first difference, (this file's, the other's), that keeps the files from sharing a source; None if there
        is none.

        Args:
            boxes: also compare the kind of boxes; those that datasets give always differ.
        """
        for made in self.made:
            if differs := made.difference(other.made[0], boxes=boxes):
                return differs
        pairs = (
            (f"{self.feature_size} features", f"{other.feature_size} features"),
            (f"{self.feature_dtype}", f"{other.feature_dtype}"),
        )
        return next((pair for pair in pairs if pair[0] != pair[1]), None)

    def checksums(self) -> list[str | None]:
        """The recorded checksum of each record batch; None where there is none."""
        self.check_unchanged()
        recorded: list[str | None] = []
        for k in range(self._reader.num_record_batches):
            metadata = self._reader.get_batch_with_custom_metadata(k).custom_metadata
            value = metadata.get(CHECKSUM) if metadata is not None else None
            recorded.append(None if value is None else value.decode(errors="replace"))
        return recorded

    def __iter__(self) -> Iterator[Regions]:
        """The images in file order."""
        for batch in self._views:
            for row in range(len(batch.ids)):
                self.check_unchanged()
                yield batch.regions(row)

    def __len__(self) -> int:
        return sum(len(batch.ids) for batch in self._views)


def check_alike(unlike: Sequence[RegionError], instead: str = "give another --out") -> None:
    """Raise the first of the errors about files of a folder that new regions do not fit, one of each file; its remedy
    names all the files (of many, their folder), or the caller's way without deleting them (``instead``)."""
    if unlike:
        first, paths = unlike[0], [str(each.file) for each in unlike]
        more = f"; {counted(len(paths) - 1, 'other file')} cannot be kept either" if len(paths) > 1 else ""
        command = shlex.join(["rm", *paths])
        which = f"these {len(paths):,} files: {command}" if len(paths) > 1 else "that file"
        if len(paths) > 1 and len(command) > _LONGEST:
            which = f"all region files of this folder: rm {quoted(Path(paths[0]).parent)}/*.arrow"
        remedy = f"{instead}, or delete {which}"
        raise RegionError(first.problem + more, file=first.file, record=first.record, remedy=remedy)


def _features(schema: pa.Schema) -> tuple[int | None, str | None]:
    """F and the type of the features; None, None for a file without features.

    Raises:
        ValueError: two columns have one name, or the features have another type.
    """
    names: list[str] = schema.names
    if len(set(names)) < len(names):
        raise ValueError("two columns have one name")
    if "features" not in names:
        return None, None
    field = schema.field("features")
    row = field.type.value_type if pa.types.is_list(field.type) else None
    dtype = dtype_of(field)
    if row is None or not pa.types.is_fixed_size_list(row) or dtype is None or row.list_size < 1:
        raise ValueError(f"its features are {str(field.type)[:80]}, neither float16 nor labelled as bfloat16")
    return int(row.list_size), dtype
