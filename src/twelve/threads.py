"""How many threads torch computes with: measured on the work at hand, not assumed.

Threads of an operator wait for each other at its end, spinning. Where another process holds the core of one of them,
all wait until it gets its turn: two threads can then be twenty times as slow as one, which waits for nobody.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import psutil  # type: ignore[import-untyped, unused-ignore]
import torch

T = TypeVar("T")
Asked: TypeAlias = int | Literal["auto"]
"""``training.threads``: a number, or measured."""

ROUNDS = 4
"""Times that every number of threads is tried, at least, but for one that is clearly worse."""
WORSE = 2.0
"""Times as slow: clearly worse."""
GAIN = 1.03
"""Times as fast that more threads must be: fewer of them are at less risk from other processes."""
HICCUP = 1.0
"""Seconds that nothing takes by chance."""
BUDGET = 4.0
"""Seconds after which no further round begins."""
FAR = 2.5
"""Times the measured time of work: something has changed."""
PATIENCE = 20.0
"""Seconds of training for which that must hold; doubled whenever it brought nothing."""
LOST = 5.0
"""Seconds of work that can change its threads at any moment, for which that must hold."""
AGAIN = 60.0
"""Seconds after which such work is measured again, or longer: what measuring takes is at most ``SHARE`` of the time."""
SHARE = 0.01
FREE = 0.75
"""Share of the threads for which a core must be free, or other processes hold the cores."""

_TORCH = torch.get_num_threads()
"""What torch was told or found when this module was loaded: OMP_NUM_THREADS, or the machine's cores."""


def cores() -> int:
    """Cores that this process may use: of the machine, of its affinity mask, and of its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # in no container, or one without a quota ("max")
        pass
    return max(1, count)


def most(processes: int = 1) -> int:
    """Threads that each of so many processes on this machine uses at most."""
    return max(1, min(_TORCH, cores() // max(1, processes)))


class Others:
    """How many cores other processes keep busy, from its making on.

    Args:
        processes: of this run on this machine, which all work as much as this one.
    """

    def __init__(self, processes: int = 1) -> None:
        self._processes, self._start = processes, self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """The clock, the seconds in which all cores were busy, and this process's part of them."""
        try:
            spent = psutil.cpu_times()
            idle = sum(getattr(spent, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
            busy = sum(spent) - idle
        except (OSError, ValueError, RuntimeError, psutil.Error):  # a system that does not say
            busy = 0.0
        return time.perf_counter(), busy, time.process_time()

    def cores(self) -> float:
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, (busy - self._processes * own) / wall) if wall > 0 else 0.0

    def free(self) -> float:
        """Cores that other processes leave."""
        return min(float(cores()), (os.cpu_count() or 1) - self.cores())


@dataclass(frozen=True, slots=True)
class Measured:
    """What measuring found.

    Attributes:
        number: of threads, the fastest.
        seconds: number of threads -> median seconds of a piece of work.
        works: index of a piece of work -> its seconds with ``number`` threads.
        busy: cores that other processes kept busy meanwhile.
        held: whether too few were left.
    """

    number: int
    seconds: Mapping[int, float]
    works: Mapping[int, float]
    busy: float
    held: bool

    def __str__(self) -> str:
        rest = "".join(
            f", {_milliseconds(self.seconds[n])} with {n}"
            for n in sorted(self.seconds, reverse=True)
            if n != self.number
        )
        why = "; other processes keep the cores busy" if self.held else ""
        return f"{counted(self.number)}: {_milliseconds(self.seconds[self.number])} a step{rest}{why}"


def measure(
    works: Sequence[Callable[[], object]],
    numbers: Sequence[int],
    *,
    rounds: int = ROUNDS,
    processes: int = 1,
    agree: Callable[[float], float] = float,
) -> Measured:
    """Try pieces of work, in turns, with every number of threads; the last number that was tried stays set.

    Args:
        works: a round does one of them, the next round the next one.
        numbers: of threads, ascending.
        rounds: at least; every work once where that does not take longer than :data:`BUDGET` seconds.
        processes: of the run, on this machine.
        agree: what all processes of the run make of one's seconds, so that all of them decide alike.
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
    """How many times as long the same pieces of work took; one may have been given up earlier."""
    return statistics.median(a / b for a, b in zip(seconds, others, strict=False))


def _hopeless(seconds: Sequence[float], best: Sequence[float]) -> bool:
    """Whether no further trial is worth its time: twice clearly worse, or once by far and for long."""
    if len(seconds) == 1:
        return seconds[0] > HICCUP and seconds[0] > 2 * WORSE * best[0]
    return min(a / b for a, b in zip(seconds, best, strict=True)) > WORSE


class Threads:
    """The threads of one long command.

    Args:
        asked: a number, which is never changed, or ``auto``.
        say: tells a person.
        processes: of the run, on this machine.
        agree: the largest of a number in all processes of the run.
        auto: False where there is nothing to choose, on a GPU.

    Attributes:
        number: of threads now.
        auto: whether it is to be measured.
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
        """Measure, see :func:`measure`, and go on with the fastest number of threads."""
        try:
            found = measure(works, self.numbers, rounds=rounds, processes=self._processes, agree=self._agree)
            self.number = found.number
        finally:
            torch.set_num_threads(self.number)
        return found

    def tell(self, found: Measured, where: str = "") -> None:
        """Say what was chosen, and once that other processes slow everything down."""
        self._say(f"{where}{found}")
        if found.held and not self._warned:
            self._warned = True
            self._say(
                f"warning: other processes keep {found.busy:.1f} of this machine's {os.cpu_count()} cores busy: "
                "this takes longer than it would alone"
            )

    def run(self, work: Callable[[], T], size: int) -> T:
        """The result of work that changes nothing and may be repeated: measured at first, when it becomes far slower,
        and now and then.

        Args:
            size: of this piece of work; its time is about in proportion.
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


class Watch:
    """Tells when a run's steps have become far slower than they were when its threads were measured.

    Args:
        expected: task -> seconds that its step should take, or a part of them that all steps have in common.
    """

    def __init__(self, expected: Mapping[str, float], patience: float = PATIENCE) -> None:
        self.expected, self.patience = dict(expected), patience
        self._ratios: list[float] = []
        self._took = self._should = 0.0

    @property
    def _factor(self) -> float:
        """Of a whole step to what was measured of it, from the first ones; bounded, as they may be slow already."""
        return min(3.0, max(1.0, statistics.median(self._ratios))) if self._ratios else 1.0

    def whole(self) -> dict[str, float]:
        """task -> seconds that its whole step should take."""
        return {name: seconds * self._factor for name, seconds in self.expected.items()}

    def slow(self, seconds: Mapping[str, float]) -> bool:
        """Whether the iterations of the last while were far too slow; ``seconds`` are of the last one's steps."""
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


def unchanged() -> Threads:
    """Threads that stay as torch has them."""
    return Threads(torch.get_num_threads())


@contextmanager
def given_back() -> Iterator[None]:
    """The number of torch's threads afterwards is the one before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def counted(number: int) -> str:
    """``1 -> '1 thread'``."""
    return f"{number} thread" + "s" * (number > 1)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.2g} ms"
