"""Operations on all examples at once: a list, or :class:`twelve.data.examples.store.Examples`, of which each distinct
value is visited once. Axes: N examples, D distinct values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from twelve.data.examples.store import Examples
from twelve.types.examples import Example

Value = TypeVar("Value", bound=Hashable)
Other = TypeVar("Other", bound=Hashable)


class Column(NamedTuple, Generic[Value]):
    """Distinct values, in order of first occurrence, and (N,) which of them each example has."""

    values: list[Value]
    codes: NDArray[np.int32]

    def where(self, wanted: Iterable[bool]) -> NDArray[np.bool_]:
        """(N,) whether each example's value is wanted; ``wanted`` says it for the D values."""
        return np.fromiter(wanted, np.bool_, len(self.values))[self.codes]


def images_of(examples: Sequence[Example]) -> Column[tuple[str, ...]]:
    """The images of each example."""
    if isinstance(examples, Examples):
        return _merged(examples, "images")
    return _numbered(example.images for example in examples)


def groups_of(examples: Sequence[Example]) -> Column[str]:
    """The group of each example."""
    if isinstance(examples, Examples):
        return _merged(examples, "group")
    return _numbered(example.group for example in examples)


def distinct_pairs(first: Column[Value], second: Column[Other]) -> list[tuple[Value, Other]]:
    """Distinct pairs of values that examples have in two columns."""
    pairs = np.unique(first.codes.astype(np.int64) * len(second.values) + second.codes)
    rows, columns = np.divmod(pairs, max(1, len(second.values)))
    return [(first.values[row], second.values[column]) for row, column in zip(rows, columns, strict=True)]


def distinct_images(*parts: Sequence[Example]) -> list[str]:
    """Distinct image ids of all the examples, in order of first occurrence."""
    return list(dict.fromkeys(image for part in parts for images in images_of(part).values for image in images))


def have_candidates(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """(N,) whether an example has candidates."""
    if not isinstance(examples, Examples):
        return np.fromiter((bool(example.candidates) for example in examples), np.bool_, len(examples))
    codes = examples.codes("candidates")
    found = np.unique(codes)
    return np.isin(codes, [code for code in found.tolist() if examples.value(code)])


def counted(examples: Sequence[Example], column: Literal["target", "facts"]) -> Iterator[tuple[Any, int]]:
    """Values of a column and how many examples have each; a value may occur several times."""
    if not isinstance(examples, Examples):
        yield from ((getattr(example, column), 1) for example in examples)
        return
    counts = np.bincount(examples.codes(column))
    for code in np.flatnonzero(counts).tolist():
        yield examples.value(code), int(counts[code])


def texts_of(examples: Sequence[Example]) -> Iterator[str]:
    """Each example's text."""
    return examples.texts() if isinstance(examples, Examples) else (example.text for example in examples)


def take(examples: Sequence[Example], rows: NDArray[np.integer] | NDArray[np.bool_]) -> Sequence[Example]:
    """The examples at ``rows``, in their order; with (N,) booleans, those where it is True."""
    places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
    if isinstance(examples, Examples):
        return examples.take(places)
    return [examples[place] for place in places.tolist()]


def _merged(examples: Examples, column: str) -> Column[Any]:
    """A column of stored examples, in which equal values with different numbers become one."""
    codes = examples.codes(column)
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last assignment, of the first place, stays
    used = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    of: dict[Any, int] = {}
    renumbered = np.zeros(len(first), np.int32)
    for code in used.tolist():
        renumbered[code] = of.setdefault(examples.value(code), len(of))
    return Column(list(of), renumbered[codes])


def _numbered(values: Iterable[Value]) -> Column[Value]:
    of: dict[Value, int] = {}
    codes = np.fromiter((of.setdefault(value, len(of)) for value in values), np.int32)
    return Column(list(of), codes)
