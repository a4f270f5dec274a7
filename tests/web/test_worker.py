"""What waits together is asked together, and one question's fault is nobody else's."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest
from test_api import png

from twelve.predictor import Predictor, Result
from twelve.predictor.predictor import Question
from twelve.web.line import Line
from twelve.web.worker import Worker


class Recording:
    """A predictor that keeps the sizes of what it is asked, and stumbles over one text."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.asked: list[tuple[int, float | None, bool]] = []

    def ask(self, questions: Sequence[Question], *, explain: bool, threshold: float | None) -> list[Result]:
        self.asked.append((len(questions), threshold, explain))
        if any(question.text == "bad" for question in questions):
            raise ValueError("bad")
        return self.predictor.ask(questions, explain=explain, threshold=threshold)


@pytest.fixture
def recording(predictor: Predictor) -> Recording:
    return Recording(predictor)


@pytest.fixture
def make(recording: Recording) -> Iterator[Any]:
    made: list[Worker] = []

    def build(most: int) -> tuple[Worker, threading.Event]:
        worker, free = Worker(recording, most), threading.Event()  # type: ignore[arg-type]
        worker.do(free.wait)
        made.append(worker)
        return worker, free

    yield build
    for worker in made:
        worker.stop()


@pytest.mark.parametrize("most", [32, 4, 1])
def test_batches(most: int, make: Any, recording: Recording, predictor: Predictor) -> None:
    worker, free = make(most)
    scene = predictor.scene(png(1))
    texts = [f"what colour is {word} ?" for word in ("it", "the thing", "the one", "the red one")] * 2
    questions = [predictor.question("answer", text, (scene,)) for text in texts]
    questions[3] = predictor.question("entails", "it is red", (scene,))
    futures = [worker.ask(question) for question in questions]
    free.set()
    found = [future.result(30) for future in futures]
    assert [size for size, _, _ in recording.asked] == {32: [8], 4: [4, 4], 1: [1] * 8}[most]
    for question, result in zip(questions, found, strict=True):
        expected = predictor.ask([question])[0]
        assert result.text == question.text and result.task == question.task
        assert result.confidence == pytest.approx(expected.confidence, abs=1e-5)


def test_what_differs_is_asked_apart(make: Any, recording: Recording, predictor: Predictor) -> None:
    worker, free = make(32)
    scene = predictor.scene(png(1))
    question = predictor.question("locate", "the red one", (scene,))
    futures = [worker.ask(question, threshold=threshold) for threshold in (0.1, None, 0.1)]
    futures += [worker.ask(question, explain=True) for _ in range(2)]
    free.set()
    assert [future.result(30).explained is not None for future in futures] == [False] * 3 + [True] * 2
    assert recording.asked == [(2, 0.1, False), (1, None, False), (1, None, True), (1, None, True)]


def test_one_fault_is_its_own(make: Any, predictor: Predictor) -> None:
    worker, free = make(32)
    scene = predictor.scene(png(1))
    futures = [worker.ask(predictor.question("answer", text, (scene,))) for text in ("what ?", "bad", "it ?")]
    free.set()
    assert futures[0].result(30).text == "what ?" and futures[2].result(30).text == "it ?"
    with pytest.raises(ValueError, match="bad"):
        futures[1].result(30)
    assert worker.do(lambda: 7).result(30) == 7


def test_what_nobody_waits_for_is_left_out(make: Any, recording: Recording, predictor: Predictor) -> None:
    worker, free = make(32)
    question = predictor.question("answer", "what ?", (predictor.scene(png(1)),))
    futures = [worker.ask(question) for _ in range(3)]
    assert futures[1].cancel()
    free.set()
    futures[2].result(30)
    assert [size for size, _, _ in recording.asked] == [2]


def test_nothing_is_kept_of_what_is_done(predictor: Predictor) -> None:
    class Large:
        pass

    worker = Worker(predictor, 32)
    large = Large()
    kept = weakref.ref(large)
    worker.do(lambda large=large: large).result(30)  # type: ignore[misc]
    del large
    until = time.monotonic() + 10
    while kept() is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert kept() is None
    worker.stop()


def test_stopping_finishes_what_waits(recording: Recording, predictor: Predictor) -> None:
    worker = Worker(recording, 32)  # type: ignore[arg-type]
    free = threading.Event()
    worker.do(free.wait)
    waiting = worker.ask(predictor.question("answer", "what ?", (predictor.scene(png(1)),)))
    threading.Timer(0.05, free.set).start()
    worker.stop()
    assert waiting.done() and waiting.result().text == "what ?"
    with pytest.raises(RuntimeError, match="stopped"):
        worker.do(lambda: None)


def test_questions_and_steps_take_turns(recording: Recording, predictor: Predictor) -> None:
    done: list[object] = []
    worker = Worker(recording, 2, done.append)  # type: ignore[arg-type]
    free = threading.Event()
    worker.do(free.wait)

    def steps(name: str) -> Iterator[int]:
        for number in range(3):
            done.append(f"{name}{number}")
            yield number

    question = predictor.question("answer", "what ?", (predictor.scene(png(1)),))
    works = [worker.run(steps(name)) for name in "ab"]  # type: ignore[arg-type]
    futures = [worker.ask(question) for _ in range(5)]
    free.set()
    for future in (*works, *futures):
        future.result(30)
    assert done == [2, "a0", 2, "b0", 1, "a1", "b1", "a2", "b2"]
    worker.stop()


def test_steps_that_nobody_waits_for_are_left_out(predictor: Predictor) -> None:
    worker, free, done = Worker(predictor, 2), threading.Event(), list[int]()

    def steps() -> Iterator[int]:
        for number in range(9):
            done.append(number)
            yield number
            free.wait()

    pending = worker.run(steps())  # type: ignore[arg-type]
    while not done:
        time.sleep(0.01)
    assert pending.begun and pending.cancel()
    free.set()
    worker.stop()
    assert len(done) < 3


@pytest.mark.parametrize(("alternating", "order"), [(True, "abab"), (False, "aabb")])
def test_work_in_steps_alternates_or_waits_for_its_turn(alternating: bool, order: str) -> None:
    line, free, done = Line("test", alternating=alternating), threading.Event(), list[str]()

    def steps(name: str) -> Generator[None, None, str]:
        for _ in range(2):
            done.append(name)
            yield
        return name

    line.do(free.wait)
    works = [line.run(steps(name)) for name in "ab"]
    free.set()
    assert [work.result(60) for work in works] == ["a", "b"] and "".join(done) == order
    line.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time of the threads, in seconds."""
    now = [0.0]
    for module in ("line", "worker"):
        monkeypatch.setattr(f"twelve.web.{module}.monotonic", lambda: now[0])
    yield now


def test_a_step_that_does_not_end_is_noticed(clock: list[float]) -> None:
    line, free, again = Line("test"), threading.Event(), threading.Event()

    def steps() -> Iterator[None]:
        free.wait()
        yield
        again.wait()

    clock[0] = 50.0
    assert line.still == 0  # it waits for work
    work = line.run(steps())  # type: ignore[arg-type]
    while not work.begun:
        time.sleep(0.01)
    clock[0] = 90.0
    assert line.still == 40
    while line.still:  # the next step begins
        free.set()
        time.sleep(0.01)
    again.set()
    work.result(60)
    line.stop()
    assert line.still == 0


def test_each_question_of_a_batch_that_failed_is_progress(
    clock: list[float], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = list[float]()

    class Slow(Recording):
        def ask(self, questions: Sequence[Question], *, explain: bool, threshold: float | None) -> list[Result]:
            clock[0] += 40
            still.append(worker.still)
            return super().ask(questions, explain=explain, threshold=threshold)

    worker, free = Worker(Slow(predictor), 32), threading.Event()  # type: ignore[arg-type]
    worker.do(free.wait)
    scene = predictor.scene(png(1))
    futures = [worker.ask(predictor.question("answer", text, (scene,))) for text in ("what ?", "bad", "it ?")]
    free.set()
    futures[2].result(60)
    worker.stop()
    assert still == [40] * 4  # together, then one by one
