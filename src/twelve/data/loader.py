"""Endless, resumable streams of training batches, and the batches of one pass for evaluation.

The order of a stream is a function of (seed, epoch) alone, so its position is two integers, and an exact resume needs
nothing else. A batch holds texts of similar length ("bucketing"), so that there is little padding; the order of the
batches stays random.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from twelve.data.batch import Collator
from twelve.data.examples.store import Examples
from twelve.errors import TwelveError
from twelve.types.batch import Batch
from twelve.types.examples import Example
from twelve.types.packed import Packed

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


@contextmanager
def watched() -> Iterator[None]:
    """Turn the end of a worker, which torch reports wherever the program is by then, into one line.

    Raises:
        WorkerLost: a worker has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        if hasattr(signal, "SIGCHLD"):  # torch's handler would raise again for every other worker that ends
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raise WorkerLost(
            f"a process that reads ahead has ended ({' '.join(str(error).split())[:200]})",
            record="training.workers",
            remedy="run the same command with --continue; if memory ran out, with --set training.workers=0 as well",
        ) from None


class _Batches(Dataset[Batch | TwelveError]):
    """Maps a selection to its batch, or to its error, which a worker could only pass on as a traceback."""

    def __init__(self, examples: Sequence[Example], collator: Collator) -> None:
        self.examples, self.collator = examples, collator

    def __getitem__(self, selection: Selection) -> Batch | TwelveError:
        try:
            examples = [self.examples[row] for row in selection.rows]
            return self.collator(examples, np.random.default_rng(selection.seed), selection.part)
        except TwelveError as error:
            return error


class _Order(Sampler[Selection]):
    """Endless selections, from a position of the task's batches on."""

    def __init__(self, batches: TaskBatches, epoch: int, number: int) -> None:
        self.batches, self.epoch, self.number = batches, epoch, number

    def __iter__(self) -> Iterator[Selection]:
        epoch, number, batches = self.epoch, self.number, self.batches
        while True:
            for rows in batches.order(epoch)[number:]:
                yield Selection(tuple(int(row) for row in rows), batches.part, (batches.seed, epoch, number, 0))
                number += 1
            epoch, number = epoch + 1, 0


class TaskBatches:
    """One task's endless training batches.

    Args:
        lengths: (N,) text length of every example, for bucketing.
        seed: determines the order, together with the epoch.
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
        workers: int = 0,
        part: slice = slice(None),
    ) -> None:
        self.examples, self.lengths, self.collator = examples, lengths, collator
        self.batch_size, self.seed, self.workers = min(batch_size, len(examples)), seed, workers
        self.part = part
        self.epoch, self.number = 0, 0
        self._iterator: Iterator[Batch | TwelveError] | None = None

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

    def next(self) -> Batch:
        if self._iterator is None:
            self._iterator = iter(
                DataLoader(
                    _Batches(self._shared(), self.collator),
                    batch_size=None,
                    sampler=_Order(self, self.epoch, self.number),
                    num_workers=self.workers,
                    persistent_workers=self.workers > 0,
                    # A generator of its own: a loader draws a seed when it starts, and a resumed run starts it again.
                    generator=torch.Generator(),
                )
            )
        batch = next(self._iterator)
        if isinstance(batch, TwelveError):
            raise batch
        self.number += 1
        if self.number == self.batches_per_epoch:
            self.epoch, self.number = self.epoch + 1, 0
        return batch

    def use(self, collator: Collator) -> None:
        """Make the next batches with another collator; the stream stays where it is."""
        self.collator, self._iterator = collator, None

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
        if not self.workers or isinstance(self.examples, Examples | Packed):
            return self.examples
        return Packed(self.examples)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "number": self.number, "examples": len(self.examples), "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.number = int(state["epoch"]), int(state["number"])
        if self.number >= self.batches_per_epoch:  # there are fewer examples than before
            self.epoch, self.number = self.epoch + 1, 0
        self._iterator = None


def passes(
    examples: Sequence[Example], lengths: NDArray[np.int64], collator: Collator, batch_size: int
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """Every example once, in batches of texts of similar length; yields the rows of each batch, and the batch."""
    rows = np.argsort(lengths, kind="stable")
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        yield part, collator([examples[row] for row in part])
