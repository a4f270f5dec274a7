"""Streams: every example, in an order that seed and epoch alone decide, resumable at any batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelve.data.loader import BUCKET, TaskBatches, passes
from twelve.types.examples import Example


@dataclass
class Recorded:
    ids: list[str]
    noise: float

    @property
    def pairs(self) -> int:
        return len(self.ids)


class Recorder:
    """Stands in for a collator: a batch is the ids it was asked for and a number drawn while building it."""

    def __call__(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, part: slice = slice(None)
    ) -> Any:
        return Recorded([example.id for example in examples[part]], 0.0 if rng is None else float(rng.random()))


def stream(count: int, batch_size: int, **options: Any) -> TaskBatches:
    examples = [Example(str(i), "x", ("a/1",)) for i in range(count)]
    lengths = np.random.default_rng(0).integers(3, 30, count)
    return TaskBatches(examples, lengths, Recorder(), batch_size=batch_size, seed=5, **options)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 200), batch_size=st.integers(1, 40), epoch=st.integers(0, 3))
def test_an_epoch_has_no_example_twice(count: int, batch_size: int, epoch: int) -> None:
    order = stream(count, batch_size).order(epoch)
    rows = np.concatenate(order)
    assert len(set(rows.tolist())) == len(rows) == (count // min(batch_size, count)) * min(batch_size, count)


def test_epochs_differ_and_repeat_by_seed() -> None:
    one, other = stream(100, 10), stream(100, 10)
    assert all((a == b).all() for a, b in zip(one.order(4), other.order(4), strict=True))
    assert any((a != b).any() for a, b in zip(one.order(0), one.order(1), strict=True))


def test_batches_hold_texts_of_similar_length() -> None:
    found = stream(BUCKET * 10, 10)
    spread = np.mean([np.ptp(found.lengths[rows]) for rows in found.order(0)])
    assert spread < 5 < np.ptp(found.lengths)


@pytest.mark.parametrize("taken", [0, 1, 9, 10, 11, 25])
def test_resume_anywhere(taken: int) -> None:
    one = stream(100, 10)
    for _ in range(taken):
        one.next()
    state = one.state_dict()
    expected = [(batch.ids, batch.noise) for batch in (one.next() for _ in range(12))]
    other = stream(100, 10)
    other.load_state_dict(state)
    assert [(batch.ids, batch.noise) for batch in (other.next() for _ in range(12))] == expected


def test_processes_share_every_batch() -> None:
    whole = stream(100, 10).next().ids
    parts = [stream(100, 10, part=slice(rank, None, 3)).next().ids for rank in range(3)]
    assert sorted(example for part in parts for example in part) == sorted(whole)


def test_passes_gives_every_example_once() -> None:
    found = stream(37, 5)
    rows = [row for rows, batch in passes(found.examples, found.lengths, Recorder(), 8) for row in rows]  # type: ignore[arg-type]
    assert sorted(rows) == list(range(37))
