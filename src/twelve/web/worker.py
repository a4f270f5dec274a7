"""One thread owns the model; what waits together is asked together.

Nothing waits on purpose: while the model is busy, questions gather, and the next batch takes them. A lone question is
answered at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twelve.predictor import Predictor, Question, Result

T = TypeVar("T")


@dataclass(slots=True)
class _Job:
    """Something to do: a question, or other work with the model."""

    work: Callable[[], Any] | None = None
    question: Question | None = None
    threshold: float | None = None
    explain: bool = False
    future: Future[Any] = field(default_factory=Future)

    def goes_with(self, other: _Job) -> bool:
        """Whether both may be asked in one call. Explained questions are asked one by one in any case."""
        ask = self.question is not None and other.question is not None
        return ask and not self.explain and not other.explain and self.threshold == other.threshold


class Worker:
    """Runs until :meth:`stop`.

    Args:
        max_batch: questions that are asked together.
        on_batch: told how many were.

    Attributes:
        at_work: whether something is being done.
    """

    def __init__(self, predictor: Predictor, max_batch: int, on_batch: Callable[[int], None] = lambda _: None) -> None:
        self._predictor, self._max_batch, self._on_batch = predictor, max_batch, on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self.at_work = False
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)
        self._thread.start()

    def ask(self, question: Question, *, explain: bool = False, threshold: float | None = None) -> Future[Result]:
        """The answer to a question, once it is there."""
        return self._put(_Job(question=question, explain=explain, threshold=threshold))

    def do(self, work: Callable[[], T]) -> Future[T]:
        """What ``work`` returns, once the model's thread has run it."""
        return self._put(_Job(work=work))

    def stop(self, seconds: float | None = None) -> None:
        """Finish what waits, then end. Returns when that is done, or after ``seconds``: what is being worked on cannot
        be interrupted."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)

    def _put(self, job: _Job) -> Future[Any]:
        with self._changed:
            if self._stopping:
                raise RuntimeError("the worker was stopped")
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def _loop(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Take and do one batch; False when all is done. A function of its own, so that nothing of a batch is kept in
        memory while the next is waited for."""
        batch = self._take()
        self.at_work = bool(batch)
        # Those that nobody waits for any more are left out.
        live = [job for job in batch if job.future.set_running_or_notify_cancel()]
        if live and live[0].question is not None:
            self._answer(live)
        elif live and live[0].work is not None:
            _settle(live[0], live[0].work)
        self.at_work = False
        return bool(batch)

    def _take(self) -> list[_Job]:
        """The job that waits longest and what goes with it; none when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._stopping)
            if not self._jobs:
                return []
            first = self._jobs.popleft()
            batch, rest = [first], deque[_Job]()
            for job in self._jobs:
                fits = len(batch) < self._max_batch and first.goes_with(job)
                (batch if fits else rest).append(job)
            self._jobs = rest
            return batch

    def _answer(self, jobs: Sequence[_Job]) -> None:
        self._on_batch(len(jobs))
        if len(jobs) > 1:
            try:
                found = self._ask(jobs)
            except Exception:  # one of them is at fault: which one shows when each is asked alone
                pass
            else:
                for job, result in zip(jobs, found, strict=True):
                    job.future.set_result(result)
                return
        for job in jobs:
            _settle(job, lambda job=job: self._ask([job])[0])  # type: ignore[misc]

    def _ask(self, jobs: Sequence[_Job]) -> list[Result]:
        questions = [job.question for job in jobs if job.question is not None]
        return self._predictor.ask(questions, explain=jobs[0].explain, threshold=jobs[0].threshold)


def _settle(job: _Job, work: Callable[[], Any]) -> None:
    try:
        job.future.set_result(work())
    except Exception as error:  # the thread outlives every mistake; the request that made it hears of it
        job.future.set_exception(error)
