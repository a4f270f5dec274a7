"""Classes and result files of SNLI-VE (there is no official program)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record, read_lines, text_lines
from twelve.formats.results import by_id, read_mapping, written_like
from twelve.io.json_file import DECODER

CLASSES = ("entailment", "neutral", "contradiction")
RESULT = (
    '{"pairID": "2248275918.jpg#2r1n", "prediction": "neutral"} on each line or in one JSON list, or {pairID: class}'
)


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A prediction that does not name its pair, and its record, which may contradict the pair at its place."""

    predicted: str
    record: Record


def read_results(path: Path) -> list[Unnamed] | dict[str, str]:
    """Predicted classes by pair, from :data:`RESULT` (``label`` is read as ``prediction``). Returns a list in the
    file's order if no record names its pair.

    Raises:
        DataError: a record is malformed, names no class, or is a record of the official file; or a pair is predicted
            twice.
    """
    with written_like(path, RESULT):
        if _is_mapping(path):
            return {key: _class(Record({_KEYS[0]: value}, path, key)) for key, value in read_mapping(path).items()}
        records = list(_records(path))
        found = [_class(record) for record in records]
        if not any(_PAIR in record.fields for record in records):
            return [Unnamed(name, record) for name, record in zip(found, records, strict=True)]
        return dict(zip(by_id(records, lambda record: record.text(_PAIR), "pair"), found, strict=True))


_KEYS = ("prediction", "label")
_PAIR = "pairID"
_OFFICIAL = ("gold_label", "sentence2")
"""Fields of the official file: beside them, ``label`` may be the true label."""


def _class(record: Record) -> str:
    official = [key for key in _OFFICIAL if key in record.fields]
    if official and _KEYS[0] not in record.fields:
        raise record.error(
            f"expected a prediction, found a record of the official file ({official[0]!r} but no {_KEYS[0]!r})"
        )
    key = record.one_of(*_KEYS)
    name = record.text(key)
    if name not in CLASSES:
        raise record.error(f"field {key!r} must be one of {', '.join(CLASSES)}, found {name!r}")
    return name


def _beginning(path: Path) -> str:
    """Return the first nonempty line."""
    return next((line.strip() for _, line in text_lines(path) if line.strip()), "")


def _is_mapping(path: Path) -> bool:
    """Whether the file is one JSON object keyed by pair, rather than one object per line."""
    beginning = _beginning(path)
    if not beginning.startswith("{"):
        return False
    try:
        return not any(key in DECODER.decode(beginning) for key in (*_KEYS, *_OFFICIAL))
    except (ValueError, RecursionError):  # an object over several lines, or one that read_mapping rejects
        return True


def _records(path: Path) -> Iterator[Record]:
    found = False
    for record in read_elements(path) if _beginning(path).startswith("[") else read_lines(path):
        found = True
        yield record
    if not found:
        raise DataError("contains no predictions", file=path)
