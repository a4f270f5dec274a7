"""The common form of all formats of region files: records, each decoded only when it is needed."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.extras import install
from twelve.formats.pickles import UnsafePickle, load_pickle


class BadRecord(ValueError):
    """An invalid record, which the import skips."""


def unpickled(content: bytes) -> Any:
    """The value of a pickle of plain containers and arrays of numbers; raises BadRecord for any other."""
    try:
        return load_pickle(content, arrays=True)
    except UnsafePickle as error:
        raise BadRecord(f"a pickle that is not plain: {error}") from None


@dataclass(frozen=True, slots=True)
class RawRegions:
    """The regions of one image as a file contains them, before any check. Shapes and types are those expected;
    :class:`twelve.regions.importers.converting.Converter` turns them into :class:`twelve.types.regions.Regions`.

    Attributes:
        width, height: of the image, pixels.
        boxes: (R, 4) xyxy, absolute pixels, or fractions of the image if all are within 0..1.
        features: (R, F).
        scores: (R,) or None.
        class_ids: (R,) detector class, background not counted, or None.
        class_probabilities: (R, 1 + classes), background first, or None.
    """

    width: Any
    height: Any
    boxes: NDArray[Any]
    features: NDArray[Any]
    scores: NDArray[Any] | None = None
    class_ids: NDArray[Any] | None = None
    class_probabilities: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image's entry in a file.

    Attributes:
        label: identifies it in messages.
        key: the image's name in the file.
        load: decodes it; raises BadRecord.
        steps: its share of the file's ``total``.
    """

    label: str
    key: str
    load: Callable[[], RawRegions]
    steps: int = 1


class RegionSource(Protocol):
    """A file, or a folder of files, with regions.

    Attributes:
        format: its name, a value of ``--format``.
        total: sum of the steps of all records.
        unit: of a step.
    """

    format: str
    total: int
    unit: str

    def records(self) -> Iterator[ImageRecord | tuple[str, str]]:
        """All records in a fixed order; (label, reason) instead of a record without a name."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


WIDTHS = ("image_w", "image_width", "img_w", "width")
HEIGHTS = ("image_h", "image_height", "img_h", "height")
BOXES = ("boxes", "bbox", "bboxes", "bbs", "image_bb", "pred_boxes")
FEATURES = ("features", "image_features", "img_features", "roi_features")
SCORES = ("objects_conf", "obj_conf", "scores", "conf")
CLASS_IDS = ("objects_id", "obj_id", "objects", "class_ids", "classes")
CLASS_PROBABILITIES = ("cls_prob", "class_probabilities")
KEYS = ("image_id", "img_id", "image_ids", "img_ids", "ids")
COUNTS = ("num_boxes", "objectsNum", "counts", "num_objects")


def first_of(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first name in ``fields``; raises BadRecord if there is none."""
    value = optional(fields, names)
    if value is None:
        raise BadRecord(f"no {' or '.join(names[:3])} in it")
    return value


def optional(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first name in ``fields``, or None."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def from_fields(fields: Mapping[str, Any]) -> RawRegions:
    """Read a record that is a dict of arrays or of their base64 text; raises BadRecord.

    base64 text has no shape: boxes are float32 with four numbers per row, features are float32 with as many rows.
    ``num_boxes`` is ignored, as in ViLBERT's reader, because detectors write rows beyond it.
    """
    boxes = _table(first_of(fields, BOXES), None, 4)
    rows = len(boxes) if boxes.ndim else 0
    features = _table(first_of(fields, FEATURES), rows, None)
    probabilities = optional(fields, CLASS_PROBABILITIES)
    class_ids, scores = optional(fields, CLASS_IDS), optional(fields, SCORES)
    # A known mistake of the original script: one class too few, and all shifted. The probabilities are right.
    slipped = class_ids is not None and np.shape(class_ids) != (rows,)
    return RawRegions(
        width=first_of(fields, WIDTHS),
        height=first_of(fields, HEIGHTS),
        boxes=boxes,
        features=features,
        scores=None if scores is None else array(scores),
        class_ids=None if class_ids is None or slipped else array(class_ids),
        class_probabilities=None if probabilities is None else _table(probabilities, rows, None),
    )


def array(value: Any) -> NDArray[Any]:
    """``value`` as an array; raises BadRecord if it cannot be one."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BadRecord(f"no array ({error})") from None


def _table(value: Any, rows: int | None, columns: int | None) -> NDArray[Any]:
    """A field with so many rows or columns: base64, or an array, possibly flattened."""
    if isinstance(value, (str, bytes)):
        return _folded(decoded(value, np.dtype("<f4")), rows, columns)
    table = array(value)
    if table.ndim != 1 or not table.size:
        return table
    return _folded(table, rows, columns)


def _folded(numbers: NDArray[Any], rows: int | None, columns: int | None) -> NDArray[Any]:
    known = columns if rows is None else rows
    if not known:
        if len(numbers):
            raise BadRecord("numbers without rows")
        return numbers.reshape(0, 0)
    if len(numbers) % known:
        raise BadRecord(f"{len(numbers)} numbers are not {known} {'columns' if rows is None else 'rows'}")
    return numbers.reshape(-1, known) if rows is None else numbers.reshape(known, -1)


def decoded(text: str | bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode numbers from base64; raises BadRecord if the text is truncated or invalid."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadRecord(f"not base64 ({error})") from None
    if len(raw) % dtype.itemsize:
        raise BadRecord(f"{len(raw)} bytes are not numbers of {dtype.itemsize} bytes")
    return np.frombuffer(raw, dtype=dtype)


def library(name: str, path: Path) -> Any:
    """Import an optional library; raises RegionError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RegionError(f"reading this needs the package {name}", file=path, remedy=install("import")) from None
