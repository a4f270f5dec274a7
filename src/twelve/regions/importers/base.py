"""What every format of region files is read as: records, each decoded only when it is wanted."""

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
from twelve.formats.pickles import UnsafePickle, load_pickle


class BadRecord(ValueError):
    """A record that cannot be used; says why. The import goes on without it."""


def unpickled(content: bytes) -> Any:
    """The value of a pickle of plain containers and arrays of numbers; raises BadRecord for any other."""
    try:
        return load_pickle(content, arrays=True)
    except UnsafePickle as error:
        raise BadRecord(f"a pickle that is not plain: {error}") from None


@dataclass(frozen=True, slots=True)
class Found:
    """The regions of one image as a file has them, not checked yet.

    Attributes:
        width, height: of the image, pixels.
        boxes: (R, 4) xyxy, absolute pixels; fractions of the image where all are within 0..1.
        features: (R, F).
        scores: (R,) or None.
        class_ids: (R,) detector class, the background not counted, or None.
        class_probabilities: (R, 1 + classes) with the background's column first, or None.
    """

    width: Any
    height: Any
    boxes: NDArray[Any]
    features: NDArray[Any]
    scores: NDArray[Any] | None = None
    class_ids: NDArray[Any] | None = None
    class_probabilities: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One image's entry in a file.

    Attributes:
        label: names it in messages.
        key: the image, as the file names it.
        load: decodes it; raises BadRecord.
        steps: how much of the file's ``total`` it is.
    """

    label: str
    key: str
    load: Callable[[], Found]
    steps: int = 1


class Origin(Protocol):
    """A file, or a folder of files, with regions.

    Attributes:
        format: its name, as ``--format`` has it.
        total: steps that all records are together.
        unit: of a step.
    """

    format: str
    total: int
    unit: str

    def records(self) -> Iterator[Record | tuple[str, str]]:
        """Every record, in an order that never changes; in place of one that has not even a name (label, reason)."""
        ...

    def close(self) -> None:
        """Let go of the files."""
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
    """The value of the first of these names that is there; raises BadRecord if none is."""
    value = optional(fields, names)
    if value is None:
        raise BadRecord(f"no {' or '.join(names[:3])} in it")
    return value


def optional(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of these names that is there, or None."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def from_fields(fields: Mapping[str, Any]) -> Found:
    """A record that is a dict of arrays, or of their base64 text; raises BadRecord.

    Arrays in base64 carry no shape: boxes are float32 with four numbers a row, and features float32 with as many rows.
    ``num_boxes`` is ignored, as ViLBERT's reader does: detectors keep rows beyond it.
    """
    boxes = _table(first_of(fields, BOXES), None, 4)
    rows = len(boxes) if boxes.ndim else 0
    features = _table(first_of(fields, FEATURES), rows, None)
    probabilities = optional(fields, CLASS_PROBABILITIES)
    class_ids, scores = optional(fields, CLASS_IDS), optional(fields, SCORES)
    # A known slip of the original script: one class too few, all of them shifted. The probabilities have them.
    slipped = class_ids is not None and np.shape(class_ids) != (rows,)
    return Found(
        width=first_of(fields, WIDTHS),
        height=first_of(fields, HEIGHTS),
        boxes=boxes,
        features=features,
        scores=None if scores is None else array(scores),
        class_ids=None if class_ids is None or slipped else array(class_ids),
        class_probabilities=None if probabilities is None else _table(probabilities, rows, None),
    )


def array(value: Any) -> NDArray[Any]:
    """``value`` as an array; raises BadRecord if it is none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BadRecord(f"no array ({error})") from None


def _table(value: Any, rows: int | None, columns: int | None) -> NDArray[Any]:
    """A field that should have these rows or columns: base64, or an array, perhaps written as one long row."""
    if isinstance(value, (str, bytes)):
        return float32_text(value, rows, columns)
    table = array(value)
    if table.ndim != 1 or not table.size:
        return table
    return _folded(table, rows, columns)


def float32_text(text: str | bytes, rows: int | None, columns: int | None) -> NDArray[Any]:
    """(rows, columns) float32 from base64; one of the two may be None. Raises BadRecord."""
    return _folded(decoded(text, np.dtype("<f4")), rows, columns)


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
    """Numbers from base64; raises BadRecord when it is cut or is none."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadRecord(f"not base64 ({error})") from None
    if len(raw) % dtype.itemsize:
        raise BadRecord(f"{len(raw)} bytes are not numbers of {dtype.itemsize} bytes")
    return np.frombuffer(raw, dtype=dtype)


def library(name: str, path: Path) -> Any:
    """An optional library, imported now; raises RegionError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RegionError(
            f"reading this needs the package {name}", file=path, remedy="pip install 'twelve[import]'"
        ) from None
