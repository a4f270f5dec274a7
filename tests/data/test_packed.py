"""Packed values: the same values, and memory that workers share for good."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.queues import SimpleQueue

import numpy as np
import pytest

from twelve.data.examples.store import Examples
from twelve.data.loader import Pool, TaskBatches
from twelve.types.examples import Example
from twelve.types.packed import Packed

COUNT = 60_000


def examples(count: int) -> list[Example]:
    return [
        Example(
            str(row), f"what is thing {row} ?", (f"coco/{row}",), target={"red": 1.0, f"b{row}": 0.3}, group=f"g{row}"
        )
        for row in range(count)
    ]


def test_values_are_as_they_were() -> None:
    given = examples(7)
    packed = Packed(given)
    assert list(packed) == given and len(packed) == 7 and packed[-1] == given[-1] and packed[2:5] == given[2:5]
    assert packed[np.int64(3)] == given[3] and not len(Packed([])) and packed.nbytes > 7
    for row in (7, -8):
        with pytest.raises(IndexError):
            packed[row]


def test_workers_get_packed_examples_and_nobody_else() -> None:
    given = examples(4)
    for workers, kind in ((0, list), (2, Packed)):
        stream = TaskBatches(given, np.ones(4, np.int64), None, batch_size=2, seed=0, pool=Pool(workers))  # type: ignore[arg-type]
        shared = stream._shared()
        assert type(shared) is kind and list(shared) == given
    assert not issubclass(Packed, Examples)


def private() -> int:
    """Bytes of this process that it shares with no other."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as stream:
        return sum(int(line.split()[1]) << 10 for line in stream if line.startswith(("Private_Dirty", "Private_Clean")))


def read_all(values: Sequence[Example], answer: SimpleQueue[int]) -> None:
    """An epoch of a worker, in random order."""
    order = np.random.default_rng(0).permutation(len(values))
    before = private()
    for row in order:
        repr(values[int(row)])
    answer.put(private() - before)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not os.path.exists("/proc/self/smaps_rollup"), reason="asks Linux"
)
def test_a_worker_does_not_grow_over_an_epoch() -> None:
    grown: dict[str, int] = {}
    given = examples(COUNT)
    for name, values in (("list", given), ("packed", Packed(given))):
        context = multiprocessing.get_context("fork")
        answer: SimpleQueue[int] = context.SimpleQueue()
        worker = context.Process(target=read_all, args=(values, answer))
        worker.start()
        grown[name] = answer.get()
        worker.join()
    # What a list would cost shows that the measurement sees it: 60,000 examples are some 40 MB.
    assert grown["list"] > 20 << 20
    assert grown["packed"] < grown["list"] / 5
