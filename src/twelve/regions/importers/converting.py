"""Checks the regions in a file and converts them to those of the store.

Batches add a global region, the mean of all regions. Some files contain it already, as their first row. A first row
whose box is the whole image (or 0, 0, 1, 1) and whose features are the mean of the others is therefore dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from twelve.regions.importers.base import BadRecord, RawRegions
from twelve.types.half_precision import as_halves
from twelve.types.regions import Regions

ClassProbabilities: TypeAlias = Literal["none", "keep", "foreground"]
"""How class probabilities are stored: not at all; as they are, background first (the target of ViLBERT's
pretraining); or without the background's column, with each row divided by its sum."""

_LIMIT = float(np.finfo(np.float16).max)
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape that all images of a file share.

    Attributes:
        features: F.
        scores, class_ids: whether there are any.
        class_probabilities: number of columns stored, or None.
        handling: of class probabilities.
        dtype: of stored features.
    """

    features: int
    scores: bool
    class_ids: bool
    class_probabilities: int | None
    handling: ClassProbabilities
    dtype: str

    @classmethod
    def of(cls, samples: Iterable[RawRegions], handling: ClassProbabilities, dtype: str) -> Shape | None:
        """The most common shape among some images; None if there are none."""
        seen: Counter[tuple[int, bool, bool, int | None]] = Counter()
        for found in samples:
            rows = np.shape(found.features)
            if len(rows) == 2 and rows[0]:
                known = found.class_probabilities is not None
                classes = np.shape(found.class_probabilities) if found.class_probabilities is not None else ()
                columns = int(classes[-1]) if handling != "none" and len(classes) == 2 else None
                scores, ids = known or found.scores is not None, known or found.class_ids is not None
                seen[int(rows[1]), scores, ids, columns] += 1
        if not seen:
            return None
        features, scores, ids, columns = max(seen, key=lambda shape: seen[shape])
        kept = None if columns is None else columns - (handling == "foreground")
        return cls(features, scores, ids, kept, handling, dtype)


@dataclass(slots=True)
class Converter:
    """Converts the records of one file.

    Attributes:
        counts: changes in the last record: ``clamped`` numbers beyond float16's range, ``global rows`` dropped, images
            whose boxes were ``fractions``, images ``without regions``.
    """

    shape: Shape
    counts: Counter[str] = field(default_factory=Counter)

    def regions(self, image_id: str, found: RawRegions) -> Regions:
        """The regions of an image; raises BadRecord if they are invalid."""
        self.counts = Counter()
        width, height = _extent(found.width, "width"), _extent(found.height, "height")
        boxes = _table(found.boxes, "boxes", 4)
        features = _table(found.features, "features", self.shape.features)
        if len(boxes) != len(features):
            raise BadRecord(f"{len(boxes)} boxes and {len(features)} rows of features")
        if len(boxes) and width > 2 and height > 2 and boxes.min() >= 0 and boxes.max() <= 1:
            boxes = boxes * np.array([width, height, width, height], dtype=np.float32)
            self.counts["fractions"] = 1
        probabilities = self._probabilities(found, len(boxes))
        scores, class_ids = self._classes(found, probabilities, len(boxes))
        start = int(_is_global(boxes, features, width, height))
        self.counts["global rows"] = start
        if len(boxes) == start:
            self.counts["without regions"] = 1
        return Regions(
            image_id=image_id,
            width=width,
            height=height,
            boxes=boxes[start:],
            features=self._halves(features[start:]),
            scores=scores[start:] if self.shape.scores else None,
            class_ids=class_ids[start:] if self.shape.class_ids else None,
            class_probabilities=self._kept(probabilities[start:]) if self.shape.class_probabilities else None,
        )

    def _halves(self, features: NDArray[np.float32]) -> Any:
        if self.shape.dtype == "float16":
            self.counts["clamped"] = int(np.count_nonzero(np.abs(features) > _LIMIT))
            features = np.clip(features, -_LIMIT, _LIMIT)
        return as_halves(features, self.shape.dtype)

    def _probabilities(self, found: RawRegions, rows: int) -> NDArray[np.float32]:
        """(R, 1 + classes), background first; (R, 1) zeros if the file has none."""
        if found.class_probabilities is None:
            if self.shape.class_probabilities is not None and rows:
                raise BadRecord("no class probabilities, which other records have")
            return np.zeros((rows, 1), dtype=np.float32)
        columns = self.shape.class_probabilities
        full = None if columns is None else columns + (self.shape.handling == "foreground")
        values = _table(found.class_probabilities, "class probabilities", full)
        if len(values) != rows or (rows and values.shape[1] < 2):
            raise BadRecord(f"class probabilities of shape {values.shape} for {rows} boxes")
        if values.size and (values.min() < 0 or values.max() > 1.001):
            raise BadRecord("class probabilities outside 0..1")
        return values

    def _kept(self, probabilities: NDArray[np.float32]) -> NDArray[np.float16]:
        columns = self.shape.class_probabilities or 0
        if not len(probabilities):
            return np.zeros((0, columns), dtype=np.float16)
        if self.shape.handling == "foreground":
            rest = probabilities[:, 1:]
            probabilities = rest / np.maximum(rest.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return probabilities.astype(np.float16)

    def _classes(self, found: RawRegions, probabilities: NDArray[np.float32], rows: int) -> tuple[Any, Any]:
        """(R,) scores and classes: those of the best class if there are probabilities, else those in the file."""
        if found.class_probabilities is not None and rows:
            best = probabilities[:, 1:].argmax(axis=1)
            return probabilities[np.arange(rows), best + 1], best.astype(np.int16)
        scores = class_ids = None
        if self.shape.scores:
            scores = _column(found.scores, "scores", rows, np.float32)
            if not np.isfinite(scores).all():
                raise BadRecord("scores that are not finite numbers")
        if self.shape.class_ids:
            class_ids = _column(found.class_ids, "class ids", rows, np.int64)
            if rows and (class_ids.min() < 0 or class_ids.max() > np.iinfo(np.int16).max):
                raise BadRecord("class ids out of range")
            class_ids = class_ids.astype(np.int16)
        return scores, class_ids


def _extent(value: Any, name: str) -> int:
    try:
        pixels = int(np.asarray(value).reshape(()))
    except (TypeError, ValueError, OverflowError):
        raise BadRecord(f"{name}: not a number") from None
    if not 0 < pixels <= _LARGEST:
        raise BadRecord(f"{name}: {pixels} pixels")
    return pixels


def _table(values: Any, name: str, columns: int | None) -> NDArray[np.float32]:
    """(R, columns) finite float32; an empty array has no rows."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise BadRecord(f"{name} that are not numbers")
    if not array.size and (array.ndim < 2 or not len(array)):
        return np.zeros((0, columns or 0), dtype=np.float32)
    if array.ndim != 2 or (columns is not None and array.shape[1] != columns):
        raise BadRecord(f"{name} of shape {array.shape}, not (regions, {columns or 'columns'})")
    with np.errstate(over="ignore"):
        table: NDArray[np.float32] = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(table).all():
        raise BadRecord(f"{name} that are not finite numbers")
    return table


def _column(values: Any, name: str, rows: int, dtype: Any) -> NDArray[Any]:
    if values is None and rows:
        raise BadRecord(f"no {name}, which other records have")
    array = np.asarray([] if values is None else values)
    if array.shape != (rows,) or (rows and array.dtype.kind not in "fiu"):
        raise BadRecord(f"{name} of shape {array.shape} for {rows} boxes")
    return array.astype(dtype)


def _is_global(boxes: NDArray[np.float32], features: NDArray[np.float32], width: int, height: int) -> bool:
    """Whether the first row is the mean of the others, with the whole image as its box."""
    if len(boxes) < 2:
        return False
    whole = (0, 0, width, height)
    if not any(np.allclose(boxes[0], box, rtol=0, atol=0.5) for box in (whole, (0, 0, width - 1, height - 1))) and not (
        np.array_equal(boxes[0], (0, 0, 1, 1))
    ):
        return False
    mean = features[1:].mean(axis=0, dtype=np.float64)
    return bool(np.abs(features[0] - mean).max() <= 1e-3 * max(float(np.abs(mean).max()), 1e-6))
