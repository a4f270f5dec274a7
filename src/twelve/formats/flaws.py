"""The bad lines of a file, listed at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from twelve.errors import DataError

LISTED = 10
"""Most lines of a file whose errors are listed."""
Value = TypeVar("Value")


class BadLines(DataError):
    """Several lines of a file are wrong.

    Attributes:
        listed: what is wrong with the first of them, to be printed before the error itself.
    """

    listed: Sequence[str] = ()


def without_flaws(values: Iterable[Value | DataError], file: Path) -> list[Value]:
    """The values of a file's lines.

    Raises:
        DataError: about the only bad line.
        BadLines: there are several.
    """
    good: list[Value] = []
    first: list[DataError] = []
    count = 0
    for value in values:
        if not isinstance(value, DataError):
            good.append(value)
            continue
        count += 1
        if count <= LISTED:
            first.append(value)
    if count == 1:
        raise first[0]
    if count:
        shown = "listed above" if count <= LISTED else f"the first {LISTED} are listed above"
        problem = f"{count:,} of {count + len(good):,} lines are wrong, {shown}"
        error = BadLines(problem, file=file, remedy="correct these lines" if count <= LISTED else "correct these first")
        error.listed = listed(first, count)
        raise error
    return good


def listed(first: Iterable[DataError], count: int) -> list[str]:
    """The first flaws of ``count``, each problem and each remedy once, and how many more there are."""
    places: dict[tuple[str, str], list[DataError]] = {}
    for flaw in first:
        places.setdefault((flaw.problem, str(flaw.file)), []).append(flaw)
    remedies: set[str | None] = set()
    lines: list[str] = []
    for flaw, *others in places.values():
        remedy = None if flaw.remedy in remedies else flaw.remedy
        lines.append(str(DataError(flaw.problem, file=flaw.file, record=flaw.record, remedy=remedy)))
        remedies.add(flaw.remedy)
        if others:
            lines.append(f"the same: {', '.join(str(each.record) for each in others)}")
    more = count - sum(map(len, places.values()))
    return [*lines, f"and {more:,} more"] if more else lines


def first_of(found: Iterator[DataError]) -> list[str]:
    """The first flaws, as :func:`listed` has them."""
    first = list(islice(found, LISTED))
    return listed(first, len(first) + sum(1 for _ in found))
