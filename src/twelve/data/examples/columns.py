"""Operations on all examples at once: a list, or :class:`twelve.data.examples.store.Examples`, of which each distinct
value is visited once. Axes: N examples, D distinct values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
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
        return Column(*examples.distinct("images"))
    return _numbered(example.images for example in examples)


def groups_of(examples: Sequence[Example]) -> Column[str]:
    """The group of each example."""
    if isinstance(examples, Examples):
        return Column(*examples.distinct("group"))
    return _numbered(example.group for example in examples)


def distinct_pairs(first: Column[Value], second: Column[Other]) -> list[tuple[Value, Other]]:
    """Distinct pairs of values that examples have in two columns."""
    pairs = np.unique(first.codes.astype(np.int64) * len(second.values) + second.codes)
    rows, columns = np.divmod(pairs, max(1, len(second.values)))
    return [(first.values[row], second.values[column]) for row, column in zip(rows, columns, strict=True)]


def distinct_images(*parts: Sequence[Example]) -> list[str]:
    """Distinct image ids of all the examples, in order of first occurrence."""
    return list(dict.fromkeys(image for part in parts for images in images_of(part).values for image in images))


def repeated_ids(examples: Sequence[Example]) -> int:
    """How many examples have the id of an earlier one. Of stored examples, ids are compared by hashes first, in 8 bytes
    for each."""
    if not isinstance(examples, Examples):
        return len(examples) - len({example.id for example in examples})
    hashes = np.fromiter(map(hash, examples.ids()), np.int64, len(examples))
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return 0
    return len(examples) - len(set(examples.ids()))


def have_boxes(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """(N,) whether an example has candidates, or a box as its target."""
    if not isinstance(examples, Examples):
        boxed = (bool(example.candidates) or isinstance(example.target, tuple) for example in examples)
        return np.fromiter(boxed, np.bool_, len(examples))
    return have_candidates(examples) | _encoded(examples, "target", lambda text: text.startswith("["))


def have_candidates(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """(N,) whether an example has candidates."""
    if not isinstance(examples, Examples):
        return np.fromiter((bool(example.candidates) for example in examples), np.bool_, len(examples))
    return _encoded(examples, "candidates", lambda text: text != "[]")


def _encoded(examples: Examples, column: str, wanted: Callable[[str], bool]) -> NDArray[np.bool_]:
    """(N,) what ``wanted`` says of each example's value, as the codec writes it: a tuple as ``[...]``."""
    codes = examples.codes(column)
    counts = np.bincount(codes)
    found = np.zeros(len(counts), np.bool_)
    found[counts > 0] = list(map(wanted, examples.encoded(np.flatnonzero(counts))))
    return found[codes]


def counted(examples: Sequence[Example], column: Literal["target", "facts"]) -> Iterator[tuple[Any, int]]:
    """Values of a column and how many examples have each; a value may occur several times."""
    if not isinstance(examples, Examples):
        yield from ((getattr(example, column), 1) for example in examples)
        return
    counts = np.bincount(examples.codes(column))
    codes = np.flatnonzero(counts)
    yield from zip(examples.values(codes), counts[codes].tolist(), strict=True)


def ids_of(examples: Sequence[Example]) -> Iterator[str]:
    """Each example's id."""
    return examples.ids() if isinstance(examples, Examples) else (example.id for example in examples)


def texts_of(examples: Sequence[Example]) -> Iterator[str]:
    """Each example's text."""
    return examples.texts() if isinstance(examples, Examples) else (example.text for example in examples)


def take(examples: Sequence[Example], rows: NDArray[np.integer] | NDArray[np.bool_]) -> Sequence[Example]:
    """The examples at ``rows``, in their order; with (N,) booleans, those where it is True."""
    places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
    if isinstance(examples, Examples):
        return examples.take(places)
    return [examples[place] for place in places.tolist()]


def _numbered(values: Iterable[Value]) -> Column[Value]:
    of: dict[Value, int] = {}
    codes = np.fromiter((of.setdefault(value, len(of)) for value in values), np.int32)
    return Column(list(of), codes)
