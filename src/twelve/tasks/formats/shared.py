"""What several task files need: errors about splits, images and boxes of records, the original's cut of a
training set, and predictions as plain values."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from twelve.errors import Again, ConfigError, DataError, MissingData, nearest
from twelve.formats.data_root import image_key
from twelve.formats.records import REMEDY, Record
from twelve.types.examples import Box, Example

SourceOf: TypeAlias = Callable[[str], str]
"""File name of an image -> image source."""


def unknown_split(task: str, split: str, known: Iterable[str]) -> ConfigError:
    """An error about a split that the dataset does not have, to be raised."""
    known = list(known)
    return ConfigError(
        f"{task} has no split {split!r}{nearest(split, known)}", remedy=f"choose among {', '.join(known)}"
    )


BLANK = 0.1
"""Share of texts, or of answers, without a word from which on a file is damaged; official files have hardly any."""


def is_blank(example: Example) -> bool:
    """Whether an example has no word to read."""
    return not example.text.strip() or (bool(example.options) and not any(map(str.strip, example.options)))


def some(examples: list[Example], file: Path, split: str, blank: Callable[[Example], bool] = is_blank) -> list[Example]:
    """What :func:`some_of` says, of a list."""
    return list(some_of(examples, file, split, blank))


def some_of(
    examples: Iterable[Example], file: Path, split: str, blank: Callable[[Example], bool] = is_blank
) -> Iterator[Example]:
    """The examples themselves.

    Args:
        blank: whether an example has no text.

    Raises:
        MissingData: the file holds none of the split.
        DataError: more than :data:`BLANK` of their texts or their answers are empty, as an export leaves them that
            lost a column.
    """
    count = 0
    blanks: dict[str, list[Any]] = {"texts": [0, None], "answers": [0, None]}
    for example in examples:
        count += 1
        answer = isinstance(example.target, Mapping) and not any(map(str.strip, example.target))
        for what, found in (("texts", blank(example)), ("answers", answer)):
            if found:
                blanks[what] = [blanks[what][0] + 1, blanks[what][1] or example.id]
        yield example
    if not count:
        raise MissingData(
            f"holds no example of split {split!r}",
            file=file,
            remedy=Again("choose another split or download the file again"),
        )
    for what, (number, first) in blanks.items():
        if number > BLANK * count:
            raise DataError(f"{number:,} of {count:,} {what} are empty", file=file, record=first, remedy=REMEDY)


def values(examples: Sequence[Example], predictions: Sequence[Any]) -> list[Any]:
    """The value of every decoded prediction, aligned with the examples."""
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} examples, but {len(predictions)} predictions")
    return [prediction.value for prediction in predictions]


def distinct(examples: Iterable[Example], file: Path) -> Iterator[Example]:
    """The examples themselves; raises DataError when two have the same id."""
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError("this id occurs twice", file=file, record=example.id, remedy=REMEDY)
        seen.add(example.id)
        yield example


def image_of(record: Record, key: str, source_of: SourceOf) -> str:
    """Image id of the image that a record names by its file."""
    name = record.identifier(key).rsplit("/", 1)[-1]
    if not image_key(name).strip():
        raise record.error(f"field {key!r} must name an image, found {record.fields[key]!r}")
    return f"{source_of(name)}/{image_key(name)}"


def by_number(records: Iterable[Record], key: str) -> dict[int, Record]:
    """Whole number in field ``key`` -> its record; raises DataError when two records have the same."""
    found: dict[int, Record] = {}
    for record in records:
        number = record.integer(key)
        if number in found:
            raise record.error(f"{key} {number} occurs twice, first in {found[number].place}")
        found[number] = record
    return found


def corners(record: Record, key: str = "bbox") -> Box:
    """x1, y1, x2, y2 of a box that a record gives as x, y, width, height; raises DataError for a negative size."""
    x, y, width, height = record.numbers(key, 4)
    if width < 0 or height < 0:
        raise record.error(f"field {key!r} must be x, y, width, height, found a negative size in {record.fields[key]}")
    return x, y, x + width, y + height


def all_but_last(examples: Iterable[Example], count: int) -> Iterator[Example]:
    """All but the last ``count`` examples by their whole-number ids, of which alone as many are held."""
    held: list[tuple[int, int, Example]] = []
    for number, example in enumerate(examples):
        if number < count:
            heapq.heappush(held, (int(example.id), -number, example))
        else:
            yield heapq.heappushpop(held, (int(example.id), -number, example))[2]


def last(examples: Iterable[Example], count: int) -> list[Example]:
    """The last ``count`` examples by their whole-number ids, in the order of these: what :func:`all_but_last` holds."""
    found = heapq.nlargest(count, ((int(example.id), -number, example) for number, example in enumerate(examples)))
    return [example for _, _, example in reversed(found)]


def last_by_id(examples: Sequence[Example], count: int) -> tuple[list[Example], list[Example]]:
    """(all but the last, the last ``count`` examples) in the order of their whole-number ids, as the original cuts
    what it validates on from its training sets.

    The cut falls between questions, not images, so one image may stand on both sides.
    """
    ordered = sorted(examples, key=lambda example: int(example.id))
    cut = max(0, len(ordered) - count)
    return ordered[:cut], ordered[cut:]


def dialogue(turns: Iterable[tuple[str, str]]) -> str:
    """Questions and their answers in a row, each between the words with which the original program marks them."""
    return " ".join(f"start {question} answer {answer} stop" for question, answer in turns)
