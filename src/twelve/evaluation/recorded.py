"""Single predictions that an evaluation keeps for the report: a file in the run's folder.

One JSON object a line, at most :data:`KEPT` examples a task, drawn at random once, whether they are right or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from twelve.errors import quoted
from twelve.formats.records import Record, describe, finite, read_lines, writable
from twelve.formats.results import mended_by
from twelve.io import files
from twelve.outputs import OUTPUTS, Output
from twelve.types.examples import Box, Example
from twelve.types.predictions import Prediction, RecordedPrediction

if TYPE_CHECKING:
    from twelve.outputs.alignment import RetrievalScores

KEPT = 200
"""Examples of a task that are kept."""
BEST = 5
"""Best images of a caption that are kept, and best values of any prediction."""


def drawn(count: int, kept: int = KEPT, seed: int = 0) -> list[int]:
    """Rows of ``kept`` of ``count`` examples, drawn at random, the same for the same ``count`` and ``seed``."""
    return [int(row) for row in np.random.default_rng(seed).permutation(count)[:kept]]


def decoded(
    task: str,
    kind: str,
    split: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    right: NDArray[np.float64],
) -> list[RecordedPrediction]:
    """Predictions of an output that decodes each example; ``right`` (N,) is aligned with ``examples``."""
    return [
        RecordedPrediction(
            task,
            kind,
            split,
            id=example.id,
            text=example.text,
            images=example.images,
            target=example.target,
            value=prediction.value,
            score=float(prediction.confidence),
            alternatives=tuple((value, float(score)) for value, score in prediction.alternatives[:BEST]),
            right=float(right[row]),
            candidates=example.candidates,
            options=example.options,
        )
        for row in drawn(len(examples))
        for example, prediction in [(examples[row], predictions[row])]
    ]


def ranked(
    task: str,
    kind: str,
    split: str,
    captions: Sequence[Example],
    scores: RetrievalScores,
    right: NDArray[np.float64],
) -> list[RecordedPrediction]:
    """The best images of captions whose gallery was ranked, and the rank of the right one.

    ``scores`` has a row and ``right`` an entry for each of ``captions``, in their order.
    """
    found = []
    for row in drawn(len(captions)):
        caption, line, own = captions[row], scores.scores[row], int(scores.target[row])
        order = np.argsort(-line, kind="stable")[:BEST]
        best = tuple((scores.image_ids[column], float(line[column])) for column in order)
        found.append(
            RecordedPrediction(
                task,
                kind,
                split,
                id=caption.id,
                text=caption.text,
                images=caption.images,
                target=scores.image_ids[own],
                value=best[0][0],
                score=best[0][1],
                alternatives=best,
                right=float(right[row]),
                rank=int(np.sum(line >= line[own])),
            )
        )
    return found


def write(path: Path, predictions: Sequence[RecordedPrediction]) -> Path:
    """Write predictions, one per line; an earlier file is replaced once all are written."""
    with files.replacing(path) as partial, open(partial, "w", encoding="utf-8") as stream:
        for prediction in predictions:
            stream.write(json.dumps(asdict(prediction), ensure_ascii=False, default=_plain) + "\n")
    return path


def read(path: Path) -> dict[str, list[RecordedPrediction]]:
    """Predictions by task, in the file's order.

    Raises:
        DataError: the file cannot be read, or a line is not a prediction; names the line.
    """
    found: dict[str, list[RecordedPrediction]] = {}
    with mended_by(path, f"measure the run again: twelve evaluate {quoted(path.parent)}"):
        for row in read_lines(path):
            prediction = _prediction(row)
            found.setdefault(prediction.task, []).append(prediction)
    return found


def _prediction(row: Record) -> RecordedPrediction:
    """The prediction of a line, with tuples instead of lists."""
    surplus = row.fields.keys() - {field.name for field in fields(RecordedPrediction)}
    kind = row.identifier("kind")
    if surplus or kind not in OUTPUTS:
        raise row.error(f"no prediction of this program: {describe(min(surplus) if surplus else kind)}")
    output = OUTPUTS[kind]
    alternatives = []
    for pair in row.items("alternatives"):
        if not isinstance(pair, list) or len(pair) != 2 or not finite(pair[1]):
            raise row.error(f"alternatives are values with scores, found {describe(pair)}")
        alternatives.append((_value(row, output, pair[0]), float(pair[1])))
    target = row.fields[row.one_of("target")]
    graded = output.graded and isinstance(target, Mapping) and all(map(finite, target.values()))
    return RecordedPrediction(
        **{key: row.text(key) for key in ("task", "split", "id", "text")},
        kind=kind,
        images=tuple(row.strings("images")),
        target=target if target is None or graded else _value(row, output, target),
        value=_value(row, output, row.fields[row.one_of("value")]),
        score=row.number("score"),
        alternatives=tuple(alternatives),
        right=row.number("right"),
        candidates=tuple(_box(row, box) for box in row.items("candidates")),
        options=tuple(row.strings("options")) if "options" in row.fields else (),
        rank=None if row.fields.get("rank") is None else row.integer("rank"),
    )


def _value(row: Record, output: Output, value: Any) -> Any:
    """A value of an output, checked against what it declares."""
    if type(value) not in output.values or (isinstance(value, str) and not writable(value)):
        raise row.error(f"found {describe(value)}, which is not a value of kind {output.kind}")
    if output.index_of is not None and isinstance(value, int) and not isinstance(value, bool):
        count = len(row.items(output.index_of))
        if not 0 <= value < count:
            raise row.error(f"{describe(value)} is none of {count}, counted from 0")
    if isinstance(value, int | float) and not finite(value + 0):
        raise row.error(f"found {describe(value)}, which is not finite")
    return _box(row, value) if isinstance(value, list) else value


def _box(row: Record, value: object) -> Box:
    return cast(Box, Record({"box": value}, row.file, row.place).numbers("box", 4))


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
