"""States of several texts, images or pairs: padded to equal lengths with a mask, or packed, which leaves padding out.

Linear layers, normalization and residuals treat every position alike, so they run on packed states as they are.
Attention runs on blocks of sequences of similar lengths, each padded to its longest. The padded form remains for
recording states and attention, for graphs, and for training as it was: dropout draws for every position.

Axes: N texts, images or pairs, L longest length, S positions of all together, W width, A heads, n sequences of a block,
Q and K its longest queries and keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers: TypeAlias = "NDArray[np.int64]"
SPREAD, SLACK = 1.25, 16
"""The longest sequence of a block may have this many times the positions of its shortest, and so many more. Smaller
values compute less padding, in more operations."""
LANES, FEW, REST = 32, 64, 10
"""In half precision, keys are padded to a multiple of ``LANES``, since softmax takes the rest one by one; from ``FEW``
keys on only if this rest is more than ``REST``, since padding also makes the products larger."""


class Packing:
    """How many of the packed positions belong to each sequence.

    Args:
        lengths: (N,), at least 1 each.
    """

    def __init__(self, lengths: Integers) -> None:
        self.lengths = lengths
        self.longest = int(lengths.max(initial=1))
        self.even = bool((lengths == self.longest).all())
        self._blocks: dict[Packing, Blocks] = {}

    @cached_property
    def starts(self) -> Integers:
        """(N,) first position of each sequence."""
        starts: Integers = self.lengths.cumsum() - self.lengths
        return starts

    @cached_property
    def firsts(self) -> Packing:
        """The packing of first positions alone."""
        return Packing(np.ones_like(self.lengths))

    def positions(self, rows: Integers) -> Integers:
        """All positions of the sequences ``rows``, one after the other."""
        return spans(self.starts[rows], self.lengths[rows])

    def padded(self, rows: Integers, length: int) -> Integers:
        """(n, length) positions of the sequences ``rows``; padding repeats the first position."""
        places = np.arange(length)
        return self.starts[rows, None] + np.where(places < self.lengths[rows, None], places, 0)

    def blocks(self, keys: Packing, dtype: torch.dtype) -> Blocks:
        """Those of attention of these sequences over ``keys``, made once."""
        if keys not in self._blocks:
            self._blocks[keys] = Blocks(self, keys, half=dtype in (torch.bfloat16, torch.float16))
        return self._blocks[keys]


class Blocks:
    """Attention of packed queries over packed keys, in blocks of pairs of similar lengths.

    Args:
        half: of states in half precision.
    """

    def __init__(self, queries: Packing, keys: Packing, *, half: bool = False) -> None:
        self.queries, self.keys = queries, keys
        self._back: Tensor | None = None
        self.even = queries.even and keys.even and not (half and _lanes(keys.longest) > keys.longest)
        if self.even:
            return
        longer, other = (keys, queries) if keys.longest >= queries.longest else (queries, keys)
        self._rows = _similar(np.lexsort((other.lengths, longer.lengths)), longer.lengths)
        asked = [int(keys.lengths[rows].max()) for rows in self._rows]
        asked = [_lanes(length) for length in asked] if half else asked
        asking = [int(queries.lengths[rows].max()) for rows in self._rows]
        self._lengths = asking, asked
        self._masks = [_mask(keys.lengths[rows], length) for rows, length in zip(self._rows, asked, strict=True)]
        self._places: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        longest = np.repeat(asking, [len(rows) for rows in self._rows])
        order = np.concatenate(self._rows)
        starts = np.empty_like(order)
        starts[order] = longest.cumsum() - longest
        back = spans(starts, queries.lengths)
        if len(back) < longest.sum() or (back[1:] < back[:-1]).any():
            self._back = torch.from_numpy(back)

    def split(
        self, query: Tensor, key: Tensor, value: Tensor, heads: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Queries (n, A, Q, W / A), keys and values (n, A, K, W / A), and mask (n, 1, 1, K) or None, of every block."""
        if self.even:
            length = self.keys.longest
            yield (
                _heads(query, self.queries.longest, heads),
                _heads(key, length, heads),
                _heads(value, length, heads),
                None,
            )
            return
        rows = [states.view(states.shape[0] * heads, -1) for states in (query, key, value)]
        for asking, asked, mask in zip(*self._at(heads), self._masks, strict=True):
            query, key, value = (
                states.index_select(0, places.flatten()).view(*places.shape, -1)
                for states, places in zip(rows, (asking, asked, asked), strict=True)
            )
            yield query, key, value, mask

    def join(self, contexts: Sequence[Tensor]) -> Tensor:
        """(S, W) of the packed queries from (n, A, Q, W / A) of every block."""
        flat = [context.transpose(1, 2).flatten(2).flatten(0, 1) for context in contexts]
        joined = flat[0] if len(flat) == 1 else torch.cat(flat)
        return joined if self._back is None else joined.index_select(0, self._back)

    def _at(self, heads: int) -> tuple[list[Tensor], list[Tensor]]:
        """(n, A, Q) and (n, A, K) places of every block's positions and heads in (S * A, W / A)."""
        if heads not in self._places:
            asking, asked = (
                [
                    torch.from_numpy(packing.padded(rows, length)[:, None] * heads + np.arange(heads)[:, None])
                    for rows, length in zip(self._rows, lengths, strict=True)
                ]
                for packing, lengths in zip((self.queries, self.keys), self._lengths, strict=True)
            )
            self._places[heads] = asking, asked
        return self._places[heads]


def _lanes(length: int) -> int:
    """Keys with their padding, in half precision."""
    rest = length % LANES
    return length if rest == 0 or (length >= FEW and rest <= REST) else length - rest + LANES


def spans(starts: Integers, lengths: Integers) -> Integers:
    """start, start + 1, ... of every span, one after the other."""
    found: Integers = np.arange(lengths.sum()) + (starts - lengths.cumsum() + lengths).repeat(lengths)
    return found


def _similar(order: Integers, lengths: Integers) -> list[Integers]:
    """Cut ``order``, which sorts lengths, so that those of a part are similar."""
    ascending, cuts = lengths[order], [0]
    while (cut := int(np.searchsorted(ascending, SPREAD * ascending[cuts[-1]] + SLACK, "right"))) < len(order):
        cuts.append(cut)
    return np.split(order, cuts[1:])


def _mask(lengths: Integers, longest: int) -> Tensor | None:
    if bool((lengths == longest).all()):
        return None
    return torch.from_numpy(np.arange(longest) < lengths[:, None])[:, None, None]


def _heads(states: Tensor, length: int, heads: int) -> Tensor:
    """(n * length, W) -> (n, A, length, W / A)."""
    return states.view(-1, length, heads, states.shape[-1] // heads).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Sequences:
    """States of N texts, images or pairs, padded or packed.

    Attributes:
        states: (N, L, W), or packed (S, W).
        mask: (N, L) bool, True at real positions; None if all are.
        packing: of packed states, which are on the CPU.
    """

    states: Tensor
    mask: Tensor | None = None
    packing: Packing | None = None

    def __len__(self) -> int:
        return self.states.shape[0] if self.packing is None else len(self.packing.lengths)

    @property
    def lengths(self) -> Integers:
        """(N,) real positions of each."""
        if self.packing is not None:
            return self.packing.lengths
        if self.mask is None:
            return np.full(self.states.shape[0], self.states.shape[1])
        found: Integers = self.mask.sum(1).cpu().numpy()
        return found

    def new(self, states: Tensor) -> Sequences:
        """Other states of the same positions."""
        return replace(self, states=states)

    def packed(self) -> Sequences:
        """The same without padding."""
        if self.packing is not None:
            return self
        if self.mask is None:
            return Sequences(self.states.flatten(0, 1), None, Packing(self.lengths))
        real = self.mask.flatten().nonzero()[:, 0]  # faster than a mask as the index
        packing = Packing(self.lengths)
        return Sequences(self.states.flatten(0, 1).index_select(0, real), self.mask, packing)

    def padded(self) -> Sequences:
        """The same with padding, where states are 0."""
        if self.packing is None:
            return self
        if self.mask is None:
            return Sequences(self.states.view(len(self), self.packing.longest, -1))
        states = self.states.new_zeros(*self.mask.shape, self.states.shape[1])
        return Sequences(states.index_put((self.mask,), self.states), self.mask)

    def take(self, rows: Tensor | None) -> Sequences:
        """The sequences ``rows``; the same if None."""
        if rows is None:
            return self
        mask = None if self.mask is None else self.mask.index_select(0, rows)
        if self.packing is None:
            return Sequences(self.states.index_select(0, rows), mask)
        taken = rows.numpy()
        return Sequences(self._at(self.packing.positions(taken)), mask, Packing(self.packing.lengths[taken]))

    def first(self) -> Sequences:
        """The first position of each, which is always real."""
        if self.packing is None:
            return Sequences(self.states[:, :1])
        return Sequences(self._at(self.packing.starts), None, self.packing.firsts)

    def beside(self, other: Sequences) -> Sequences:
        """Every sequence followed by the one of ``other``."""
        if self.packing is None or other.packing is None:
            mask = None
            if self.mask is not None or other.mask is not None:
                mask = torch.cat([self._or_all(), other._or_all()], 1)
            return Sequences(torch.cat([self.states, other.states], 1), mask)
        one, two = self.packing, other.packing
        both = Packing(one.lengths + two.lengths)
        places = np.concatenate([spans(both.starts, one.lengths), spans(both.starts + one.lengths, two.lengths)])
        return Sequences(torch.cat([self.states, other.states])[torch.from_numpy(np.argsort(places))], None, both)

    def apart(self, one: Sequences, two: Sequences) -> tuple[Sequences, Sequences]:
        """The reverse of ``one.beside(two)``, with these states."""
        if one.packing is None or two.packing is None:
            length = one.states.shape[1]
            return one.new(self.states[:, :length]), two.new(self.states[:, length:])
        assert self.packing is not None
        starts = self.packing.starts
        left = spans(starts, one.packing.lengths)
        right = spans(starts + one.packing.lengths, two.packing.lengths)
        return one.new(self._at(left)), two.new(self._at(right))

    def over(self, keys: Sequences) -> Tensor | Blocks | None:
        """What attention of these positions over ``keys`` needs: their mask, or the blocks of packed ones."""
        if self.packing is None or keys.packing is None:
            return keys.mask
        return self.packing.blocks(keys.packing, self.states.dtype)

    def spread(self, values: Tensor) -> Tensor:
        """(N, W) values of the sequences, for their positions."""
        if self.packing is None:
            return values[:, None]
        return values.index_select(0, torch.from_numpy(np.arange(len(self)).repeat(self.packing.lengths)))

    def _at(self, positions: Integers) -> Tensor:
        return self.states.index_select(0, torch.from_numpy(positions))

    def _or_all(self) -> Tensor:
        if self.mask is not None:
            return self.mask
        return torch.ones(self.states.shape[:2], dtype=torch.bool, device=self.states.device)
