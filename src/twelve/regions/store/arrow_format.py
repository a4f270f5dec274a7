"""The table in region files: its columns, batches built from regions, and numpy views of batches.

A view never copies: each list column is one array for the whole batch, and an image is a slice of it by its offsets.
Apache Arrow's columnar format guarantees this layout.
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

from twelve.errors import ConfigError, RegionError, nearest
from twelve.types.half_precision import DTYPES, Halves, as_float32, as_halves, dtype_of, feature_field
from twelve.types.regions import Regions

MAX_IMAGES = 256
"""Images per record batch: few enough to lose little when killed, enough to open a file quickly."""

CHECKSUM = b"blake2b"
"""Key of the checksum in a batch's metadata."""

_INTEGER = np.dtype(np.int32)
_ROWS: dict[str, np.dtype[Any]] = {
    "boxes": np.dtype(np.float32),
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
    feature_dtype: str = "float16",
) -> pa.Schema:
    """Columns of a region file; those that do not apply are left out.

    Args:
        feature_size: F; None for a file of boxes only.
        class_probabilities: number of classes, background included; None for none.
        feature_dtype: ``float16`` or ``bfloat16``, to which :func:`record_batch` rounds features.

    Raises:
        ConfigError: the dtype is unknown.
    """
    if feature_dtype not in DTYPES:
        raise ConfigError(
            f"features cannot be stored as {feature_dtype!r}{nearest(feature_dtype, DTYPES)}",
            remedy="choose float16 or bfloat16",
        )
    fields: list[Any] = [("image_id", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    fields.append(("boxes", pa.list_(pa.list_(pa.float32(), 4))))
    if feature_size is not None:
        row = pa.list_(pa.from_numpy_dtype(DTYPES[feature_dtype]), feature_size)
        fields.append(feature_field("features", pa.list_(row), feature_dtype))
        fields.append(feature_field("mean", row, feature_dtype))
    if scores:
        fields.append(("scores", pa.list_(pa.float32())))
    if class_ids:
        fields.append(("class_ids", pa.list_(pa.int16())))
    if class_probabilities is not None:
        fields.append(("class_probabilities", pa.list_(pa.list_(pa.float16(), class_probabilities))))
    return pa.schema(fields, metadata=dict(metadata))


def record_batch(images: Sequence[Regions], schema: pa.Schema) -> pa.RecordBatch:
    """The batch of ``images`` under ``schema``, with the mean feature of each, computed in float32."""
    offsets = np.zeros(len(images) + 1, dtype=np.int32)
    np.cumsum([len(image.boxes) for image in images], out=offsets[1:])

    def nested(name: str, rows: Sequence[NDArray[Any]]) -> pa.Array:
        size = schema.field(name).type.value_type.list_size
        flat = np.concatenate([own.reshape(-1, size) for own in rows]).reshape(-1)
        return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(pa.array(flat), size))

    def halves(image: Regions) -> Halves:
        assert image.features is not None and dtype is not None
        return as_halves(image.features, dtype)

    dtype = dtype_of(schema.field("features")) if "features" in schema.names else None
    columns: list[pa.Array] = []
    for name in schema.names:
        if name == "image_id":
            columns.append(pa.array([image.image_id for image in images], pa.string()))
        elif name in ("width", "height"):
            columns.append(pa.array([getattr(image, name) for image in images], pa.int32()))
        elif name == "mean":
            size = schema.field(name).type.list_size
            means = np.stack([mean_feature(halves(image), size) for image in images])
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(means.reshape(-1)), size))
        elif name == "features":
            columns.append(nested(name, [halves(image) for image in images]))
        elif name in _ROWS:
            columns.append(nested(name, [np.asarray(getattr(image, name), dtype=_ROWS[name]) for image in images]))
        else:
            items = np.concatenate([np.asarray(getattr(image, name), dtype=_ITEMS[name]) for image in images])
            columns.append(pa.ListArray.from_arrays(offsets, pa.array(items)))
    return pa.record_batch(columns, schema=schema)


def mean_feature(features: Halves, size: int) -> Halves:
    """(F,) mean over the regions, computed in float32; zeros for an image without regions."""
    dtype = next(name for name, stored in DTYPES.items() if stored == features.dtype)
    return as_halves(as_float32(features).mean(axis=0) if len(features) else np.zeros(size, dtype=np.float32), dtype)


@dataclass(frozen=True, slots=True)
class BatchView:
    """Numpy views of one record batch, with the N regions of all its images concatenated.

    Attributes:
        ids: image id of each row.
        extents: width and height of each image, pixels.
        bounds: region offsets; image k has regions ``bounds[k]:bounds[k + 1]``.
        boxes: (N, 4) float32.
        features: (N, F) float16, or the bits of bfloat16 (:mod:`twelve.types.half_precision`), or None.
        means: (I, F) likewise.
        scores, class_ids, class_probabilities: (N,), (N,), (N, C), or None.
    """

    ids: list[str]
    extents: list[tuple[int, int]]
    bounds: list[int]
    boxes: NDArray[np.float32]
    features: Halves | None
    means: Halves | None
    scores: NDArray[np.float32] | None
    class_ids: NDArray[np.int16] | None
    class_probabilities: NDArray[np.float16] | None

    def regions(self, row: int) -> Regions:
        """The image in ``row``, as views."""
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


class _Columns:
    """Numpy views of the columns of a record batch, each checked when it is taken.

    Attributes:
        bounds: region offsets, the same for all list columns that were taken; None before the first.
    """

    def __init__(self, batch: pa.RecordBatch, path: Path, number: int) -> None:
        self._batch, self._path, self._number = batch, path, number
        self.bounds: NDArray[np.int32] | None = None

    def bad(self, problem: str) -> RegionError:
        remedy = "delete this file and extract or import its images again"
        return RegionError(problem, file=self._path, record=f"record batch {self._number}", remedy=remedy)

    def __contains__(self, name: str) -> bool:
        return name in self._batch.schema.names

    def column(self, name: str) -> Any:
        if name not in self:
            raise self.bad(f"no column {name}")
        return self._batch.column(self._batch.schema.get_field_index(name))

    def halves(self, name: str) -> np.dtype[Any]:
        """The type that stores the numbers of a half-precision column."""
        return DTYPES[dtype_of(self._batch.schema.field(name)) or "float16"]

    def primitive(self, array: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
        if array.type != pa.from_numpy_dtype(dtype):
            raise self.bad(f"column {name} is of type {array.type}, not {dtype}")
        if array.null_count:
            raise self.bad(f"column {name} holds nulls")
        values: NDArray[Any] = array.to_numpy(zero_copy_only=True)
        return values

    def fixed(self, array: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
        """(rows, size) values of fixed-size lists."""
        if not pa.types.is_fixed_size_list(array.type) or array.null_count:
            raise self.bad(f"column {name} is of type {array.type}, not fixed-size lists of {dtype}")
        return self.primitive(array.flatten(), dtype, name).reshape(len(array), array.type.list_size)

    def listed(self, name: str) -> Any:
        """The values of a list column: those of all regions, concatenated."""
        array = self.column(name)
        if not pa.types.is_list(array.type) or array.null_count:
            raise self.bad(f"column {name} is of type {array.type}, not lists")
        offsets = self.primitive(array.offsets, _INTEGER, name)
        if offsets[0] < 0 or np.any(np.diff(offsets) < 0) or offsets[-1] > len(array.values):
            raise self.bad(f"the offsets of column {name} are damaged")
        values = array.values[int(offsets[0]) : int(offsets[-1])]
        offsets = offsets - offsets[0]
        if self.bounds is not None and not np.array_equal(self.bounds, offsets):
            raise self.bad(f"column {name} has other counts than the boxes")
        self.bounds = offsets
        return values

    def ids(self) -> list[str]:
        names = self.column("image_id")
        if names.type != pa.string() or names.null_count:
            raise self.bad(f"column image_id is of type {names.type} or holds nulls, not text alone")
        try:
            names.validate(full=True)  # checks the offsets of all names
            ids: list[str] = names.to_pylist()
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise self.bad("the image ids are damaged") from error
        if any("\0" in name for name in ids):  # which no file name can contain
            raise self.bad("the image ids are damaged")
        return ids


def view(batch: pa.RecordBatch, path: Path, number: int) -> BatchView:
    """Numpy views of a record batch.

    Raises:
        RegionError: a column is missing, has another type, contains nulls, or has invalid offsets.
    """
    columns = _Columns(batch, path, number)
    try:
        batch.validate()  # checks the lengths of buffers, which views rely on
    except pa.ArrowException as error:
        raise columns.bad(f"damaged ({error})") from error
    boxes = columns.fixed(columns.listed("boxes"), _ROWS["boxes"], "boxes")
    if boxes.shape[1:] != (4,):
        raise columns.bad("column boxes does not have four numbers per box")
    bounds = columns.bounds
    assert bounds is not None
    rows = {"class_probabilities": _ROWS["class_probabilities"]}
    if "features" in columns:
        rows["features"] = columns.halves("features")
    optional: dict[str, NDArray[Any] | None] = dict.fromkeys(("class_probabilities", "features", *_ITEMS))
    for name, dtype in rows.items():
        if name in columns:
            optional[name] = columns.fixed(columns.listed(name), dtype, name)
    for name, dtype in _ITEMS.items():
        if name in columns:
            optional[name] = columns.primitive(columns.listed(name), dtype, name)
    ids, features = columns.ids(), optional["features"]
    means = columns.fixed(columns.column("mean"), columns.halves("mean"), "mean") if "mean" in columns else None
    if means is not None and (
        features is None or (means.shape[1:], means.dtype) != (features.shape[1:], features.dtype)
    ):
        raise columns.bad("column mean does not fit the features")
    sides = [columns.primitive(columns.column(name), _INTEGER, name) for name in ("width", "height")]
    if any((side < 1).any() for side in sides):
        raise columns.bad("an image has no width or height")
    return BatchView(
        ids=ids,
        extents=list(zip(*(side.tolist() for side in sides), strict=True)),
        bounds=bounds.tolist(),
        boxes=boxes,
        means=means,
        **optional,
    )


def checksum(batch: BatchView) -> str:
    """BLAKE2b of all values of a batch, independent of their layout in the file."""
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
