"""Endless, resumable streams of training batches, the processes that build them ahead, and the batches of one pass for
evaluation.

The order of a stream is a function of (seed, epoch) alone, so its position is two integers, and an exact resume needs
nothing else. A batch holds texts of similar length ("bucketing"), so that there is little padding; the order of the
batches stays random.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import multiprocessing as tensors  # noqa: F401  (teaches processes to hand over tensors without a copy)

from twelve.data.batch import Collator
from twelve.data.examples.store import Examples
from twelve.errors import TwelveError
from twelve.forked import end_with_parent, sigterm_later
from twelve.regions.store.memory import Memory
from twelve.types.batch import Batch
from twelve.types.examples import Example
from twelve.types.packed import Packed

T = TypeVar("T")
BUCKET = 16
"""Batches whose examples are sorted by length together. Larger buckets need less padding, and mix examples less."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which examples make a batch, which part of it this process takes, and the collator's random seed."""

    rows: tuple[int, ...]
    part: slice
    seed: tuple[int, ...]


class WorkerLost(TwelveError):
    """A worker has ended. Exit code 1: it is no mistake of the user."""

    exit_code = 1


Built: TypeAlias = "Batch | TwelveError"
"""A batch, or the error about it, which a worker could only pass on as a traceback."""


class BatchBuilder:
    """The training examples of one stream, and what builds batches of them."""

    def __init__(self, examples: Sequence[Example], collator: Collator) -> None:
        self.examples, self.collator = examples, collator

    def build(self, selection: Selection) -> Built:
        try:
            examples = [self.examples[row] for row in selection.rows]
            return self.collator(examples, np.random.default_rng(selection.seed), selection.part)
        except TwelveError as error:
            return error


class Pool:
    """Processes that build the batches of all streams of a run before they are asked for.

    There are ``workers`` of them, however many streams there are. They start with the first batch, and then get what
    all streams read from: no stream can be added later. Batches of at least two steps are kept ready for each stream.

    Args:
        workers: number of processes; 0: the process that asks for a batch builds it.
        pin: whether batches are moved to page-locked memory, from which a GPU copies them while it computes.
    """

    def __init__(self, workers: int, *, pin: bool = False) -> None:
        self.workers, self._pin = workers, pin
        self._sources: list[BatchBuilder] = []
        self._processes: ProcessPoolExecutor | None = None

    def add(self, source: BatchBuilder) -> int:
        """Take in what a stream reads from; returns its number."""
        if self._processes is not None:
            raise RuntimeError("streams are added before the first batch is built")
        self._sources.append(source)
        return len(self._sources) - 1

    @property
    def ahead(self) -> int:
        """How many batches of each stream are being built or ready."""
        return max(2, -(-2 * self.workers // len(self._sources))) if self.workers else 0

    def ask(self, number: int, selection: Selection) -> Future[Built]:
        """Have a batch of a stream built."""
        if self._processes is None:
            gc.freeze()  # else a collection, here or in a worker, would write to all that they share, and so copy it
            self._processes = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context(),
                initializer=_begin,
                initargs=(self._sources,),
            )
        try:
            with sigterm_later():  # the first call starts the processes
                asked = self._processes.submit(_build, number, selection)
        except BrokenProcessPool as error:
            raise _lost(error) from None
        if not self._pin:
            return asked
        pinned: Future[Built] = Future()
        asked.add_done_callback(partial(_pinned, pinned))  # in the thread that receives batches
        return pinned

    def renew(self) -> None:
        """Have the next batches built from what streams read from by then; those asked for are built first."""
        if self._processes is not None:
            self._processes.shutdown()
            self._end()

    def close(self) -> None:
        """End the processes."""
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)
            self._end()

    def _end(self) -> None:
        self._processes = None
        gc.unfreeze()


def built(asked: Future[Built]) -> Batch:
    """Wait for a batch.

    Raises:
        WorkerLost: a worker has ended.
        TwelveError: an example is wrong.
    """
    try:
        batch = asked.result()
    except BrokenProcessPool as error:
        raise _lost(error) from None
    if isinstance(batch, TwelveError):
        raise batch
    return batch


def _lost(error: BrokenProcessPool) -> WorkerLost:
    return WorkerLost(
        f"a process that reads ahead has ended ({' '.join(str(error).split())[:200]})",
        record="training.workers",
        remedy="run the same command with --continue; if memory ran out, with --set training.workers=0 as well",
    )


def _pinned(pinned: Future[Built], asked: Future[Built]) -> None:
    """Pass on what was asked for, in page-locked memory."""
    try:
        found = asked.result()
        pinned.set_result(found.pinned() if isinstance(found, Batch) else found)
    except BaseException as error:
        pinned.set_exception(error)


# --- in a worker --------------------------------------------------------------------------------------------------
_sources: Sequence[BatchBuilder] = ()


def _begin(sources: Sequence[BatchBuilder]) -> None:
    """Prepare a worker."""
    global _sources
    _sources = sources
    Memory.shared = True
    torch.set_num_threads(1)
    end_with_parent()


def _build(number: int, selection: Selection) -> Built:
    found = _sources[number].build(selection)
    # What the targets were made from stays here: it is as large as the batch.
    return replace(found, regions=()) if isinstance(found, Batch) else found


class TaskBatches:
    """One task's endless training batches.

    Args:
        lengths: (N,) text length of every example, for bucketing.
        seed: determines the order, together with the epoch.
        pool: builds the batches ahead; None: they are built when they are asked for.
        part: this process's part of every batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        lengths: NDArray[np.int64],
        collator: Collator,
        *,
        batch_size: int,
        seed: int,
        pool: Pool | None = None,
        part: slice = slice(None),
    ) -> None:
        self.examples, self.lengths, self.collator = examples, lengths, collator
        self.batch_size, self.seed = min(batch_size, len(examples)), seed
        self.part = part
        self.epoch, self.number = 0, 0
        self._pool = pool or Pool(0)
        self._source = BatchBuilder(self._shared(), collator)
        self._place = self._pool.add(self._source)
        self._draws: Iterator[Selection] | None = None
        self._asked: deque[Future[Built]] = deque()

    @property
    def batches_per_epoch(self) -> int:
        """Number of whole batches. The examples left over differ from epoch to epoch."""
        return max(1, len(self.examples) // self.batch_size)

    def order(self, epoch: int) -> list[NDArray[np.int64]]:
        """Rows of every batch of an epoch: shuffled, sorted by length within buckets, batches shuffled again."""
        rng = np.random.default_rng((self.seed, epoch))
        rows = rng.permutation(len(self.examples))
        span = BUCKET * self.batch_size
        parts = [rows[start : start + span] for start in range(0, len(rows), span)]
        rows = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in parts])
        # A short last batch would always hold the longest texts: leave out random examples instead.
        surplus = len(rows) - self.batches_per_epoch * self.batch_size
        if surplus > 0:
            rows = np.delete(rows, rng.choice(len(rows), surplus, replace=False))
        batches = rows.reshape(self.batches_per_epoch, self.batch_size)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _drawn(self, epoch: int, number: int) -> Iterator[Selection]:
        """Endless draws, starting at a position of the stream."""
        while True:
            for rows in self.order(epoch)[number:]:
                yield Selection(tuple(rows.tolist()), self.part, (self.seed, epoch, number, 0))
                number += 1
            epoch, number = epoch + 1, 0

    def next(self) -> Batch:
        """The next batch.

        Raises:
            WorkerLost: a worker has ended.
            TwelveError: an example is wrong.
        """
        if self._draws is None:
            self._draws = self._drawn(self.epoch, self.number)
        while len(self._asked) <= self._pool.ahead:
            self._asked.append(self._ask(next(self._draws)))
        batch = built(self._asked.popleft())
        self._advance()
        return batch

    def skip(self) -> None:
        """Leave out the next batch; it is not built, unless a worker has built it already."""
        if self._asked:
            self._asked.popleft().cancel()
        elif self._draws is not None:
            next(self._draws)
        self._advance()

    def _advance(self) -> None:
        self.number += 1
        if self.number == self.batches_per_epoch:
            self.epoch, self.number = self.epoch + 1, 0

    def use(self, collator: Collator) -> None:
        """Make the next batches with another collator; the stream stays where it is."""
        self.collator = self._source.collator = collator
        self._pool.renew()
        self._drop_asked()

    def _ask(self, selection: Selection) -> Future[Built]:
        if self._pool.workers:
            return self._pool.ask(self._place, selection)
        now: Future[Built] = Future()
        now.set_result(self._source.build(selection))
        return now

    def longest(self) -> Batch:
        """A batch of the longest texts; the stream stays where it is."""
        return self._batch(np.argsort(self.lengths, kind="stable")[-self.batch_size :])

    def typical(self) -> Batch:
        """A batch of texts of median length; the stream stays where it is."""
        rows = np.unique(np.linspace(0, len(self.examples) - 1, BUCKET * self.batch_size).astype(int))
        rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        start = (len(rows) - self.batch_size) // 2
        return self._batch(rows[start : start + self.batch_size])

    def _batch(self, rows: NDArray[np.integer]) -> Batch:
        return self.collator([self.examples[row] for row in rows.tolist()], np.random.default_rng(0), self.part)

    def _shared(self) -> Sequence[Example]:
        """The examples in a form that workers can read without copying them."""
        if not self._pool.workers or isinstance(self.examples, Examples | Packed):
            return self.examples
        return Packed(self.examples)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "number": self.number, "examples": len(self.examples), "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.number = int(state["epoch"]), int(state["number"])
        if self.number >= self.batches_per_epoch:  # there are fewer examples than before
            self.epoch, self.number = self.epoch + 1, 0
        self._drop_asked()

    def _drop_asked(self) -> None:
        """Forget the batches that were asked for ahead."""
        self._draws = None
        for asked in self._asked:
            asked.cancel()
        self._asked.clear()


def passes(
    examples: Sequence[Example],
    lengths: NDArray[np.int64],
    collator: Collator,
    batch_size: int,
    part: slice = slice(None),
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """Every example once, in batches of texts of similar length; yields the rows of each batch, and the batch.

    Args:
        part: which of the batches, where the others are those of other processes.
    """
    rows = np.argsort(lengths, kind="stable")
    for start in range(0, len(rows), batch_size)[part]:
        own = rows[start : start + batch_size]
        yield own, collator([examples[row] for row in own])


def ahead(items: Iterator[T], device: torch.device) -> Iterator[T]:
    """The same items, each of which a thread computes while the one before is used, if that is done on a GPU."""
    if device.type == "cpu":
        yield from items
        return
    end = object()
    with ThreadPoolExecutor(1) as thread:
        waiting: Future[Any] = thread.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = thread.submit(next, items, end)
            yield item
