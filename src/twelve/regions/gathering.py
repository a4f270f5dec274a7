"""From memory-mapped regions to the padded tensors of a batch.

For every image only its address and its count are looked up, for all images of a batch at once; each image is then one
``memmove``. Slicing numpy arrays instead costs more than the copy itself where features are small.

Axes: I images, R regions (the global one included), F features.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from ctypes import memmove, memset
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.regions.arrow import BatchView
from twelve.regions.halves import DTYPES, as_tensor
from twelve.regions.types import RegionBatch

NOWHERE = -1
"""Address of what a file does not have."""

Piece: TypeAlias = tuple[int, BatchView, int, int]
"""An image's place in the batch, and the regions ``start:stop`` of a record batch that it gets."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the regions of images lie in memory; one entry an image, N of them.

    Whoever holds this also holds the record batches that the addresses point into.

    Attributes:
        counts: (N,) int64 regions.
        boxes, features, means: (N,) int64 addresses of the first region's box and features, and of the mean feature.
        extents: (N, 2) float32 width and height, pixels.
    """

    counts: NDArray[np.int64]
    boxes: NDArray[np.int64]
    features: NDArray[np.int64]
    means: NDArray[np.int64]
    extents: NDArray[np.float32]

    @classmethod
    def of(cls, view: BatchView) -> Places:
        """The images of one record batch."""
        bounds = np.array(view.bounds, dtype=np.int64)
        first, rows = bounds[:-1], np.arange(len(view.ids), dtype=np.int64)
        return cls(
            counts=np.diff(bounds),
            boxes=_addresses(view.boxes, first),
            features=_addresses(view.features, first),
            means=_addresses(view.means, rows),
            extents=np.array(view.extents, dtype=np.float32).reshape(-1, 2),
        )

    @classmethod
    def none(cls) -> Places:
        """No image."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing, np.empty((0, 2), dtype=np.float32))

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """The images of several, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def _addresses(array: NDArray[Any] | None, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Addresses of some rows of a contiguous array."""
    if array is None:
        return np.full(len(rows), NOWHERE, dtype=np.int64)
    return _address(array) + rows * array.strides[0]


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def gathered(
    places: Places, rows: NDArray[np.int64], most: int | None, given: Sequence[Piece], size: int, dtype: str
) -> RegionBatch:
    """The batch of the images in ``rows``: their first ``most`` regions behind the mean of all, then ``given`` ones.

    Args:
        size, dtype: of the features; every image has such features, and a mean.
    """
    kept = places.counts[rows]
    if most is not None:
        kept = np.minimum(kept, most)
    counts = kept + 1
    for image, _, start, stop in given:
        counts[image] += stop - start
    longest = int(counts.max(initial=1))
    # numpy asks the system for huge pages, torch does not: half the time of a large batch.
    features = np.empty((len(rows), longest, size), dtype=DTYPES[dtype])
    corners = np.zeros((len(rows), longest, 4), dtype=np.float32)
    step, box = features.strides[1], corners.strides[1]
    order = np.arange(len(rows), dtype=np.int64)
    first = _address(features) + order * (longest * step)
    _copy(first, places.means[rows], np.full(len(rows), step))
    _copy(first + step, places.features[rows], kept * step)
    _copy(_address(corners) + box + order * (longest * box), places.boxes[rows], kept * box)
    _append(features, corners, kept + 1, given)
    if len(rows) and int(counts.min()) < longest:
        _clear(first + counts * step, (longest - counts) * step)
    boxes = normalised(corners, places.extents[rows])
    boxes[:, 0] = (0.0, 0.0, 1.0, 1.0, 1.0)
    return RegionBatch(as_tensor(features), torch.from_numpy(boxes), torch.from_numpy(counts))


def _copy(to: NDArray[np.int64], where: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    """Copy ``sizes`` bytes from each address of ``where`` to that of ``to``."""
    deque(map(memmove, to.tolist(), where.tolist(), sizes.tolist()), maxlen=0)


def _clear(where: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    deque(map(memset, where.tolist(), [0] * len(where), sizes.tolist()), maxlen=0)


def _append(
    features: NDArray[Any], corners: NDArray[np.float32], filled: NDArray[np.int64], given: Sequence[Piece]
) -> None:
    """Put the regions of given boxes behind the detected ones; ``filled`` counts an image's rows."""
    for image, view, start, stop in given:
        place = slice(int(filled[image]), int(filled[image]) + stop - start)
        features[image, place] = view.features[start:stop]  # type: ignore[index]
        corners[image, place] = view.boxes[start:stop]
        filled[image] += stop - start


def normalised(corners: NDArray[np.float32], extents: NDArray[np.float32]) -> NDArray[np.float32]:
    """(I, R, 4) xyxy pixels, (I, 2) width and height -> (I, R, 5) fractions and the area fraction."""
    count, rows = corners.shape[:2]
    # Long contiguous loops: numpy is slow where the innermost axis is as short as a box.
    fractions = (corners.reshape(count, rows * 4) * np.tile(1 / extents, 2 * rows)).reshape(count * rows, 4)
    boxes = np.empty((count * rows, 5), dtype=np.float32)
    boxes[:, :4] = fractions
    x1, y1, x2, y2 = fractions.T
    np.multiply(x2 - x1, y2 - y1, out=boxes[:, 4])
    return boxes.reshape(count, rows, 5)
