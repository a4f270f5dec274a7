"""The region store: every image's regions, memory-mapped and shared by all workers.

``<root>/<source>/*.arrow`` holds the images of a source, ``<root>/<source>/given/*.arrow`` the regions of boxes that
datasets give for them. A source is opened at its first use and stays open; nothing of the features is read before a
batch asks for it.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from twelve.errors import RegionError, found_in, nearest, quoted
from twelve.io.files import reading_remedy
from twelve.regions.extraction.memory import Memory
from twelve.regions.recipe import KEY as RECIPE
from twelve.regions.recipe import Made, Recipe, preferred
from twelve.regions.store.arrow_format import CHECKSUM, BatchView, mean_feature, view
from twelve.regions.store.collate import Piece, Places, gathered, normalised, scales_of
from twelve.regions.store.headers import BadHeader, check_file
from twelve.types.half_precision import Halves, dtype_of
from twelve.types.regions import RegionBatch, Regions, first_regions, joined

GIVEN = "given"
"""Folder, in a source's, of the regions of boxes that datasets give."""
BOXES_ONLY = "boxes only"
"""Fingerprint of a file without features."""


class RegionFile:
    """One Arrow IPC file, mapped into memory.

    Attributes:
        path: the file.
        metadata: what the writer recorded (backbone, settings, fingerprint, origin of the boxes).
        whole: the map, as bytes.
        views: one :class:`~twelve.regions.store.arrow_format.BatchView` per record batch.
        feature_size: F, or None for a boxes-only file.
        feature_dtype: ``float16`` or ``bfloat16``.

    Raises:
        RegionError: the file is truncated, damaged, compressed or not a region file.
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
            self._name = str(path)  # a path takes as long to become text as the check itself
            self._stamp = (found.st_dev, found.st_ino, found.st_mtime_ns, len(self.whole))
            compressed = check_file(self.whole)
            self._reader = pa.ipc.open_file(whole)
            self.metadata: dict[str, str] = {
                k.decode(): v.decode() for k, v in (self._reader.schema.metadata or {}).items()
            }
            self.feature_size, self.feature_dtype = _features(self._reader.schema)
            if compressed and self.feature_size is not None:
                raise BadHeader("its features are compressed")
            batches = [self._reader.get_batch(k) for k in range(self._reader.num_record_batches)]
            self.views = [view(batch, path, k) for k, batch in enumerate(batches)]
        except FileNotFoundError as error:
            raise RegionError("no such file", file=path, remedy="check the path") from error
        except PermissionError as error:
            raise RegionError("cannot be read", file=path, remedy=reading_remedy(error, path, remedy)) from error
        except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
            why = str(error) or type(error).__name__
            raise RegionError(f"truncated, damaged or not a region file ({why})", file=path, remedy=remedy) from error
        for v in self.views:
            for array in (v.features, v.means, v.boxes) if v.features is not None else ():
                address = 0 if array is None else array.__array_interface__["data"][0]
                if array is not None and array.nbytes and not 0 <= address - whole.address < whole.size:
                    problem = "its features are not laid out as a region file's"
                    raise RegionError(problem, file=path, remedy="write the file without compression, in native order")

    def check_unchanged(self) -> None:
        """Raise RegionError if the file was cut or written over since it was opened: reading what is no longer there
        ends the process, and what is there now was never looked at. A file that took its place is no matter."""
        try:
            found = os.stat(self._name)
        except OSError:
            return  # its name is gone, its content stays as long as it is mapped
        device, number, changed, size = self._stamp
        if (found.st_dev, found.st_ino) != (device, number):
            return
        if found.st_size != size or found.st_mtime_ns != changed:
            raise RegionError(
                f"was written over while it was in use ({size:,} bytes then, {found.st_size:,} now)",
                file=self.path,
                remedy=f"start the command again once the file is whole: twelve regions verify {quoted(self.path)}",
            )

    @property
    def schema(self) -> pa.Schema:
        """Columns of the file."""
        return self._reader.schema

    @property
    def fingerprint(self) -> str:
        """Of the extractor; two files may share a source only if theirs are equal."""
        return self.metadata.get("fingerprint", "" if self.feature_size is not None else BOXES_ONLY)

    @cached_property
    def made(self) -> tuple[Made, ...]:
        """How its regions were made; a file that was merged of several may know several ways.

        Raises:
            RegionError: what is recorded cannot be read.
        """
        if RECIPE not in self.metadata:
            return (Made(self.fingerprint),)
        with found_in(self.path):
            return tuple(Made(self.fingerprint, recipe) for recipe in Recipe.all_from_json(self.metadata[RECIPE]))

    def difference(self, other: RegionFile, *, boxes: bool = True) -> tuple[str, str] | None:
        """The first thing, of this file and of the other, that keeps them from being of one source; None if nothing.

        Args:
            boxes: whether boxes of another kind are a difference, which those that datasets give always have.
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
        """What the writer recorded for each record batch; None where it recorded nothing."""
        recorded: list[str | None] = []
        for k in range(self._reader.num_record_batches):
            metadata = self._reader.get_batch_with_custom_metadata(k).custom_metadata
            value = metadata.get(CHECKSUM) if metadata is not None else None
            recorded.append(None if value is None else value.decode(errors="replace"))
        return recorded

    def __iter__(self) -> Iterator[Regions]:
        """Every image in file order."""
        for batch in self.views:
            for row in range(len(batch.ids)):
                yield batch.regions(row)

    def __len__(self) -> int:
        return sum(len(batch.ids) for batch in self.views)


def _features(schema: pa.Schema) -> tuple[int | None, str | None]:
    """F and the type of the features; both None of a file without any. Raises ValueError for any other columns."""
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


_Place: TypeAlias = tuple[BatchView, int]
"""Where an image's regions lie: a record batch and the row in it."""
_Given: TypeAlias = tuple[BatchView, int, "RegionFile"]
"""The same of given boxes, and the file."""


def _open_files(folder: Path) -> list[RegionFile]:
    """The region files of a folder; raises RegionError unless one extractor made them all."""
    files = [RegionFile(path) for path in sorted(folder.glob("*.arrow"))]
    for file in files:
        if differs := file.difference(files[0]):
            raise RegionError(
                f"made in another way ({differs[0]}) than {files[0].path.name} ({differs[1]})",
                file=file.path,
                remedy=f"keep the files of one extractor and one kind of boxes in {folder} and extract the other "
                "images again",
            )
    return files


class _Source:
    """The files of one source; no image is in two of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = _open_files(folder)
        self.views = [view for file in self.files for view in file.views]
        self.ids = [image_id for view in self.views for image_id in view.ids]
        if len(set(self.ids)) < len(self.ids):
            self._refuse_twice()

    def _refuse_twice(self) -> None:
        owner: dict[str, Path] = {}
        for file in self.files:
            for image_id in (image_id for batch in file.views for image_id in batch.ids):
                if image_id in owner:
                    raise RegionError(
                        f"the image is also in {owner[image_id].name}",
                        file=file.path,
                        record=image_id,
                        remedy="remove one of the two files, or make one of both: twelve regions merge --help",
                    )
                owner[image_id] = file.path

    @cached_property
    def given(self) -> dict[str, list[_Given]]:
        """Where the regions of given boxes lie; datasets extracted at different times give several places."""
        index: dict[str, list[_Given]] = {}
        for file in _open_files(self.folder / GIVEN):
            if differs := file.difference(self.files[0], boxes=False):
                raise RegionError(
                    f"made by another extractor ({differs[0]}) than the detected regions ({differs[1]})",
                    file=file.path,
                    remedy="delete it and extract the given boxes again with the backbone of the detected ones",
                )
            for batch in file.views:
                for row, image_id in enumerate(batch.ids):
                    index.setdefault(image_id, []).append((batch, row, file))
        return index


class RegionStore:
    """Regions by image id, from ``<root>/<source>/*.arrow``.

    Pickling keeps the arguments alone: a worker maps the files itself and shares their pages.

    Args:
        data: the data root that the images lie in, for the commands that errors advise.
        recipes: image source -> how the model that uses the regions wants them made
            (:attr:`twelve.model.processor.TwelveProcessor.region_recipes`), for the same.
    """

    def __init__(
        self, root: str | Path, *, data: str | Path | None = None, recipes: Mapping[str, str] | None = None
    ) -> None:
        self.root, self.data, self.recipes = Path(root), data, dict(recipes or {})
        self._sources: dict[str, _Source] = {}
        self._feature_size: int | None = None
        self._feature_dtype = "float16"
        # Of the sources opened so far: record batches, the first row of each, rows by image id, and where they lie.
        self._views: list[BatchView] = []
        self._starts: list[int] = []
        self._rows: dict[str, int] = {}
        self._places = Places.joined([])
        self._files: list[RegionFile] = []
        self._memory = Memory()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "data": self.data, "recipes": self.recipes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"RegionStore({str(self.root)!r})"

    def sources(self) -> list[str]:
        """Names of the sources present, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(folder.name for folder in self.root.iterdir() if any(folder.glob("*.arrow")))

    def ids(self, source: str) -> list[str]:
        """Image ids of a source, in file order."""
        return list(self._open(source).ids)

    def fingerprint(self, source: str) -> str:
        """Of the extractor that made the features of ``source``."""
        return self._open(source).files[0].fingerprint

    def metadata(self, source: str) -> dict[str, str]:
        """What the extractor recorded in the first file of ``source``."""
        return dict(self._open(source).files[0].metadata)

    def made(self, source: str) -> tuple[Made, ...]:
        """How the regions of ``source`` were made: one way, unless merged files say several.

        Raises:
            RegionError: there are none, or what is recorded cannot be read.
        """
        return self._open(source).files[0].made

    @property
    def feature_size(self) -> int:
        """F, the same for every source opened.

        Raises:
            RegionError: there are no features here.
        """
        if self._feature_size is None:
            for source in self.sources():
                self._open(source)
                if self._feature_size is not None:
                    break
            else:
                raise RegionError("no region features here", file=self.root, remedy=f"run: {self.command('SOURCE')}")
        return self._feature_size

    def __contains__(self, image_id: str) -> bool:
        source = image_id.partition("/")[0]
        if source not in self._sources:
            if not self._holds(source):
                return False
            self._open(source)
        return image_id in self._rows

    def has_given(self, image_id: str) -> bool:
        """Whether regions of given boxes are here for an image."""
        return image_id in self and image_id in self._open(image_id.partition("/")[0]).given

    def get(self, image_id: str, max_regions: int | None = None, *, given: bool = False) -> Regions:
        """The regions of one image, as views of the map.

        Args:
            max_regions: only the first so many detected ones.
            given: the regions of boxes that datasets give follow after the detected ones, all of them (copies, and
                without scores and classes, if there are any).

        Raises:
            RegionError: the image is not here; names it, the folder and the command that extracts it.
        """
        place = self._find(image_id)
        self._files[int(self._places.table[0, place])].check_unchanged()
        batch, row = self._place(place)
        detected = first_regions(batch.regions(row), max_regions)
        return (
            joined([detected, *(view.regions(place) for view, place in self._given(image_id))]) if given else detected
        )

    def gather(self, image_ids: Sequence[str], max_regions: int | None = None, *, given: bool = False) -> RegionBatch:
        """The first ``max_regions`` regions of each image, padded, behind the global region.

        The global row is the mean of ALL the image's detected features, however many are kept.

        Args:
            given: the regions of boxes that datasets give follow after the detected ones, never cut.

        Raises:
            RegionError: an image is not here or has no features.
        """
        try:
            rows = np.array([self._rows[image_id] for image_id in image_ids], dtype=np.int64)
        except KeyError:  # of a source that is not open yet, or not here
            rows = np.array([self._find(image_id) for image_id in image_ids], dtype=np.int64)
        for number in set(self._places.table[0, rows].tolist()):
            self._files[number].check_unchanged()
        pieces: list[Piece] = []
        for image, image_id in enumerate(image_ids if given else ()):
            for view_, own in self._given(image_id):
                pieces.append((image, view_, view_.bounds[own], view_.bounds[own + 1]))
        size, places = self.feature_size, self._places
        means = {image: self._mean(int(rows[image])) for image in places.without_mean(rows)}
        return gathered(
            places,
            rows,
            max_regions,
            given=pieces,
            means=means,
            size=size,
            dtype=self._feature_dtype,
            memory=self._memory,
        )

    def _mean(self, row: int) -> Halves:
        """(F,) mean feature of an image whose file has none."""
        batch, own = self._place(row)
        if batch.features is None:
            raise self._no_features(batch.ids[own])
        return mean_feature(batch.features[batch.bounds[own] : batch.bounds[own + 1]], self.feature_size)

    def _given(self, image_id: str) -> list[_Place]:
        found = self._open(image_id.partition("/")[0]).given.get(image_id, [])
        for _, _, file in found:
            file.check_unchanged()
        return [(view, row) for view, row, _ in found]

    def _find(self, image_id: str) -> int:
        """The row of an image among all that are open."""
        row = self._rows.get(image_id)
        if row is None:
            source = image_id.partition("/")[0]
            self._open(source)
            row = self._rows.get(image_id)
            if row is None:
                raise RegionError(
                    f"no regions of image {image_id}", file=self.root / source, remedy=f"run: {self.command(source)}"
                )
        return row

    def _place(self, row: int) -> _Place:
        number = bisect_right(self._starts, row) - 1
        return self._views[number], row - self._starts[number]

    def _holds(self, source: str) -> bool:
        """Whether there are files of a source; one is a folder of the store, and none outside it."""
        return source not in ("", ".", "..") and any((self.root / source).glob("*.arrow"))

    def _open(self, source: str) -> _Source:
        if source in self._sources:
            return self._sources[source]
        folder = self.root / source
        if not self._holds(source):
            raise RegionError(
                f"no region files of source {source!r}{nearest(source, self.sources())}",
                file=folder,
                remedy=f"run: {self.command(source)}",
            )
        opened = _Source(folder)
        size, dtype = opened.files[0].feature_size, opened.files[0].feature_dtype
        if size is not None:
            if self._feature_size not in (None, size):
                raise RegionError(
                    f"features of size {size}, other sources have {self._feature_size}",
                    file=folder,
                    remedy="delete it and extract its images again with the backbone and levels of the others",
                )
            if self._feature_size is not None and self._feature_dtype != dtype:
                raise RegionError(
                    f"holds {dtype}, other sources {self._feature_dtype}",
                    file=folder,
                    remedy=f"delete it and extract its images again with --dtype {self._feature_dtype}",
                )
            self._feature_size, self._feature_dtype = size, str(dtype)
        self._enter(source, opened)
        self._sources[source] = opened
        return opened

    def _enter(self, source: str, opened: _Source) -> None:
        """Make the images of a source known."""
        first = len(self._places.scales)
        # An image is looked for in its own source alone.
        prefix = f"{source}/"
        self._rows.update((key, first + k) for k, key in enumerate(opened.ids) if key.startswith(prefix))
        for view_ in opened.views:
            self._views.append(view_)
            self._starts.append(first)
            first += len(view_.ids)
        self._files.extend(opened.files)
        self._places = Places.joined([self._places, *(Places.of(file.whole, file.views) for file in opened.files)])

    def _no_features(self, image_id: str) -> RegionError:
        source = image_id.partition("/")[0]
        return RegionError(
            "this file holds boxes without features",
            file=self.root / source,
            record=image_id,
            remedy=f"move it elsewhere and run: {self.command(source)}",
        )

    def command(
        self,
        source: str,
        *,
        like: Recipe | None = None,
        given: Sequence[str] = (),
        detected: bool = True,
        own: bool = False,
    ) -> str:
        """The command that makes the regions of a source: as ``like`` says, else as those that the source has were
        made, as the model wants them, or as those of other sources here were made.

        Args:
            given, detected, own: see :func:`twelve.regions.extract_command.extract_command`.
        """
        from twelve.regions.extract_command import extract_command, usual

        like = like or next(self._ways(source), None) or usual(self.data, bool(self.sources()))
        return extract_command(like, source, self.root, data=self.data, given=given, detected=detected, own=own)

    def _ways(self, source: str) -> Iterator[Recipe]:
        """Recipes that may tell how the regions of a source are to be made, the best first; what cannot be read is
        passed over, since something else is wrong already."""
        yield from self._recorded(source)
        with suppress(RegionError):
            yield from preferred(self.recipes, source)
        for other in self.sources():
            yield from self._recorded(other)

    def _recorded(self, source: str) -> Iterator[Recipe]:
        for path in sorted((self.root / source).glob("*.arrow")):
            with suppress(RegionError):
                file = RegionFile(path)
                yield from (made.recipe for made in file.made if made.recipe and file.feature_size is not None)


def normalise_boxes(boxes: NDArray[np.float32], width: float, height: float) -> torch.Tensor:
    """(R, 4) xyxy absolute pixels -> (R, 5) x1/W, y1/H, x2/W, y2/H, area fraction."""
    return torch.from_numpy(normalised(boxes[None], scales_of(np.array([[width, height]], dtype=np.float32)))[0])
