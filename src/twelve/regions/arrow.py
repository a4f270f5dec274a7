"""The table that region files hold: its columns, batches built from regions, and numpy views of batches.

A view never copies: list columns are flattened to one array for the whole batch and an image is a slice of it by its
offsets. Apache Arrow's columnar format fixes the layout that makes this possible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.regions.types import Regions

MAX_IMAGES = 256
"""Images in a record batch: few enough to lose little when killed, enough that opening a file is quick."""

CHECKSUM = b"blake2b"
"""Key of a batch's checksum in its own metadata."""

_INTEGER = np.dtype(np.int32)
_ROWS: dict[str, np.dtype[Any]] = {
    "boxes": np.dtype(np.float32),
    "features": np.dtype(np.float16),
    "class_probabilities": np.dtype(np.float16),
}
_ITEMS: dict[str, np.dtype[Any]] = {"scores": np.dtype(np.float32), "class_ids": np.dtype(np.int16)}


def schema(
    *,
    feature_size: int | None,
    scores: bool,
    class_ids: bool,
    class_probabilities: int | None = None,
    metadata: Mapping[str, str],
) -> pa.Schema:
    """Columns of a region file; what an extraction does not have is left out (``feature_size`` None: boxes only)."""
    fields = [("image_id", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    fields.append(("boxes", pa.list_(pa.list_(pa.float32(), 4))))
    if feature_size is not None:
        fields.append(("features", pa.list_(pa.list_(pa.float16(), feature_size))))
        fields.append(("mean", pa.list_(pa.float16(), feature_size)))
    if scores:
        fields.append(("scores", pa.list_(pa.float32())))
    if class_ids:
        fields.append(("class_ids", pa.list_(pa.int16())))
    if class_probabilities is not None:
        fields.append(("class_probabilities", pa.list_(pa.list_(pa.float16(), class_probabilities))))
    return pa.schema(fields, metadata=dict(metadata))


def record_batch(images: Sequence[Regions], schema: pa.Schema) -> pa.RecordBatch:
    """The batch of ``images`` under ``schema``; the mean feature (float32 arithmetic) is stored beside the regions."""
    offsets = np.zeros(len(images) + 1, dtype=np.int32)
    np.cumsum([len(image.boxes) for image in images], out=offsets[1:])

    def nested(name: str) -> pa.Array:
        dtype, size = _ROWS[name], schema.field(name).type.value_type.list_size
        rows = np.concatenate([np.asarray(getattr(i, name), dtype=dtype).reshape(-1, size) for i in images])
        return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), size))

    columns: list[pa.Array] = []
    for name in schema.names:
        if name == "image_id":
            columns.append(pa.array([image.image_id for image in images], pa.string()))
        elif name in ("width", "height"):
            columns.append(pa.array([getattr(image, name) for image in images], pa.int32()))
        elif name == "mean":
            size = schema.field(name).type.list_size
            means = np.stack([mean_feature(image.features, size) for image in images])
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(means.reshape(-1)), size))
        elif name in _ROWS:
            columns.append(nested(name))
        else:
            items = np.concatenate([np.asarray(getattr(image, name), dtype=_ITEMS[name]) for image in images])
            columns.append(pa.ListArray.from_arrays(offsets, pa.array(items)))
    return pa.record_batch(columns, schema=schema)


def mean_feature(features: NDArray[np.float16] | None, size: int) -> NDArray[np.float16]:
    """(F,) mean over the regions, summed in float32; zeros for an image without regions."""
    if features is None or not len(features):
        return np.zeros(size, dtype=np.float16)
    mean: NDArray[np.float16] = features.astype(np.float32).mean(axis=0).astype(np.float16)
    return mean


@dataclass(frozen=True, slots=True)
class BatchView:
    """Numpy views of one record batch: N regions of all its images, one after the other.

    Attributes:
        ids: image id of each row.
        extents: width and height of each image, pixels.
        bounds: region offsets; image k owns regions ``bounds[k]:bounds[k + 1]``.
        boxes: (N, 4) float32.
        features: (N, F) float16, or None.
        means: (I, F) float16, or None.
        scores, class_ids, class_probabilities: (N,), (N,), (N, C), or None.
    """

    ids: list[str]
    extents: list[tuple[int, int]]
    bounds: list[int]
    boxes: NDArray[np.float32]
    features: NDArray[np.float16] | None
    means: NDArray[np.float16] | None
    scores: NDArray[np.float32] | None
    class_ids: NDArray[np.int16] | None
    class_probabilities: NDArray[np.float16] | None

    def regions(self, row: int) -> Regions:
        """The image in ``row`` as views."""
        part = slice(self.bounds[row], self.bounds[row + 1])
        return Regions(
            image_id=self.ids[row],
            width=self.extents[row][0],
            height=self.extents[row][1],
            boxes=self.boxes[part],
            features=None if self.features is None else self.features[part],
            scores=None if self.scores is None else self.scores[part],
            class_ids=None if self.class_ids is None else self.class_ids[part],
            class_probabilities=None if self.class_probabilities is None else self.class_probabilities[part],
        )


def view(batch: pa.RecordBatch, path: Path, number: int) -> BatchView:
    """Numpy views of a record batch.

    Raises:
        RegionError: a column is missing, of another type, holds nulls, or its offsets do not fit; names the file.
    """
    record = f"record batch {number}"

    def bad(problem: str) -> RegionError:
        return RegionError(problem, file=path, record=record, remedy="extract these images again")

    def primitive(array: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
        if array.type != pa.from_numpy_dtype(dtype):
            raise bad(f"column {name} is of type {array.type}, not {dtype}")
        if array.null_count:
            raise bad(f"column {name} holds nulls")
        values: NDArray[Any] = array.to_numpy(zero_copy_only=True)
        return values

    def column(name: str) -> Any:
        if name not in batch.schema.names:
            raise bad(f"no column {name}")
        return batch.column(batch.schema.get_field_index(name))

    def fixed(array: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
        if not pa.types.is_fixed_size_list(array.type) or array.null_count:
            raise bad(f"column {name} is of type {array.type}, not fixed-size lists of {dtype}")
        return primitive(array.flatten(), dtype, name).reshape(len(array), array.type.list_size)

    bounds: NDArray[np.int32] | None = None

    def listed(name: str) -> Any:
        nonlocal bounds
        array = column(name)
        if not pa.types.is_list(array.type) or array.null_count:
            raise bad(f"column {name} is of type {array.type}, not lists")
        offsets = primitive(array.offsets, _INTEGER, name)
        if offsets[0] < 0 or np.any(np.diff(offsets) < 0) or offsets[-1] > len(array.values):
            raise bad(f"the offsets of column {name} are damaged")
        offsets = offsets - offsets[0]
        if bounds is not None and not np.array_equal(bounds, offsets):
            raise bad(f"column {name} has other counts than the boxes")
        bounds = offsets
        return array.values[int(array.offsets[0].as_py()) : int(array.offsets[-1].as_py())]

    present = set(batch.schema.names)
    boxes = fixed(listed("boxes"), _ROWS["boxes"], "boxes")
    if boxes.shape[1:] != (4,):
        raise bad("column boxes does not hold four numbers a box")
    optional: dict[str, NDArray[Any] | None] = {}
    for name in ("features", "class_probabilities"):
        optional[name] = fixed(listed(name), _ROWS[name], name) if name in present else None
    for name, dtype in _ITEMS.items():
        optional[name] = primitive(listed(name), dtype, name) if name in present else None
    assert bounds is not None
    try:
        ids = column("image_id").to_pylist()
    except UnicodeDecodeError as error:
        raise bad("the image ids are damaged") from error
    return BatchView(
        ids=ids,
        extents=list(zip(*(primitive(column(k), _INTEGER, k).tolist() for k in ("width", "height")), strict=True)),
        bounds=bounds.tolist(),
        boxes=boxes,
        means=fixed(column("mean"), _ROWS["features"], "mean") if "mean" in present else None,
        **optional,
    )


def checksum(batch: BatchView) -> str:
    """BLAKE2b over everything a batch holds, independent of how the file lays it out."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join(batch.ids).encode())
    digest.update(np.asarray(batch.bounds, dtype=np.int64).tobytes())
    widths, heights = np.asarray(batch.extents, dtype=_INTEGER).reshape(-1, 2).T
    columns: dict[str, NDArray[Any] | None] = {"widths": widths, "heights": heights}
    for name in ("boxes", "features", "means", "scores", "class_ids", "class_probabilities"):
        columns[name] = getattr(batch, name)
    for name, values in columns.items():
        digest.update(f"{name} {None if values is None else values.shape}".encode())
        if values is not None:
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
