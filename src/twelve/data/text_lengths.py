"""How many word pieces texts have, counted once for a tokenizer, and which of them are cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from twelve.data.examples.columns import take, texts_of
from twelve.data.examples.store import Examples
from twelve.data.kept import kept
from twelve.progress import Track
from twelve.types.cut import Cut
from twelve.types.examples import Example
from twelve.types.processor import TextProcessor

TEXTS = 1 << 14
"""Texts that are tokenized at a time."""
SHARE = 4
"""Of cached examples, all texts are counted and kept unless fewer than one in this many are asked for."""
WHOLE = 1 << 30
"""A limit that no text reaches."""


def text_lengths(examples: Sequence[Example], processor: TextProcessor, task: str) -> NDArray[np.int64]:
    """(N,) number of word pieces of each whole text, with [CLS] and [SEP], without options to choose from; those of
    cached examples are kept in the cache too.

    Args:
        task: named while they are counted.
    """
    if not isinstance(examples, Examples) or SHARE * len(examples) < len(examples.whole):
        return _lengths(examples, processor, task)
    whole = examples.whole
    facts = [whole.entry, processor.words]
    found = kept("texts", facts, lambda: _lengths(whole, processor, task).astype(np.int32))
    lengths: NDArray[np.int64] = found[examples.rows].astype(np.int64)
    return lengths


def cut_of(examples: Sequence[Example], processor: TextProcessor, lengths: NDArray[np.int64], limit: int) -> Cut:
    """How many texts have more than ``limit`` word pieces; ``lengths``: (N,) those of :func:`text_lengths`."""
    cut = int((lengths > limit).sum())
    same = cut > 0 and _lose_the_same(take(examples, lengths >= limit), processor, limit)
    return Cut(len(lengths), cut, int(lengths.max(initial=0)), limit, same)


def _lose_the_same(examples: Sequence[Example], processor: TextProcessor, limit: int) -> bool:
    """Whether texts lose the same part, and none becomes equal to another. Texts below the limit need not be among
    them: nothing that is cut becomes equal to one."""
    texts, lost, wholes = texts_of(examples), set[tuple[int, ...]](), dict[tuple[int, ...], list[int]]()
    while part := list(islice(texts, TEXTS)):
        for whole, short in zip(processor.tokenize(part, WHOLE), processor.tokenize(part, limit), strict=True):
            if wholes.setdefault(tuple(short), whole) != whole:
                return False
            lost |= {_lost(whole, short)} - {()}
            if len(lost) > 1:
                return False
    return True


def _lost(whole: Sequence[int], short: Sequence[int]) -> tuple[int, ...]:
    """The word pieces of a text that are not kept: the ends of parts."""
    left = iter([*short, None])
    following = next(left)
    lost = []
    for piece in whole:
        if piece == following:
            following = next(left)
        else:
            lost.append(piece)
    return tuple(lost)


def _lengths(examples: Sequence[Example], processor: TextProcessor, task: str) -> NDArray[np.int64]:
    found = np.empty(len(examples), np.int64)
    with Track(f"counting the words of {task}", len(examples), "texts") as track:
        texts = texts_of(examples)
        while part := list(islice(texts, TEXTS)):
            found[track.done : track.done + len(part)] = [len(ids) for ids in processor.tokenize(part, WHOLE)]
            track.advance(len(part))
    return found
