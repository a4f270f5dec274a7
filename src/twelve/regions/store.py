"""The region store: every image's regions, memory-mapped and shared by all workers.

``<root>/<source>/*.arrow`` holds the images of a source, ``<root>/<source>/given/*.arrow`` the regions of boxes that
datasets give for them. A source is opened at its first use and stays open; nothing of the features is read before a
batch asks for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from twelve.errors import RegionError, nearest
from twelve.regions.arrow import CHECKSUM, BatchView, mean_feature, view
from twelve.regions.gathering import Piece, Places, gathered, normalised, scales_of
from twelve.regions.halves import Halves, dtype_of
from twelve.regions.memory import Memory
from twelve.regions.types import RegionBatch, Regions, first_regions, joined

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
        views: one :class:`~twelve.regions.arrow.BatchView` per record batch.
        feature_size: F, or None for a boxes-only file.
        feature_dtype: ``float16`` or ``bfloat16``.

    Raises:
        RegionError: the file is truncated, damaged, compressed or not a region file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            problem = "is a folder" if path.is_dir() else "is a pipe or a device"
            raise RegionError(f"{problem}, no region file", file=path, remedy="name a region file")
        remedy = f"if it was copied, copy it again; else delete it and extract {path.parent.name} again"
        try:
            with pa.memory_map(str(path)) as source:
                whole = source.read_buffer()
            self._reader = pa.ipc.open_file(whole)
            batches = [self._reader.get_batch(k) for k in range(self._reader.num_record_batches)]
        except FileNotFoundError as error:
            raise RegionError("no such file", file=path, remedy="check the path") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RegionError(f"truncated or not an Arrow file ({error})", file=path, remedy=remedy) from error
        self.metadata: dict[str, str] = {
            k.decode(): v.decode() for k, v in (self._reader.schema.metadata or {}).items()
        }
        self.views = [view(batch, path, k) for k, batch in enumerate(batches)]
        names = self._reader.schema.names
        self.feature_size = (
            int(self._reader.schema.field("features").type.value_type.list_size) if "features" in names else None
        )
        self.feature_dtype = dtype_of(self._reader.schema.field("features")) if "features" in names else None
        self.whole = memoryview(whole).cast("B")
        for v in self.views:
            for array in (v.features, v.means, v.boxes) if v.features is not None else ():
                address = 0 if array is None else array.__array_interface__["data"][0]
                if array is not None and array.nbytes and not 0 <= address - whole.address < whole.size:
                    raise RegionError("compressed features", file=path, remedy="write the file without compression")

    @property
    def schema(self) -> pa.Schema:
        """Columns of the file."""
        return self._reader.schema

    @property
    def fingerprint(self) -> str:
        """Of the extractor; two files may share a source only if theirs are equal."""
        return self.metadata.get("fingerprint", "" if self.feature_size is not None else BOXES_ONLY)

    def difference(self, other: RegionFile) -> tuple[str, str] | None:
        """The first thing, of this file and of the other, that keeps them from being of one source; None if nothing."""
        pairs = (
            (self.fingerprint, other.fingerprint),
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
            recorded.append(None if value is None else value.decode())
        return recorded

    def __iter__(self) -> Iterator[Regions]:
        """Every image in file order."""
        for batch in self.views:
            for row in range(len(batch.ids)):
                yield batch.regions(row)

    def __len__(self) -> int:
        return sum(len(batch.ids) for batch in self.views)


_Place: TypeAlias = tuple[BatchView, int]
"""Where an image's regions lie: a record batch and the row in it."""


def _open_files(folder: Path) -> list[RegionFile]:
    """The region files of a folder; raises RegionError unless one extractor made them all."""
    files = [RegionFile(path) for path in sorted(folder.glob("*.arrow"))]
    for file in files:
        if differs := file.difference(files[0]):
            raise RegionError(
                f"made by another extractor ({differs[0]}) than {files[0].path.name} ({differs[1]})",
                file=file.path,
                remedy=f"keep the files of one extractor in {folder} and extract the other images again",
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
    def given(self) -> dict[str, list[_Place]]:
        """Where the regions of given boxes lie; datasets extracted at different times give several places."""
        index: dict[str, list[_Place]] = {}
        for file in _open_files(self.folder / GIVEN):
            if differs := file.difference(self.files[0]):
                raise RegionError(
                    f"made by another extractor ({differs[0]}) than the detected regions ({differs[1]})",
                    file=file.path,
                    remedy="delete it and extract the given boxes again with the backbone of the detected ones",
                )
            for batch in file.views:
                for row, image_id in enumerate(batch.ids):
                    index.setdefault(image_id, []).append((batch, row))
        return index


class RegionStore:
    """Regions by image id, from ``<root>/<source>/*.arrow``.

    Pickling keeps the root alone: a worker maps the files itself and shares their pages.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._sources: dict[str, _Source] = {}
        self._feature_size: int | None = None
        self._feature_dtype = "float16"
        # Of the sources opened so far: record batches, the first row of each, rows by image id, and where they lie.
        self._views: list[BatchView] = []
        self._starts: list[int] = []
        self._rows: dict[str, int] = {}
        self._places = Places.joined([])
        self._memory = Memory()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"])  # type: ignore[misc]

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
                raise RegionError("no region features here", file=self.root, remedy=self._command("SOURCE"))
        return self._feature_size

    def __contains__(self, image_id: str) -> bool:
        source = image_id.partition("/")[0]
        if source not in self._sources:
            if not any((self.root / source).glob("*.arrow")):
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
        batch, row = self._place(self._find(image_id))
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
        return self._open(image_id.partition("/")[0]).given.get(image_id, [])

    def _find(self, image_id: str) -> int:
        """The row of an image among all that are open."""
        row = self._rows.get(image_id)
        if row is None:
            source = image_id.partition("/")[0]
            self._open(source)
            row = self._rows.get(image_id)
            if row is None:
                raise RegionError(
                    f"no regions of image {image_id}", file=self.root / source, remedy=self._command(source)
                )
        return row

    def _place(self, row: int) -> _Place:
        number = bisect_right(self._starts, row) - 1
        return self._views[number], row - self._starts[number]

    def _open(self, source: str) -> _Source:
        if source in self._sources:
            return self._sources[source]
        folder = self.root / source
        if not any(folder.glob("*.arrow")):
            raise RegionError(
                f"no region files of source {source!r}{nearest(source, self.sources())}",
                file=folder,
                remedy=self._command(source),
            )
        opened = _Source(folder)
        size, dtype = opened.files[0].feature_size, opened.files[0].feature_dtype
        if size is not None:
            if self._feature_size not in (None, size):
                raise RegionError(
                    f"features of size {size}, other sources have {self._feature_size}",
                    file=folder,
                    remedy="extract all sources with the same backbone and levels",
                )
            if self._feature_size is not None and self._feature_dtype != dtype:
                raise RegionError(
                    f"holds {dtype}, other sources {self._feature_dtype}",
                    file=folder,
                    remedy="write all sources with one --dtype",
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
        self._places = Places.joined([self._places, *(Places.of(file.whole, file.views) for file in opened.files)])

    def _no_features(self, image_id: str) -> RegionError:
        source = image_id.partition("/")[0]
        return RegionError(
            "this file holds boxes without features",
            file=self.root / source,
            record=image_id,
            remedy=f"move it elsewhere and give it as --boxes to: {self._command(source)}",
        )

    def _command(self, source: str) -> str:
        return f"run: twelve regions extract --images images/{source} --boxes grid --backbone NAME --out {self.root}"


def normalise_boxes(boxes: NDArray[np.float32], width: float, height: float) -> torch.Tensor:
    """(R, 4) xyxy absolute pixels -> (R, 5) x1/W, y1/H, x2/W, y2/H, area fraction."""
    return torch.from_numpy(normalised(boxes[None], scales_of(np.array([[width, height]], dtype=np.float32)))[0])
