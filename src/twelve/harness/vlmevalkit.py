"""VLMEvalKit's predictions: ``MODEL_DATASET.xlsx`` (``PRED_FORMAT``: or tsv, json), one answer a row.

Columns ``index``, ``question``, ``answer``, ``prediction`` and whatever the dataset has besides; the files of its
evaluation (``_results``, ``_detail``) have the same rows with scores. Its numbers are in ``MODEL_DATASET_acc.csv`` (or
json) beside them. Boxes are in ``bbox_x1`` ... ``bbox_y2`` in pixels, with ``width``, ``height`` and ``split``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twelve.errors import DataError
from twelve.formats.records import Record
from twelve.harness.boxes import LARGEST_FRACTION, found_in, overlap
from twelve.harness.tables import REMEDY, read_table, text_of
from twelve.types.logged import HarnessLog, Logged

NAME = "vlmevalkit"
_EVALUATED = ("_results", "_detail")
_SCORES = ("eval_score", "hit")
"""Columns of an evaluation that hold the score of a row."""
_CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
_THRESHOLD = 0.5


def dataset_of(path: Path) -> str:
    """The name of model and dataset, ``MODEL_DATASET``."""
    return _stem(path)


def read(path: Path, kinds: Sequence[HarnessLog]) -> tuple[HarnessLog, list[Logged]]:
    """The kind of a log and its answers, in file order.

    Raises:
        DataError: the table or a row is malformed.
    """
    found = [_answer(record, place) for place, record in enumerate(read_table(path))]
    if not found:
        raise DataError("contains no answers", file=path, remedy=REMEDY)
    return kinds[0], found


def name_of(row: Logged) -> str | None:
    """What the log calls the example of an answer: its ``index``."""
    return row.key or None


def told(path: Path, kind: HarnessLog) -> tuple[Path, float] | None:
    """The number that the harness itself wrote beside the log, per cent, and its file; None if it is not there, or
    counts several datasets."""
    for suffix in (".csv", ".json", ".xlsx"):
        file = path.with_name(f"{_stem(path)}_acc{suffix}")
        if file.is_file():
            rows = list(read_table(file))
            if len(rows) == 1 and kind.metric in rows[0].fields:
                return file, _number(rows[0], kind.metric)
    return None


def _stem(path: Path) -> str:
    stem = path.stem
    for ending in _EVALUATED:
        stem = stem.removesuffix(ending)
    return stem


def _answer(record: Record, place: int) -> Logged:
    doc = {name: record.fields[name] for name in record.fields}
    answer, prediction = text_of(record, "answer"), text_of(record, "prediction")
    boxes = all(text_of(record, key) for key in (*_CORNERS, "width", "height")) if _CORNERS[0] in doc else False
    for name, value in (("index", text_of(record, "index")), ("answer", answer or boxes)):
        if not value:  # an empty answer would equal an empty prediction
            raise record.error(f"column {name!r} is empty", REMEDY)
    doc |= {key: _number(record, key) for key in (*_CORNERS, "width", "height")} if boxes else {"answer": answer}
    score = next((name for name in _SCORES if name in doc), None)
    if score is not None:
        own = _number(record, score)
        if not 0 <= own <= 1:
            raise record.error(f"column {score!r} must be 0 to 1, found {own:g}", REMEDY)
    else:
        own = _hit(prediction, doc) if boxes else float(prediction.strip().lower() == answer.strip().lower())
    return Logged(
        place=str(record.place),
        position=place,
        key=text_of(record, "index"),
        text=text_of(record, "question"),
        prediction=prediction,
        own=own,
        doc=doc,
    )


def _hit(prediction: str, doc: Mapping[str, Any]) -> float:
    """What the harness gives for a box: its unit is chosen by its largest number, and it is clipped to the image."""
    box = found_in(prediction)
    if box is None:
        return 0.0
    wide, high = doc["width"], doc["height"]
    largest = max(map(abs, box))
    unit = 1.0 if largest <= LARGEST_FRACTION else 1000.0 if largest <= 1000 else None
    x = sorted(min(max(value if unit is None else value / unit * wide, 0), wide) for value in box[::2])
    y = sorted(min(max(value if unit is None else value / unit * high, 0), high) for value in box[1::2])
    return float(overlap((x[0], y[0], x[1], y[1]), [doc[key] for key in _CORNERS]) >= _THRESHOLD)


def _number(record: Record, key: str) -> float:
    try:
        return Record({key: float(text_of(record, key))}, record.file, record.place).number(key)
    except ValueError:
        raise record.error(f"column {key!r} must hold a number, found {text_of(record, key)!r}", REMEDY) from None
