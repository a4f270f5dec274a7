"""Which example of the official files an answer in a log is about."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twelve.errors import DataError
from twelve.formats.results import Mismatch
from twelve.harness.boxes import NEAR, fractions
from twelve.types.examples import Example
from twelve.types.logged import Logged

_WORD = re.compile(r"\w+")


def plain(text: str) -> str:
    """Words alone, with a space before and after each."""
    return f" {' '.join(_WORD.findall(text.lower()))} "


def fits(example: Example, logged: Logged) -> bool:
    """Whether the text that was asked holds the example's, or one of them has none."""
    return not logged.text or not example.text or plain(example.text) in plain(logged.text)


def matched(log: Path, rows: Sequence[Logged], known: Sequence[Example]) -> list[Example]:
    """The example of every answer: by its id, or else by its place in the data; texts must agree where both have one.

    Raises:
        Mismatch: an answer is about none of them, or two are about the same.
        DataError: the log does not tell which.
    """
    by_id = {example.id: example for example in known}
    by_number = {_number(example.id): example for example in known}  # tables read ids as numbers
    found: dict[str, Logged] = {}
    examples = []
    for row in rows:
        placed = known[row.position] if row.position is not None and 0 <= row.position < len(known) else None
        named = by_id.get(row.key) or (by_number.get(_number(row.key)) if row.key else None)
        if named is None and placed is not None and not placed.text:
            raise DataError(
                "the log names no ids, and the truth holds no questions to compare with its order",
                file=log,
                record=row.place,
                remedy="also give the file of the questions: --truth QUESTIONS",
            )
        example = next((each for each in (named, placed) if each is not None and fits(each, row)), None)
        if example is None:
            about = "" if placed is None else f"; {placed.id}, in its place there, asks {placed.text[:60]!r}"
            raise Mismatch(
                f"no example of the truth is asked {row.text[:60]!r}{about}",
                file=log,
                record=row.place,
                remedy="give the official files of the logged split, or leave --truth out where the log tells what is "
                "right",
            )
        if example.id in found:
            problem = f"{example.id} is answered twice, first in {found[example.id].place}"
            raise Mismatch(problem, file=log, record=row.place, remedy="give the log of one evaluation")
        found[example.id] = row
        examples.append(example)
    return examples


def check_once(log: Path, rows: Sequence[Logged], told: Sequence[Hashable | None]) -> None:
    """Raise DataError where two rows are about the same example.

    Args:
        told: what the log calls the example of each row; None where it does not say.
    """
    found: dict[Hashable, str] = {}
    for row, name in zip(rows, told, strict=True):
        first = row.place if name is None else found.setdefault(name, row.place)
        if first != row.place:
            problem = f"{name} is answered twice, first in {first}"
            raise DataError(problem, file=log, record=row.place, remedy="give the log of one evaluation")


def _number(key: str) -> str:
    """An id as a table writes it that takes it for a number."""
    return key.lstrip("0") or "0"


def matched_boxes(
    log: Path, rows: Sequence[Logged], told: Sequence[Example | None], known: Sequence[Example]
) -> list[Example]:
    """The example of every answer, by the right box that the log tells and the sentence.

    Args:
        told: what the log tells, see :meth:`twelve.tasks.base.Task.logged_example`.

    Raises:
        Mismatch: an answer is about no sentence that is left.
    """
    corners = np.array([fractions(example.target, example.facts["size"]) for example in known])
    pixels: Any = np.array([example.target for example in known])
    sizes = np.array([example.facts["size"] * 2 for example in known])
    order = np.argsort(corners[:, 0])
    lefts = corners[order, 0]
    texts, left = [plain(example.text) for example in known], np.ones(len(known), dtype=bool)
    examples = []
    for row, example in zip(rows, told, strict=True):
        if example is None:
            raise DataError(
                "the log does not tell the right box", file=log, record=row.place, remedy="give a whole log"
            )
        size, places = example.facts["size"], order
        if size is None:  # in pixels of an unknown image
            distance = np.abs((pixels[places] - example.target) / sizes[places]).max(axis=1)
        else:
            box = fractions(example.target, size)
            start, end = np.searchsorted(lefts, box[0] - NEAR), np.searchsorted(lefts, box[0] + NEAR, "right")
            places = order[start:end]
            distance = np.abs(corners[places] - box).max(axis=1)
        said = plain(row.text)
        near = [
            (len(texts[place]), -gap, place)
            for place, gap in zip(places.tolist(), distance.tolist(), strict=True)
            if gap <= NEAR and left[place] and texts[place] in said
        ]
        if not near:
            raise Mismatch(
                f"no sentence of the truth that is left is {row.text[:60]!r} about this box",
                file=log,
                record=row.place,
                remedy="give the release of the logged dataset, or leave --truth out",
            )
        best = max(near)[2]
        left[best] = False
        examples.append(known[best])
    return examples
