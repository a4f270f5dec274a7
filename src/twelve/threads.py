"""Measures how many threads torch should compute with.

The threads of an operator wait for each other at its end, spinning. If another process uses the core of one of them,
all wait: two threads can then be twenty times as slow as one, which waits for nobody.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import psutil  # type: ignore[import-untyped, unused-ignore]
import torch

from twelve.progress import counted

S = TypeVar("S")
T = TypeVar("T")
Asked: TypeAlias = int | Literal["auto"]
"""``training.threads``: a number, or measured."""

ROUNDS = 4
"""Least number of trials of every number of threads, unless one is clearly worse."""
WORSE = 2.0
"""A number of threads that is this many times as slow is clearly worse."""
GAIN = 1.03
"""More threads must be this many times as fast, since fewer suffer less from other processes."""
HICCUP = 1.0
"""Seconds; a delay of more than this is not random."""
BUDGET = 4.0
"""Seconds of measuring after which no further round begins."""
FAR = 2.5
"""If work takes this many times as long as measured, something has changed."""
PATIENCE = 20.0
"""Seconds of training for which that must hold; doubled when measuring again changed nothing."""
LOST = 5.0
"""The same, for work whose threads can change at any time."""
AGAIN = 60.0
"""Seconds after which such work is measured again, or more, so that measuring takes at most ``SHARE`` of the time."""
SHARE = 0.01
SIDE_BY_SIDE = 8
"""Most batches that are computed at a time; each needs memory of its own."""
FREE = 0.75
"""If fewer cores than this share of the threads are free, other processes slow the work down."""

_TORCH = torch.get_num_threads()
"""The number when this module was loaded: OMP_NUM_THREADS, or the machine's cores."""


def cores() -> int:
    """Cores that this process may use: the least of the machine's, its affinity mask's, and its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # in no container, or one without a quota ("max")
        pass
    return max(1, count)


def most(processes: int = 1) -> int:
    """Most threads that each of a number of processes on this machine uses."""
    return max(1, min(_TORCH, cores() // max(1, processes)))


class Others:
    """The number of cores that other processes have kept busy since this object was made.

    Args:
        processes: processes of this run on this machine, which all work as much as this one.
    """

    def __init__(self, processes: int = 1) -> None:
        self._processes, self._start = processes, self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """The clock, the busy seconds of all cores, and those of this process."""
        try:
            spent = psutil.cpu_times()
            idle = sum(getattr(spent, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
            busy = sum(spent) - idle
        except (OSError, ValueError, RuntimeError, psutil.Error):  # not available on this system
            busy = 0.0
        return time.perf_counter(), busy, time.process_time()

    def cores(self) -> float:
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, (busy - self._processes * own) / wall) if wall > 0 else 0.0

    def free(self) -> float:
        """Cores that other processes leave free."""
        return min(float(cores()), (os.cpu_count() or 1) - self.cores())


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of measuring.

    Attributes:
        number: the fastest number of threads.
        seconds: number of threads -> median seconds of a piece of work.
        works: index of a piece of work -> its seconds with ``number`` threads.
        busy: cores that other processes kept busy.
        held: whether too few cores were free.
    """

    number: int
    seconds: Mapping[int, float]
    works: Mapping[int, float]
    busy: float
    held: bool

    def __str__(self) -> str:
        rest = "".join(
            f"; with {n}: {_milliseconds(self.seconds[n])}"
            for n in sorted(self.seconds, reverse=True)
            if n != self.number
        )
        why = "; other processes keep the cores busy" if self.held else ""
        chosen = f"computing with {counted(self.number, 'thread')}"
        return f"{chosen} ({_milliseconds(self.seconds[self.number])} per step{rest}){why}"


def measure(
    works: Sequence[Callable[[], object]],
    numbers: Sequence[int],
    *,
    rounds: int = ROUNDS,
    processes: int = 1,
    agree: Callable[[float], float] = float,
) -> Measured:
    """Time pieces of work with every number of threads, alternately; the last number that was tried stays set.

    Args:
        works: each round does the next one of them.
        numbers: of threads, ascending.
        rounds: least number of rounds; more, up to :data:`BUDGET` seconds, until every work was done once.
        processes: of the run, on this machine.
        agree: combines a time over all processes of the run, so that all decide the same.
    """
    others, running = Others(processes), list(numbers)
    times: dict[int, list[float]] = {number: [] for number in numbers}

    def timed(work: Callable[[], object], number: int) -> float:
        torch.set_num_threads(number)
        begun = time.perf_counter()
        work()
        return agree(time.perf_counter() - begun)

    spent = timed(works[0], numbers[0])  # the first time costs more
    for turn in range(max(rounds, len(works))):
        for number in running if turn % 2 == 0 else reversed(running):
            times[number].append(timed(works[turn % len(works)], number))
            spent += times[number][-1]
        best = min(running, key=lambda number: sum(times[number]))
        running = [number for number in running if number == best or not _hopeless(times[number], times[best])]
        if turn > 0 and (spent > BUDGET or (len(running) == 1 and turn + 1 >= len(works))):
            break
    chosen = running[0]
    for number in running[1:]:
        if _ratio(times[number], times[chosen]) * GAIN < 1:
            chosen = number
    usual = statistics.median(times[chosen])
    free = others.free()
    return Measured(
        number=chosen,
        seconds={number: usual * _ratio(times[number], times[chosen]) for number in numbers},
        works={turn % len(works): seconds for turn, seconds in enumerate(times[chosen])},
        busy=others.cores(),
        held=free < FREE * numbers[-1],
    )


def _ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long the same pieces of work took; one sequence may have ended earlier."""
    return statistics.median(a / b for a, b in zip(seconds, others, strict=False))


def _hopeless(seconds: Sequence[float], best: Sequence[float]) -> bool:
    """Whether further trials are useless: it was clearly worse twice, or far worse once for long."""
    if len(seconds) == 1:
        return seconds[0] > HICCUP and seconds[0] > 2 * WORSE * best[0]
    return min(a / b for a, b in zip(seconds, best, strict=True)) > WORSE


class Threads:
    """The threads of one long command.

    Args:
        asked: a fixed number, or ``auto``.
        say: prints a line.
        processes: of the run, on this machine.
        agree: returns the largest value of a number in all processes of the run.
        auto: False on a GPU, where nothing needs to be chosen, and batches are computed one after another.

    Attributes:
        number: the current number of threads.
        auto: whether it is measured.
        side_by_side: how many batches :meth:`each` computes at a time; 1 on a GPU.
    """

    def __init__(
        self,
        asked: Asked,
        say: Callable[[str], None] = lambda text: None,
        *,
        processes: int = 1,
        agree: Callable[[float], float] = float,
        auto: bool = True,
    ) -> None:
        self._say, self._agree, self._processes = say, agree, processes
        self.most = int(-agree(-float(most(processes)))) if asked == "auto" else int(asked)
        self.auto = asked == "auto" and auto and self.most > 1
        self.number = 1 if self.auto else self.most
        self.side_by_side = min(self.most, SIDE_BY_SIDE) if auto else 1
        self.numbers = sorted({1, (self.most + 1) // 2, self.most})
        if asked != "auto" or auto:
            torch.set_num_threads(self.number)
        self._warned = False
        self._pace = 0.0  # seconds for one of size, of work that run() does
        self._due, self._slow = 0.0, 0.0

    def set(self, number: int) -> None:
        torch.set_num_threads(number)
        self.number = number

    def here(self) -> None:
        """Compute with the number that was measured in this thread too: torch keeps one for each."""
        if self.auto and torch.get_num_threads() != self.number:
            torch.set_num_threads(self.number)

    def choose(self, works: Sequence[Callable[[], object]], *, rounds: int = ROUNDS) -> Measured:
        """Measure, see :func:`measure`, and set the fastest number of threads."""
        try:
            found = measure(works, self.numbers, rounds=rounds, processes=self._processes, agree=self._agree)
            self.number = found.number
        finally:
            torch.set_num_threads(self.number)
        return found

    def tell(self, found: Measured, where: str = "") -> None:
        """Print what was chosen and, once, a warning if other processes slow the work down."""
        self._say(f"{where}{found}")
        if found.held and not self._warned:
            self._warned = True
            self._say(
                f"warning: other processes keep {found.busy:.1f} of this machine's {os.cpu_count()} cores busy: "
                "this takes longer than on an idle machine"
            )

    def run(self, work: Callable[[], T], size: int) -> T:
        """Do work that changes nothing and can be repeated, and return its result. Threads are measured at first, when
        the work becomes far slower, and at intervals.

        Args:
            size: of this piece of work, to which its time is about proportional.
        """
        if not self.auto:
            return work()
        begun = time.perf_counter()
        if begun >= self._due:
            before, first = self.number, not self._due
            found = self.choose([work])
            if first or found.number != before:
                self.tell(found)
            self._pace, self._slow = found.seconds[found.number] / size, 0.0
            now = time.perf_counter()
            self._due = now + max(AGAIN, (now - begun) / SHARE)
            begun = now
        result = work()
        took = time.perf_counter() - begun
        self._slow = self._slow + took if self.number > 1 and took > FAR * self._pace * size else 0.0
        if self._slow > LOST:
            self._due = min(self._due, begun)
        return result

    def each(self, work: Callable[[S], T], items: Iterable[S]) -> Iterator[tuple[S, T]]:
        """Every item with the result of ``work`` on it, in order and without gradients.

        On a CPU, several are computed at a time, each in a thread of its own, whose operators use one core. Then no
        operator waits for the slowest of several threads: on two cores, the paper's model in bf16 predicts at least 7 %
        faster than with two threads in every operator, and no other process can make one batch wait for another.
        """

        def inferring(item: S) -> T:
            with torch.inference_mode():
                return work(item)

        if self.side_by_side == 1:
            yield from ((item, inferring(item)) for item in items)
            return
        before, own = torch.get_num_threads(), max(1, self.most // self.side_by_side)
        waiting = deque[tuple[S, Future[T]]]()
        pool = ThreadPoolExecutor(self.side_by_side, initializer=torch.set_num_threads, initargs=(own,))
        try:
            for item in items:
                waiting.append((item, pool.submit(inferring, item)))
                if len(waiting) > self.side_by_side:  # one more than is computed, so that no thread waits for it
                    done, found = waiting.popleft()
                    yield done, found.result()
            while waiting:
                done, found = waiting.popleft()
                yield done, found.result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)  # the last number that any thread set is that of threads to come


class Watch:
    """Notices when the steps of a run have become far slower than when its threads were measured.

    Args:
        expected: task -> seconds that its step should take, or the same share of them for all tasks.
    """

    def __init__(self, expected: Mapping[str, float], patience: float = PATIENCE) -> None:
        self.expected, self.patience = dict(expected), patience
        self._ratios: list[float] = []
        self._took = self._should = 0.0

    @property
    def _factor(self) -> float:
        """Time of a whole step over the expected one, from the first steps; bounded, as these may be slow already."""
        return min(3.0, max(1.0, statistics.median(self._ratios))) if self._ratios else 1.0

    def whole(self) -> dict[str, float]:
        """Task -> seconds that its whole step should take."""
        return {name: seconds * self._factor for name, seconds in self.expected.items()}

    def slow(self, seconds: Mapping[str, float]) -> bool:
        """Whether recent iterations were far too slow; ``seconds`` are those of the last iteration's steps."""
        known = seconds.keys() & self.expected.keys()
        took, should = sum(seconds[name] for name in known), sum(self.expected[name] for name in known)
        if not should:
            return False
        if len(self._ratios) < 5:
            self._ratios.append(took / should)
        self._took, self._should = self._took + took, self._should + should * self._factor
        if self._took < self.patience:
            return False
        slow = self._took > FAR * self._should
        self._took = self._should = 0.0
        return slow


def unchanged(device: torch.device) -> Threads:
    """A fixed number of threads: torch's current one."""
    return Threads(torch.get_num_threads(), auto=device.type == "cpu")


@contextmanager
def given_back() -> Iterator[None]:
    """Restore the number of torch's threads at the end of the block."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.2g} ms"
