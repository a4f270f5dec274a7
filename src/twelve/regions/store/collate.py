"""From memory-mapped regions to the padded tensors of a batch.

The place and the number of regions are found for all images of a batch at once; each image is then one copy from a
slice of the mapped file to a slice of the batch. The slices are memoryviews of bytes: for small features, slicing numpy
arrays or calling ``memmove`` costs more than the copy itself.

Axes: I images, R regions (the global one included), F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.regions.store.arrow_format import BatchView
from twelve.regions.store.memory import Memory
from twelve.types.half_precision import DTYPES, Halves
from twelve.types.regions import RegionBatch

NOWHERE = -1
"""Offset of data that a file does not contain."""

_WHOLE = np.array((0, 0, 1, 1, 1), dtype=np.float32)
_FOUR = np.dtype("V16")
_BOX = np.dtype([("corners", _FOUR), ("area", np.float32)])
"""A row of the boxes of a batch."""

Piece: TypeAlias = tuple[int, BatchView, int, int]
"""An image's index in the batch, and the regions ``start:stop`` of a record batch to append to it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the regions of N images are in mapped files.

    Attributes:
        maps: the bytes of the files.
        table: (5, N) int64: index of the map; number of regions; offsets in the map of the first region's box, its
            features, and the mean feature.
        scales: (N, 4) float32 factors that turn pixels into fractions: 1/W, 1/H, 1/W, 1/H.
        incomplete: the file of at least one image has no mean feature.
    """

    maps: tuple[memoryview, ...]
    table: NDArray[np.int64]
    scales: NDArray[np.float32]
    incomplete: bool

    @classmethod
    def of(cls, whole: memoryview, views: Sequence[BatchView]) -> Places:
        """The images in the record batches of one file."""
        start = _address(np.frombuffer(whole, dtype=np.uint8))
        tables = [np.empty((5, 0), dtype=np.int64)]
        for view in views:
            bounds = np.array(view.bounds, dtype=np.int64)
            first, rows = bounds[:-1], np.arange(len(view.ids), dtype=np.int64)
            parts = ((view.boxes, first), (view.features, first), (view.means, rows))
            offsets = [_offsets(array, where, start) for array, where in parts]
            tables.append(np.stack([np.zeros_like(first), np.diff(bounds), *offsets]))
        extents = np.array([size for view in views for size in view.extents], dtype=np.float32).reshape(-1, 2)
        table = np.concatenate(tables, axis=1)
        return cls((whole,), table, scales_of(extents), bool((table[4] == NOWHERE).any()))

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """Concatenate several sets of images."""
        tables, maps = [np.empty((5, 0), dtype=np.int64)], list[memoryview]()
        for part in parts:
            tables.append(part.table.copy())
            tables[-1][0] += len(maps)
            maps.extend(part.maps)
        scales = [np.empty((0, 4), dtype=np.float32), *(part.scales for part in parts)]
        incomplete = any(part.incomplete for part in parts)
        return cls(tuple(maps), np.concatenate(tables, axis=1), np.concatenate(scales), incomplete)

    def without_mean(self, rows: NDArray[np.int64]) -> list[int]:
        """Indices of those rows whose file has no mean feature."""
        return np.flatnonzero(self.table[4, rows] == NOWHERE).tolist() if self.incomplete else []


def _offsets(array: NDArray[Any] | None, rows: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Offsets of rows of a contiguous array from the address ``start``."""
    if array is None:
        return np.full(len(rows), NOWHERE, dtype=np.int64)
    return _address(array) - start + rows * array.strides[0]


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def gathered(
    places: Places,
    rows: NDArray[np.int64],
    most: int | None,
    *,
    given: Sequence[Piece],
    means: Mapping[int, Halves],
    size: int,
    dtype: str,
    memory: Memory,
) -> RegionBatch:
    """The batch of the images in ``rows``: the mean of all regions, the first ``most`` regions, and the ``given`` ones.

    Args:
        means: index in the batch -> mean feature, for images whose file has none.
        size, dtype: of the features.
        memory: allocates the features.
    """
    files, kept, boxes_at, features_at, means_at = places.table[:, rows]
    if most is not None:
        kept = np.minimum(kept, most)
    counts = kept + 1
    for image, _, start, stop in given:
        counts[image] += stop - start
    images, longest = len(rows), int(counts.max(initial=1))
    stored = DTYPES[dtype]
    whole = memory.take(images * longest * size * stored.itemsize)
    raw = whole.numpy()
    features = raw.view(stored).reshape(images, longest, size)
    corners = np.zeros((images, longest, 4), dtype=np.float32)
    step, box = size * features.itemsize, 4 * corners.itemsize
    maps = [places.maps[number] for number in files.tolist()]
    first = np.arange(0, images * longest, longest, dtype=np.int64)
    out = _bytes(raw)
    _copy(out, first * step, maps, means_at, np.where(means_at == NOWHERE, 0, step) if means else np.full(images, step))
    _copy(out, (first + 1) * step, maps, features_at, kept * step)
    _copy(_bytes(corners), (first + 1) * box, maps, boxes_at, kept * box)
    for image, mean in means.items():
        features[image, 0] = mean
    if given:
        _append(features, corners, kept + 1, given)
    for image in np.flatnonzero(counts < longest).tolist():
        features[image, counts[image] :] = 0
    boxes = normalised(corners, places.scales[rows])
    boxes[:, 0] = _WHOLE
    # The result refers to what the memory tracks, so that both live equally long.
    tensor = whole.view(getattr(torch, dtype)).view(images, longest, size)
    return RegionBatch(tensor, torch.from_numpy(boxes), torch.from_numpy(counts))


def _bytes(array: NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def _copy(
    out: memoryview,
    places: NDArray[np.int64],
    maps: Sequence[memoryview],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Copy ``sizes`` bytes from the offset in each map to each place."""
    ends, origins = (places + sizes).tolist(), (offsets + sizes).tolist()
    for place, end, there, offset, origin in zip(places.tolist(), ends, maps, offsets.tolist(), origins, strict=True):
        out[place:end] = there[offset:origin]


def _append(
    features: NDArray[Any], corners: NDArray[np.float32], filled: NDArray[np.int64], given: Sequence[Piece]
) -> None:
    """Append regions of given boxes to the detected ones; ``filled`` is each image's number of rows."""
    for image, view, start, stop in given:
        place = slice(int(filled[image]), int(filled[image]) + stop - start)
        features[image, place] = view.features[start:stop]  # type: ignore[index]
        corners[image, place] = view.boxes[start:stop]
        filled[image] += stop - start


def scales_of(extents: NDArray[np.float32]) -> NDArray[np.float32]:
    """(I, 2) width and height -> (I, 4) 1/W, 1/H, 1/W, 1/H."""
    scales: NDArray[np.float32] = np.reciprocal(np.concatenate((extents, extents), axis=1))
    return scales


def normalised(corners: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """(I, R, 4) xyxy pixels, (I, 4) scales -> (I, R, 5) fractions and the area fraction."""
    count, rows = corners.shape[:2]
    boxes = np.empty(count * rows, dtype=_BOX)
    # Four numbers are handled as one of 16 bytes: numpy is slow if the innermost axis is as short as a box.
    fractions = scales.view(_FOUR)[:, 0].repeat(rows).view(np.float32).reshape(-1, 4)
    fractions *= corners.reshape(-1, 4)
    boxes["corners"] = fractions.view(_FOUR)[:, 0]
    x1, y1, x2, y2 = fractions.T
    np.multiply(x2 - x1, y2 - y1, out=boxes["area"])
    return boxes.view(np.float32).reshape(count, rows, 5)
