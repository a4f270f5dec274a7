"""Examples in columns: millions of them in little memory, and what is done to all of them at once.

The functions below take any sequence of examples, a list or the columns of a large file (:class:`Examples`), and say
the same of both; of columns they look at each distinct value once. Axes: N examples, D distinct values.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from twelve.types.examples import Example

Value = TypeVar("Value", bound=Hashable)
Other = TypeVar("Other", bound=Hashable)


class Examples(Sequence[Example]):
    """Examples that are built when they are asked for, from columns that lie elsewhere. A part of them is a view."""

    @abstractmethod
    def take(self, rows: NDArray[np.integer]) -> Examples:
        """Those at ``rows`` (N,), in their order."""

    @abstractmethod
    def codes(self, column: str) -> NDArray[np.int32]:
        """(N,) number of each example's value of a field other than its id and text; examples whose values differ have
        different numbers."""

    @abstractmethod
    def value(self, code: int) -> Any:
        """The value that has a number."""

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """Each example's text."""

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Examples: ...
    def __getitem__(self, index: int | slice) -> Example | Examples:
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self))))
        row = int(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"example {row} of {len(self)}")
        return self.example(row % len(self))

    @abstractmethod
    def example(self, row: int) -> Example:
        """The example at ``row``, 0 <= row < N."""


class Column(NamedTuple, Generic[Value]):
    """Distinct values, in the order in which they occur first, and (N,) which of them each example has."""

    values: list[Value]
    codes: NDArray[np.int32]

    def where(self, wanted: Iterable[bool]) -> NDArray[np.bool_]:
        """(N,) what is said of each example's value; ``wanted`` says it of the D values."""
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
    """The different pairs of values that examples have in two columns."""
    pairs = np.unique(first.codes.astype(np.int64) * len(second.values) + second.codes)
    rows, columns = np.divmod(pairs, max(1, len(second.values)))
    return [(first.values[row], second.values[column]) for row, column in zip(rows, columns, strict=True)]


def distinct_images(*parts: Sequence[Example]) -> list[str]:
    """Distinct image ids of all the examples, in the order in which they occur first."""
    return list(dict.fromkeys(image for part in parts for images in images_of(part).values for image in images))


def have_candidates(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """(N,) whether an example has candidates."""
    if not isinstance(examples, Examples):
        return np.fromiter((bool(example.candidates) for example in examples), np.bool_, len(examples))
    codes = examples.codes("candidates")
    found = np.unique(codes)
    return np.isin(codes, [code for code in found.tolist() if examples.value(code)])


def counted(examples: Sequence[Example], column: Literal["target", "facts"]) -> Iterator[tuple[Any, int]]:
    """Values of a column, which may occur again, and how many examples have each."""
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
    """The examples at some places, in the order of ``rows``; of (N,) booleans, where they are true."""
    places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
    if isinstance(examples, Examples):
        return examples.take(places)
    return [examples[place] for place in places.tolist()]


def _merged(examples: Examples, column: str) -> Column[Any]:
    """A value may have several numbers: those of equal values become one."""
    codes = examples.codes(column)
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last assignment, to the first place, stays
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
