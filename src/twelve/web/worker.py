"""The thread that runs the model. Waiting questions are answered in one batch.

There is no deliberate delay: questions that arrive while the model is busy form the next batch, and a single question
is answered at once. Waiting questions are also answered between two steps of long work, such as a search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from twelve.predictor import Predictor, Question, Result
from twelve.web.line import Line, Pending


@dataclass(slots=True)
class _Asked:
    """A waiting question."""

    question: Question
    threshold: float | None
    explain: bool
    future: Pending[Result] = field(default_factory=Pending)

    def goes_with(self, other: _Asked) -> bool:
        """Whether both questions can share a call. Explained questions are always asked one by one."""
        return not self.explain and not other.explain and self.threshold == other.threshold


class Worker(Line):
    """The thread that runs the model, until :meth:`stop`. Batches of questions and steps of other work alternate, so
    neither waits for more than one of the other.

    Args:
        max_batch: maximum number of questions in a batch.
        on_batch: called with the size of every batch.
    """

    def __init__(self, predictor: Predictor, max_batch: int, on_batch: Callable[[int], None] = lambda _: None) -> None:
        self._predictor, self._max_batch, self._on_batch = predictor, max_batch, on_batch
        self._asked: deque[_Asked] = deque()
        self._questions_turn = True
        super().__init__("model")

    def ask(self, question: Question, *, explain: bool = False, threshold: float | None = None) -> Pending[Result]:
        """Queue a question; the future has its result."""
        asked = _Asked(question, threshold, explain)
        self._put(self._asked, asked)
        return asked.future

    def _waiting(self) -> bool:
        return bool(self._asked) or super()._waiting()

    def _next(self) -> Callable[[], None]:
        questions = bool(self._asked) and (self._questions_turn or not self._works)
        self._questions_turn = not questions
        if not questions:
            return super()._next()
        batch = self._batch()
        return lambda: self._answer(batch)

    def _batch(self) -> list[_Asked]:
        """The question that has waited longest, and those that can share its call."""
        first, *others = self._asked
        batch, rest = [first], list[_Asked]()
        for asked in others:
            fits = len(batch) < self._max_batch and first.goes_with(asked)
            (batch if fits else rest).append(asked)
        self._asked.clear()
        self._asked.extend(rest)
        return batch

    def _answer(self, batch: Sequence[_Asked]) -> None:
        # Cancelled questions are left out.
        live = [asked for asked in batch if asked.future.set_running_or_notify_cancel()]
        if not live:
            return
        for asked in live:
            asked.future.begun = True
        self._on_batch(len(live))
        if len(live) > 1:
            try:
                found = self._ask(live)
            except Exception:  # asked one by one below, so that only the faulty question fails
                pass
            else:
                for asked, result in zip(live, found, strict=True):
                    asked.future.set_result(result)
                return
        for asked in live:
            try:
                asked.future.set_result(self._ask([asked])[0])
            except Exception as error:  # the request gets the error, and the thread goes on
                asked.future.set_exception(error)

    def _ask(self, batch: Sequence[_Asked]) -> list[Result]:
        self._since = monotonic()  # also between two questions of a batch that are asked one by one
        questions = [asked.question for asked in batch]
        return self._predictor.ask(questions, explain=batch[0].explain, threshold=batch[0].threshold)
