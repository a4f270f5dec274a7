"""What an evaluation keeps of single predictions, for the report: a file in the run's folder.

One JSON object a line, at most :data:`KEPT` examples a task, drawn once at random and not by how well they went.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from twelve.formats.records import Record, describe, finite, read_lines, writable
from twelve.formats.results import mended_by
from twelve.io import files
from twelve.types.examples import Box, Example

if TYPE_CHECKING:
    from twelve.outputs.alignment import RetrievalScores
    from twelve.outputs.base import Prediction

KEPT = 200
"""Examples of a task that are kept."""
BEST = 5
"""Best images of a caption that are kept, and best values of any prediction."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One example and what was predicted for it.

    Attributes:
        kind: of the task's output; it decides what ``target``, ``value`` and ``alternatives`` are.
        target: what is right (Example.target); for a retrieval caption the id of its own image.
        value: what was predicted; for a retrieval caption the id of the best image.
        score: of ``value``, in 0..1; for retrieval the alignment logit.
        alternatives: the best values with their scores, best first.
        right: what the example contributes to the headline number, 0..1.
        candidates: boxes among which ``target`` and ``value`` are indices (xyxy pixels), or none.
        options: texts among which ``target`` and ``value`` are indices, or none.
        rank: place of the right image among the gallery's, from 1, ties counted against the model; else None.
    """

    task: str
    kind: str
    split: str
    id: str
    text: str
    images: tuple[str, ...]
    target: Any
    value: Any
    score: float
    alternatives: tuple[tuple[Any, float], ...]
    right: float
    candidates: tuple[Box, ...] = ()
    options: tuple[str, ...] = ()
    rank: int | None = None


def drawn(count: int, kept: int = KEPT, seed: int = 0) -> list[int]:
    """Rows of ``kept`` of ``count`` examples, drawn at random, the same whenever ``count`` and ``seed`` are."""
    return [int(row) for row in np.random.default_rng(seed).permutation(count)[:kept]]


def decoded(
    task: str,
    kind: str,
    split: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    right: NDArray[np.float64],
) -> list[Recorded]:
    """Records of an output that answers example by example; ``right`` (N,) is aligned with ``examples``."""
    records = []
    for row in drawn(len(examples)):
        example, prediction = examples[row], predictions[row]
        records.append(
            Recorded(
                task=task,
                kind=kind,
                split=split,
                id=example.id,
                text=example.text,
                images=example.images,
                target=example.target,
                value=prediction.value,
                score=float(prediction.score),
                alternatives=tuple((value, float(score)) for value, score in prediction.alternatives[:BEST]),
                right=float(right[row]),
                candidates=example.candidates,
                options=example.options,
            )
        )
    return records


def ranked(
    task: str,
    kind: str,
    split: str,
    captions: Sequence[Example],
    scores: RetrievalScores,
    right: NDArray[np.float64],
) -> list[Recorded]:
    """Records of captions whose gallery was ranked: the best images and the place of the right one.

    ``scores`` has a row and ``right`` an entry for each of ``captions``, in their order.
    """
    records = []
    for row in drawn(len(captions)):
        line, own = scores.scores[row], int(scores.target[row])
        order = np.argsort(-line, kind="stable")[:BEST]
        best = tuple((scores.image_ids[column], float(line[column])) for column in order)
        records.append(
            Recorded(
                task=task,
                kind=kind,
                split=split,
                id=captions[row].id,
                text=captions[row].text,
                images=captions[row].images,
                target=scores.image_ids[own],
                value=best[0][0],
                score=best[0][1],
                alternatives=best,
                right=float(right[row]),
                rank=int(np.sum(line >= line[own])),
            )
        )
    return records


def write(path: Path, records: Sequence[Recorded]) -> Path:
    """Write records, one a line; what stood there before stays until all are written."""
    with files.replacing(path) as partial, open(partial, "w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(asdict(record), ensure_ascii=False, default=_plain) + "\n")
    return path


def read(path: Path) -> dict[str, list[Recorded]]:
    """Records by task, in the file's order.

    Raises:
        DataError: the file cannot be read or a line is not a record; names the line.
    """
    found: dict[str, list[Recorded]] = {}
    with mended_by(path, "measure the run again: twelve evaluate RUN"):
        for row in read_lines(path):
            record = _record(row)
            found.setdefault(record.task, []).append(record)
    return found


def _record(row: Record) -> Recorded:
    """A record from its line, lists back to tuples."""
    surplus = row.fields.keys() - {field.name for field in fields(Recorded)}
    kind = row.identifier("kind")
    if surplus or kind not in _VALUES:
        raise row.error(f"no prediction of this program: {describe(min(surplus) if surplus else kind)}")
    candidates = tuple(_box(row, box) for box in row.items("candidates"))
    options = tuple(row.strings("options")) if "options" in row.fields else ()
    alternatives = []
    for pair in row.items("alternatives"):
        if not isinstance(pair, list) or len(pair) != 2 or not finite(pair[1]):
            raise row.error(f"alternatives are values with scores, found {describe(pair)}")
        alternatives.append((_value(row, kind, pair[0]), float(pair[1])))
    target = row.fields[row.one_of("target")]
    answers = isinstance(target, Mapping) and all(map(finite, target.values()))
    return Recorded(
        **{key: row.text(key) for key in ("task", "split", "id", "text")},
        kind=kind,
        images=tuple(row.strings("images")),
        target=target if target is None or (kind == "answer" and answers) else _value(row, kind, target),
        value=_value(row, kind, row.fields[row.one_of("value")]),
        score=row.number("score"),
        alternatives=tuple(alternatives),
        right=row.number("right"),
        candidates=candidates,
        options=options,
        rank=None if row.fields.get("rank") is None else row.integer("rank"),
    )


_VALUES: Mapping[str, tuple[type, ...]] = {
    "answer": (str,),
    "alignment": (str,),
    "pretraining": (str,),
    "region": (int, list),
    "pair": (bool,),
    "entailment": (str,),
    "truth": (bool,),
    "reply": (str,),
    "options": (int,),
}
"""Kind of output -> what its values are in JSON."""


def _value(row: Record, kind: str, value: Any) -> Any:
    if type(value) not in _VALUES[kind] or (isinstance(value, str) and not writable(value)):
        raise row.error(f"found {describe(value)}, which is no value of kind {kind}")
    if isinstance(value, int) and not isinstance(value, bool):
        count = len(row.items("options" if kind == "options" else "candidates"))
        if not 0 <= value < count:
            raise row.error(f"{describe(value)} is none of {count}, counted from 0")
    return _box(row, value) if isinstance(value, list) else value


def _box(row: Record, value: object) -> Box:
    return cast(Box, Record({"box": value}, row.file, row.place).numbers("box", 4))


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
