"""The region store: every image's regions, memory-mapped and shared by all workers.

``<root>/<source>/*.arrow`` holds the images of a source, ``<root>/<source>/given/*.arrow`` the regions of boxes that
datasets give for them. A source is opened at its first use and stays open; nothing of the features is read before a
batch asks for it.
"""

from __future__ import annotations

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
        views: one :class:`~twelve.regions.arrow.BatchView` per record batch.
        feature_size: F, or None for a boxes-only file.

    Raises:
        RegionError: the file is truncated, damaged, compressed or not a region file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
        for v in self.views:
            if v.features is not None and v.features.nbytes:
                address = v.features.__array_interface__["data"][0]
                if not whole.address <= address < whole.address + whole.size:
                    raise RegionError("compressed features", file=path, remedy="write the file without compression")

    @property
    def fingerprint(self) -> str:
        """Of the extractor; two files may share a source only if theirs are equal."""
        return self.metadata.get("fingerprint", "" if self.feature_size is not None else BOXES_ONLY)

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
        first = files[0]
        if file.fingerprint != first.fingerprint or file.feature_size != first.feature_size:
            raise RegionError(
                f"made by another extractor ({file.fingerprint}) than {first.path.name} ({first.fingerprint})",
                file=file.path,
                remedy=f"keep the files of one extractor in {folder} and extract the other images again",
            )
    return files


class _Source:
    """The files of one source and where each image lies in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = _open_files(folder)
        self.index: dict[str, _Place] = {}
        owner: dict[str, Path] = {}
        for file in self.files:
            for batch in file.views:
                for row, image_id in enumerate(batch.ids):
                    if image_id in owner:
                        raise RegionError(
                            f"the image is also in {owner[image_id].name}",
                            file=file.path,
                            record=image_id,
                            remedy="remove one of the two files",
                        )
                    owner[image_id] = file.path
                    self.index[image_id] = (batch, row)

    @cached_property
    def given(self) -> dict[str, list[_Place]]:
        """Where the regions of given boxes lie; datasets extracted at different times give several places."""
        index: dict[str, list[_Place]] = {}
        for file in _open_files(self.folder / GIVEN):
            if file.fingerprint != self.files[0].fingerprint:
                raise RegionError(
                    f"made by another extractor ({file.fingerprint}) than the detected regions "
                    f"({self.files[0].fingerprint})",
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
        return list(self._open(source).index)

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
        if source not in self._sources and not any((self.root / source).glob("*.arrow")):
            return False
        return image_id in self._open(source).index

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
        batch, row = self._find(image_id)
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
        found = [self._find(image_id) for image_id in image_ids]
        parts = [[_slice(place, max_regions)] for place in found]
        if given:
            for own, image_id in zip(parts, image_ids, strict=True):
                own.extend(_slice(place) for place in self._given(image_id))
        counts = np.array([sum(stop - start for _, start, stop in own) for own in parts], dtype=np.int64)
        rows, size = int(counts.max(initial=0)) + 1, self.feature_size
        features = torch.empty((len(found), rows, size), dtype=torch.float16)
        # One row a region, so that an image is one slice here as it is there.
        out = features.numpy().reshape(-1, size)
        corners = np.zeros((len(found) * rows, 4), dtype=np.float32)
        for first, own, (batch, row) in zip(range(0, len(out), rows), parts, found, strict=True):
            out[first] = self._mean(batch, row)
            place = first + 1
            for there, start, stop in own:
                if there.features is None:
                    raise self._no_features(batch.ids[row])
                after = place + stop - start
                out[place:after] = there.features[start:stop]
                corners[place:after] = there.boxes[start:stop]
                place = after
            out[place : first + rows] = 0
        extents = np.array([batch.extents[row] for batch, row in found], dtype=np.float32).reshape(-1, 2)
        boxes = _normalised(corners.reshape(-1, rows, 4), extents)
        boxes[:, 0] = (0.0, 0.0, 1.0, 1.0, 1.0)
        return RegionBatch(features, torch.from_numpy(boxes), torch.from_numpy(counts + 1))

    def _mean(self, batch: BatchView, row: int) -> NDArray[np.float16]:
        """(F,) mean of all the image's features."""
        if batch.means is not None:
            mean: NDArray[np.float16] = batch.means[row]
            return mean
        if batch.features is None:
            raise self._no_features(batch.ids[row])
        return mean_feature(batch.features[batch.bounds[row] : batch.bounds[row + 1]], self.feature_size)

    def _given(self, image_id: str) -> list[_Place]:
        return self._open(image_id.partition("/")[0]).given.get(image_id, [])

    def _find(self, image_id: str) -> _Place:
        source = image_id.partition("/")[0]
        opened = self._sources.get(source) or self._open(source)
        place = opened.index.get(image_id)
        if place is None:
            raise RegionError(
                f"no regions of image {image_id}", file=self.root / source, remedy=self._command(source)
            ) from None
        return place

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
        size = opened.files[0].feature_size
        if size is not None:
            if self._feature_size not in (None, size):
                raise RegionError(
                    f"features of size {size}, other sources have {self._feature_size}",
                    file=folder,
                    remedy="extract all sources with the same backbone and levels",
                )
            self._feature_size = size
        self._sources[source] = opened
        return opened

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


def _slice(place: _Place, most: int | None = None) -> tuple[BatchView, int, int]:
    """The record batch of an image and its (first ``most``) regions in it."""
    batch, row = place
    start, stop = batch.bounds[row], batch.bounds[row + 1]
    return batch, start, stop if most is None else min(stop, start + most)


def _normalised(corners: NDArray[np.float32], extents: NDArray[np.float32]) -> NDArray[np.float32]:
    """(I, R, 4) xyxy pixels, (I, 2) width and height -> (I, R, 5) fractions and the area fraction."""
    count, rows = corners.shape[:2]
    # Long contiguous loops: numpy is slow where the innermost axis is as short as a box.
    fractions = (corners.reshape(count, rows * 4) * np.tile(1 / extents, 2 * rows)).reshape(count * rows, 4)
    boxes = np.empty((count * rows, 5), dtype=np.float32)
    boxes[:, :4] = fractions
    x1, y1, x2, y2 = fractions.T
    np.multiply(x2 - x1, y2 - y1, out=boxes[:, 4])
    return boxes.reshape(count, rows, 5)


def normalise_boxes(boxes: NDArray[np.float32], width: float, height: float) -> torch.Tensor:
    """(R, 4) xyxy absolute pixels -> (R, 5) x1/W, y1/H, x2/W, y2/H, area fraction."""
    return torch.from_numpy(_normalised(boxes[None], np.array([[width, height]], dtype=np.float32))[0])
