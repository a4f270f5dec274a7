"""Three-way accuracy for SNLI-VE: all classes together and each alone (there is no official program)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.data.records import Record, open_text, read_lines, unreadable
from twelve.data.streams import read_elements
from twelve.errors import DataError
from twelve.scoring.results import by_id, read_mapping, written_like

CLASSES = ("entailment", "neutral", "contradiction")
RESULT = '{"pairID": "2248275918.jpg#2r1n", "prediction": "neutral"} a line, or in one JSON list, or {pairID: class}'


@dataclass(frozen=True, slots=True)
class Scores:
    """In 0..1; ``per_class`` over the examples whose label is that class, classes without any left out."""

    accuracy: float
    per_class: Mapping[str, float]
    correct: Sequence[bool]


def evaluate(labels: Sequence[str], predictions: Sequence[str]) -> Scores:
    """Accuracy of class names against class names."""
    correct = [label == prediction for label, prediction in zip(labels, predictions, strict=True)]
    per_class = {}
    for name in CLASSES:
        among = [right for label, right in zip(labels, correct, strict=True) if label == name]
        if among:
            per_class[name] = sum(among) / len(among)
    return Scores(sum(correct) / len(correct), per_class, correct)


def read_results(path: Path) -> list[str] | dict[str, str]:
    """Predicted classes by pair, from :data:`RESULT` (``label`` and ``gold_label`` are read as ``prediction``); as a
    list, in the file's order, where no record names its pair.

    Raises:
        DataError: a record is malformed, names no class, or a pair was predicted twice.
    """
    with written_like(path, RESULT):
        if _is_mapping(path):
            return {key: _class(Record({_KEYS[0]: value}, path, key)) for key, value in read_mapping(path).items()}
        records = list(_records(path))
        if not any(_PAIR in record.fields for record in records):
            return [_class(record) for record in records]
        return {key: _class(record) for key, record in by_id(records, lambda record: record.text(_PAIR)).items()}


_KEYS = ("prediction", "label", "gold_label")
_PAIR = "pairID"


def _class(record: Record) -> str:
    key = record.one_of(*_KEYS)
    name = record.text(key)
    if name not in CLASSES:
        raise record.error(f"field {key!r} must be one of {', '.join(CLASSES)}, found {name!r}")
    return name


def _beginning(path: Path) -> str:
    """The first line that is not empty."""
    try:
        with open_text(path) as stream:
            return next((line.strip() for line in stream if line.strip()), "")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


def _is_mapping(path: Path) -> bool:
    """Whether the file is one JSON object whose keys are pairs, not a line an object."""
    beginning = _beginning(path)
    if not beginning.startswith("{"):
        return False
    try:
        return not any(key in json.loads(beginning) for key in _KEYS)
    except json.JSONDecodeError:  # an object over several lines
        return True


def _records(path: Path) -> Iterator[Record]:
    found = False
    for record in read_elements(path) if _beginning(path).startswith("[") else read_lines(path):
        found = True
        yield record
    if not found:
        raise DataError("holds no prediction", file=path)
