"""lmms-eval's samples: ``--log_samples`` writes ``DATE_samples_TASK.jsonl``, one answer a line::

    {"doc_id": 0, "target": "white", "filtered_resps": "White.", "input": "What color is the fence?\\nAnswer the ...",
     "exact_match": 1.0, "doc_hash": "...", "token_counts": [...]}

Releases up to 0.3.5 also write ``doc``, the example without its image, and ``filtered_resps`` as a list; 0.5.0 to 0.7.3
leave ``doc`` out. Where a metric is about boxes, its value holds them instead of a score::

    "refcoco_ACC@0.5": {"answer": "the left man", "pred": [0.1, 0.2, 0.5, 0.9], "ann_id": "469306", "bbox": [...]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twelve.errors import DataError
from twelve.formats.records import Record, describe, finite, read_lines, read_object
from twelve.formats.results import mended_by
from twelve.harness.boxes import overlap
from twelve.types.logged import HarnessLog, Logged

NAME = "lmms-eval"
REMEDY = "give the samples that lmms-eval logs, DATE_samples_TASK.jsonl, one JSON object a line"
_FILE = re.compile(r"(?P<date>.*)_samples_(?P<task>.+)\.jsonl")
_THRESHOLD = 0.5


def dataset_of(path: Path) -> str:
    """The harness's name of the data, from the file's name; "" if it does not say."""
    match = _FILE.fullmatch(path.name)
    return match["task"] if match else ""


def read(path: Path, kinds: Sequence[HarnessLog]) -> tuple[HarnessLog, list[Logged]]:
    """The kind of a log and its answers, in file order.

    Raises:
        DataError: a line is malformed, or the log has none of the metrics.
    """
    found: list[Logged] = []
    kind: HarnessLog | None = None
    with mended_by(path, REMEDY):
        for record in read_lines(path):
            kind = kind or next((each for each in kinds if each.metric in record.fields), None)
            if kind is None:
                metrics = " or ".join(each.metric for each in kinds)
                raise record.error(f"expected the metric {metrics}, found {', '.join(record.fields)}", REMEDY)
            found += _answers(record, kind)
    if kind is None:
        raise DataError("contains no answers", file=path, remedy=REMEDY)
    return kind, found


def name_of(row: Logged) -> int | None:
    """What the log calls the example of an answer: its place in the data, ``doc_id``."""
    return row.position


def told(path: Path, kind: HarnessLog) -> tuple[Path, float] | None:
    """The number that the harness itself wrote beside the log, per cent, and its file; None if it is not there."""
    match = _FILE.fullmatch(path.name)
    file = path.with_name(f"{match['date']}_results.json") if match else None
    if match is None or file is None or not file.is_file():
        return None
    results = read_object(file).fields.get("results")
    metrics = results.get(match["task"]) if isinstance(results, Mapping) else None
    value = metrics.get(f"{kind.metric},none") if isinstance(metrics, Mapping) else None
    return (file, 100 * float(value)) if finite(value) and value is not None else None


def _answers(record: Record, kind: HarnessLog) -> Iterator[Logged]:
    """The answer of a line, once for each of the sentences that it answers."""
    doc: dict[str, Any] = {"target": record.fields.get("target")}
    doc |= record.record("doc").fields if "doc" in record.fields else {}
    value = record.fields.get(kind.metric)
    if isinstance(value, Mapping):
        boxes = record.record(kind.metric)
        doc |= boxes.fields
        own = float(overlap(boxes.numbers("bbox", 4), boxes.numbers("pred", 4)) >= _THRESHOLD)
    else:
        own = record.number(kind.metric)
        if not 0 <= own <= 1:
            raise record.error(f"field {kind.metric!r} must be 0 to 1, found {own}")
    key = next((str(doc[name]) for name in ("question_id", "id") if isinstance(doc.get(name), str | int)), "")
    texts = doc["answer"] if isinstance(doc.get("answer"), list) and "bbox" in doc else [_asked(record, doc)]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise record.error(f"expected the sentences of an object, found {describe(texts)}")
    position = record.integer("doc_id") if "doc_id" in record.fields else None
    if position is not None and position < 0:
        raise record.error(f"field 'doc_id' must be 0 or more, found {position}")
    for number, text in enumerate(texts):
        yield Logged(
            place=str(record.place),
            position=position,
            key=key,
            text=text,
            prediction=_prediction(record),
            own=own if number == 0 else None,
            doc=doc,
        )


def _asked(record: Record, doc: Mapping[str, Any]) -> str:
    """What was asked: a sentence, a question, or the prompt that holds it."""
    if "bbox" in doc:
        return str(doc.get("answer", ""))
    if isinstance(doc.get("question"), str):
        return str(doc["question"])
    return record.text("input") if "input" in record.fields else ""


def _prediction(record: Record) -> str:
    value = record.fields.get("filtered_resps")
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise record.error(f"field 'filtered_resps' must hold one answer, found {describe(value)}")
    return value
