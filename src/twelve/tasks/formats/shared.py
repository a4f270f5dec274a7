"""Helpers that several task files share: split errors, images and boxes of records, the original's validation cut,
accuracy measurements."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from twelve.errors import Again, ConfigError, DataError, MissingData, nearest
from twelve.formats.data_root import image_key
from twelve.formats.records import REMEDY, Record
from twelve.metrics import classes as classes_metric
from twelve.types.examples import Box, Example
from twelve.types.measurement import ExampleValues, Measurement

SourceOf: TypeAlias = Callable[[str], str]
"""File name of an image -> image source."""


def unknown_split(task: str, split: str, known: Iterable[str]) -> ConfigError:
    """The error to raise for a split that the dataset does not have."""
    known = list(known)
    return ConfigError(
        f"{task} has no split {split!r}{nearest(split, known)}", remedy=f"choose among {', '.join(known)}"
    )


BLANK = 0.1
"""Maximum share of empty texts, or of empty answers, in a sound file; official files have hardly any."""


def is_blank(example: Example) -> bool:
    """Whether an example has no text."""
    return not example.text.strip() or (bool(example.options) and not any(map(str.strip, example.options)))


def some(examples: list[Example], file: Path, split: str, blank: Callable[[Example], bool] = is_blank) -> list[Example]:
    """:func:`some_of` of a list."""
    return list(some_of(examples, file, split, blank))


def some_of(
    examples: Iterable[Example], file: Path, split: str, blank: Callable[[Example], bool] = is_blank
) -> Iterator[Example]:
    """Pass the examples through, checking that there are some and that few are empty.

    Args:
        blank: whether an example has no text.

    Raises:
        MissingData: the file has no example of the split.
        DataError: more than :data:`BLANK` of the texts or answers are empty, as after an export that lost a column.
    """
    count = 0
    blanks: dict[str, list[Any]] = {"texts": [0, None], "answers": [0, None]}
    for example in examples:
        count += 1
        if blank(example):
            blanks["texts"] = [blanks["texts"][0] + 1, blanks["texts"][1] or example.id]
        if isinstance(example.target, Mapping) and not any(map(str.strip, example.target)):
            blanks["answers"] = [blanks["answers"][0] + 1, blanks["answers"][1] or example.id]
        yield example
    if not count:
        raise MissingData(
            f"contains no example of split {split!r}",
            file=file,
            remedy=Again("choose another split or download the file again"),
        )
    for what, (number, first) in blanks.items():
        if number > BLANK * count:
            raise DataError(f"{number:,} of {count:,} {what} are empty", file=file, record=first, remedy=REMEDY)


def values(examples: Sequence[Example], predictions: Sequence[Any]) -> list[Any]:
    """The values of decoded predictions, one per example."""
    if len(examples) != len(predictions):
        raise ValueError(f"expected {len(examples)} predictions, one per example, found {len(predictions)}")
    return [prediction.value for prediction in predictions]


def accuracy(
    correct: Sequence[float],
    examples: Sequence[Example],
    metrics: Mapping[str, float] | None = None,
    rows: Sequence[int] | None = None,
) -> Measurement:
    """A measurement with accuracy as its headline.

    Args:
        correct: (N,) score of each example, 0..1.
        examples: the N measured examples.
        metrics: all metrics in per cent; by default the accuracy alone.
        rows: see :class:`twelve.types.measurement.Measurement`.
    """
    each = np.array(correct, dtype=np.float64)
    metrics = metrics or {"accuracy": 100 * float(each.mean())}
    return Measurement("accuracy", metrics, each, [example.group for example in examples], rows)


def example_values(examples: Sequence[Example], values: Sequence[float]) -> ExampleValues:
    """A mean over these examples of (N,) values in 0..1."""
    ids, groups = [example.id for example in examples], [example.group for example in examples]
    return ExampleValues(ids, np.array(values, dtype=np.float64), groups)


def means_by_class(
    examples: Sequence[Example], labels: Sequence[str], measured: Measurement
) -> dict[str, ExampleValues]:
    """The examples behind each metric of :func:`accuracy_by_class`, which measured all of them."""
    whole = example_values(examples, measured.per_example.tolist())
    found = {"accuracy": whole, **whole.parts([(f"accuracy, {label}",) for label in labels])}
    return found | ({"error": replace(whole, values=1 - whole.values)} if "error" in measured.metrics else {})


def accuracy_by_class(
    examples: Sequence[Example],
    labels: Sequence[str],
    predicted: Sequence[str],
    classes: Sequence[str],
    rows: Sequence[int] | None = None,
    error: bool = False,
) -> tuple[Measurement, dict[str, int]]:
    """Accuracy overall and per class (and the error, if asked for), and the number of examples behind each metric."""
    scores = classes_metric.evaluate(labels, predicted, classes)
    metrics, counts = {"accuracy": 100 * scores.accuracy}, {"accuracy": len(labels)}
    if error:
        metrics["error"], counts["error"] = 100 - metrics["accuracy"], len(labels)
    for name, share in scores.per_class.items():
        metrics[f"accuracy, {name}"], counts[f"accuracy, {name}"] = 100 * share, scores.counts[name]
    return accuracy(scores.correct, examples, metrics, rows), counts


def distinct(examples: Iterable[Example], file: Path) -> Iterator[Example]:
    """Pass the examples through; raise DataError if an id occurs twice."""
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError("this id occurs twice", file=file, record=example.id, remedy=REMEDY)
        seen.add(example.id)
        yield example


def image_of(record: Record, key: str, source_of: SourceOf) -> str:
    """Image id of the file that a record names."""
    name = record.identifier(key).rsplit("/", 1)[-1]
    if not image_key(name).strip():
        raise record.error(f"field {key!r} must name an image, found {record.fields[key]!r}")
    return f"{source_of(name)}/{image_key(name)}"


def by_number(records: Iterable[Record], key: str) -> dict[int, Record]:
    """Integer in field ``key`` -> its record; raises DataError if one occurs twice."""
    found: dict[int, Record] = {}
    for record in records:
        number = record.integer(key)
        if number in found:
            raise record.error(f"{key} {number} occurs twice, first in {found[number].place}")
        found[number] = record
    return found


def corners(record: Record, key: str = "bbox") -> Box:
    """Convert a box from x, y, width, height to x1, y1, x2, y2; raises DataError for a negative size."""
    x, y, width, height = record.numbers(key, 4)
    if width < 0 or height < 0:
        raise record.error(f"field {key!r} must be x, y, width, height, found a negative size in {record.fields[key]}")
    return x, y, x + width, y + height


def all_but_last(examples: Iterable[Example], count: int) -> Iterator[Example]:
    """All but the ``count`` examples with the largest integer ids; holds only ``count`` at a time."""
    held: list[tuple[int, int, Example]] = []
    for number, example in enumerate(examples):
        if number < count:
            heapq.heappush(held, (int(example.id), -number, example))
        else:
            yield heapq.heappushpop(held, (int(example.id), -number, example))[2]


def last(examples: Iterable[Example], count: int) -> list[Example]:
    """The ``count`` examples with the largest integer ids, sorted by id: those that :func:`all_but_last` omits."""
    found = heapq.nlargest(count, ((int(example.id), -number, example) for number, example in enumerate(examples)))
    return [example for _, _, example in reversed(found)]


def last_by_id(examples: Sequence[Example], count: int) -> tuple[list[Example], list[Example]]:
    """Split off the ``count`` examples with the largest integer ids, as the original does for validation.

    Both parts are sorted by id. The cut falls between questions, so an image can be on both sides.
    """
    ordered = sorted(examples, key=lambda example: int(example.id))
    cut = max(0, len(ordered) - count)
    return ordered[:cut], ordered[cut:]


def dialogue(turns: Iterable[tuple[str, str]]) -> str:
    """Join questions and answers into one text with the original program's marker words."""
    return " ".join(f"start {question} answer {answer} stop" for question, answer in turns)


def turns_in(text: str, answers: Iterable[str]) -> list[tuple[str, str]]:
    """The questions and answers of a text that :func:`dialogue` made, whose answers are among ``answers``; none if it
    is another text. A question may hold the marker words itself."""
    turn = rf"start (.*?) answer ({'|'.join(map(re.escape, answers))}) stop(?= start |$)"
    found = list(re.finditer(turn, text, flags=re.DOTALL))
    whole = " ".join(each[0] for each in found) == text
    return [(each[1], each[2]) for each in found] if whole else []
