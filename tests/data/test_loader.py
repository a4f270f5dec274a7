"""Streams: every example, in an order that seed and epoch alone decide, resumable at any batch."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twelve.data import loader
from twelve.data.loader import BUCKET, Pool, Selection, TaskBatches, WorkerLost, ahead, passes
from twelve.types.batch import Batch
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


def test_one_pool_builds_for_all_streams() -> None:
    """The same batches as without workers, from as many processes as asked for, also after a resume."""
    pool = Pool(2)
    streams = [stream(60, 6, pool=pool) for _ in range(3)]
    alone = stream(60, 6)
    expected = [(batch.ids, batch.noise) for batch in (alone.next() for _ in range(25))]
    for each in streams:
        assert [(batch.ids, batch.noise) for batch in (each.next() for _ in range(12))] == expected[:12]
    state = streams[0].state_dict()
    assert state == {"epoch": 1, "number": 2, "examples": 60, "seed": 5}
    assert pool._processes is not None and len(pool._processes._processes) == 2 and pool.ahead == 2
    processes = list(pool._processes._processes.values())
    streams[1].load_state_dict(state | {"number": 3})
    assert [(batch.ids, batch.noise) for batch in (streams[1].next() for _ in range(12))] == expected[13:]
    pool.close()
    assert not any(process.is_alive() for process in processes)


class Frozen(Recorder):
    """Records how many objects the garbage collector of this process leaves alone."""

    def __call__(self, *_: Any) -> Any:
        return Recorded([], float(gc.get_freeze_count()))


def test_workers_collect_no_garbage_of_their_parent() -> None:
    """A collection in either would write to each of its objects, so that there were two copies of them."""
    pool = Pool(1)
    examples = [Example("1", "x", ("a/1",))]
    batches = TaskBatches(examples, np.array([1]), Frozen(), batch_size=1, seed=0, pool=pool)  # type: ignore[arg-type]
    assert batches.next().noise > 1_000  # type: ignore[attr-defined]
    assert gc.get_freeze_count() > 1_000
    pool.close()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_thread_ahead_gives_the_same(device: str) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("late")

    assert list(ahead(iter(range(5)), torch.device(device))) == list(range(5))
    found = ahead(failing(), torch.device(device))
    assert next(found) == 1
    with pytest.raises(ValueError, match="late"):
        next(found)


def test_batches_in_page_locked_memory_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(1, pin=True)
    pinned, plain = stream(60, 6, pool=pool), stream(60, 6)
    assert [pinned.next().ids for _ in range(3)] == [plain.next().ids for _ in range(3)]
    pool.close()
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 0)
    ones = torch.ones(2)
    optional = {"text_mask": None, "region_mask": ones, "pair_text": None, "pair_image": None}
    given = {"input_ids": ones, "features": ones, "boxes": ones, "task_rows": ones, "targets": {"target": ones}}
    batch = Batch(task="t", output="o", examples=[], regions=[], everywhere=2, **given, **optional)  # type: ignore[arg-type]
    moved = batch.pinned()
    tensors = [moved.input_ids, moved.features, moved.boxes, moved.region_mask, moved.targets["target"]]
    assert all(tensor is not ones and torch.equal(tensor, ones) for tensor in tensors if tensor is not None)
    assert moved.text_mask is None and moved.everywhere == 2


@pytest.mark.parametrize("count", [1, 2])
def test_a_lost_worker_is_said(count: int) -> None:
    """As soon as the executor notices, also while others read ahead: the executor ends those by SIGTERM."""
    pool = Pool(count)
    found = stream(60, 6, pool=pool)
    found.next()
    assert pool._processes is not None
    os.kill(next(iter(pool._processes._processes)), signal.SIGKILL)
    until = time.monotonic() + 60
    while not pool._processes._broken and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(WorkerLost, match=r"\[training.workers\]: a process that reads ahead has ended"):
        for _ in range(5):
            found.next()
    pool.close()  # which waits for the others


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="SIGTERM ends workers on macOS")
@pytest.mark.parametrize("beginning", [False, True])
def test_a_worker_goes_on_after_a_sigterm_of_others(beginning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been sent to all processes of the run, of which one still needs batches for its last iteration."""
    begin = loader._begin
    monkeypatch.setattr(loader, "_begin", lambda sources: (time.sleep(0.5 * beginning), begin(sources)))
    pool = Pool(2)
    found = stream(60, 6, pool=pool)
    if beginning:
        pool.ask(0, Selection((0,), slice(None), (5, 0, 0, 0)))
    else:
        found.next()
    assert pool._processes is not None
    workers = [*pool._processes._processes]
    subprocess.run(["kill", "-TERM", *map(str, workers)], check=True)
    for _ in range(20):
        found.next()
    assert [*pool._processes._processes] == workers
    pool.close()


def test_workers_end_with_the_process_that_asks() -> None:
    script = (
        "import os, signal, test_loader\n"
        "pool = test_loader.Pool(2)\n"
        "found = test_loader.stream(60, 6, pool=pool)\n"
        "found.next()\n"
        "print(*pool._processes._processes, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True)
    workers = [psutil.Process(int(number)) for number in done.stdout.split() if psutil.pid_exists(int(number))]
    assert done.stdout, done.stderr
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_passes_gives_every_example_once() -> None:
    found = stream(37, 5)
    rows = [row for rows, batch in passes(found.examples, found.lengths, Recorder(), 8) for row in rows]  # type: ignore[arg-type]
    assert sorted(rows) == list(range(37))
