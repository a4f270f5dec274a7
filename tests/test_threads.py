"""How many threads: measured, changed at checkpoints alone, and of no effect on anything but time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console

from twelve import config as configuration
from twelve import threads
from twelve.errors import ConfigError
from twelve.model.vilbert import Twelve
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.threads import Others, Threads, Watch, measure
from twelve.training import checkpoint
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever this machine has and whatever else runs on it: two threads are a number, work is done by one."""
    number = [2]
    torch.set_num_threads(1)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "most", lambda processes=1: 2)
        patch.setattr(threads.Watch, "slow", lambda self, took: False)
        patch.setattr(torch, "set_num_threads", lambda wanted: number.append(wanted))
        patch.setattr(torch, "get_num_threads", lambda: number[-1])
        yield


SLOW = Watch.slow


class Clock:
    """Time that passes only where work is done: so much with one thread, so much with two."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, one: float, two: float) -> None:
        self.now, self.seconds, self.done = 1000.0, {1: one, 2: two, 4: two}, list[int]()
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)

    def work(self) -> int:
        number = torch.get_num_threads()
        self.done.append(number)
        self.now += self.seconds[number]
        return number


@pytest.mark.parametrize(("one", "two", "expected"), [(1.0, 0.6, 2), (0.6, 1.0, 1), (1.0, 0.99, 1)])
def test_the_fastest_number_is_taken_and_fewer_where_they_are_as_fast(
    one: float, two: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, one, two)
    assert measure([clock.work], [1, 2]).number == expected


@pytest.mark.parametrize(("two", "trials"), [(0.9, 2), (2.9, 1)])
def test_a_number_that_is_clearly_worse_is_given_up(two: float, trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.07, two)
    measure([clock.work], [1, 2])
    assert clock.done.count(2) == trials


def test_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.07, 2.9)
    monkeypatch.setattr(threads.psutil, "cpu_times", lambda: (0.0,))
    found = measure([clock.work], [1, 2])
    assert str(found) == "computing with 1 thread (70 ms per step; with 2: 2,900 ms)"
    assert found.seconds == pytest.approx({1: 0.07, 2: 2.9})


def test_one_hiccup_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1.0, 0.6)
    turns = iter(range(100))

    def work() -> None:
        clock.work()
        clock.now += 50.0 if next(turns) == 3 else 0.0

    monkeypatch.setattr(threads, "BUDGET", 1000.0)
    assert measure([work], [1, 2]).number == 2


def test_other_processes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Times(tuple[float, ...]):
        idle = property(lambda self: self[1])

    spent = iter([Times((100.0, 50.0)), Times((125.0, 55.0)), Times((125.0, 55.0))])
    monkeypatch.setattr(threads.psutil, "cpu_times", lambda: next(spent))
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 3)
    monkeypatch.setattr(threads, "cores", lambda: 3)
    wall, own = iter([0.0, 10.0, 10.0]), iter([0.0, 8.0, 8.0])
    monkeypatch.setattr(threads.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(threads.time, "process_time", lambda: next(own))
    others = Others()
    assert others.cores() == pytest.approx(1.7)  # 25 seconds of three cores, 8 of them this process's, in 10
    assert others.free() == pytest.approx(1.3)


def test_work_of_evaluation_is_measured_again_when_it_becomes_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(monkeypatch, 0.1, 0.06), list[str]()
    monkeypatch.setattr(threads.psutil, "cpu_times", lambda: (0.0,))
    chosen = Threads("auto", said.append)
    assert [chosen.run(clock.work, 7) for _ in range(50)] == [2] * 50
    clock.seconds[2] = 2.0
    used = [chosen.run(clock.work, 7) for _ in range(50)]
    assert used == [2, 2, 2] + [1] * 47
    clock.seconds[2] = 0.06
    used = [chosen.run(clock.work, 7) for _ in range(6000)]
    assert used[-1] == 2
    assert [line.partition(" (")[0].removeprefix("computing with ") for line in said] == [
        "2 threads",
        "1 thread",
        "2 threads",
    ]
    assert len(clock.done) < 6100 + 9 * 12  # measuring is rare


def test_a_number_that_was_asked_for_is_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.1, 100.0)
    chosen = Threads(2)
    assert [chosen.run(clock.work, 1) for _ in range(9)] == [2] * 9
    assert clock.done == [2] * 9


def test_watching_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "slow", SLOW)
    watch = Watch({"a": 1.0, "b": 2.0})
    assert not any(watch.slow({"a": 1.5, "b": 3.0, "unknown": 100.0}) for _ in range(50))  # a whole step takes 1.5
    assert watch.whole() == pytest.approx({"a": 1.5, "b": 3.0})
    assert not any(watch.slow({"a": 3.0}) for _ in range(50))
    assert [watch.slow({"a": 6.0}) for _ in range(4)].count(True) == 1
    slow_from_the_start = Watch({"a": 1.0})
    assert slow_from_the_start.slow({"a": 20.0})


# --- training -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def tree(root: Path, run: Path, **training: Any) -> dict[str, Any]:
    found = tiny.tree(root, run)
    found["model"]["architecture"] |= {"hidden_dropout_prob": 0.1, "v_hidden_dropout_prob": 0.1}
    found["optimizer"] = {**found.get("optimizer", {}), "accumulate": 3}
    found["training"] |= {"iterations": 10, "eval_every": 5, "save_every": 4, "log_every": 1} | training
    return found


def lines(run: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def numbers(run: Path) -> list[tuple[int, int]]:
    """(iteration, threads) of every choice."""
    return [(line["iteration"], line["threads"]) for line in lines(run) if line.get("event") == "threads"]


def trained(run: Path) -> list[dict[str, Any]]:
    return [line for line in lines(run) if line.get("event") != "threads"]


def preferring(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> list[int]:
    """Measuring, with real work, finds one number after the other; returns those that it was asked for."""
    left, asked = list(numbers), list[int]()
    real = threads.measure

    def found(*arguments: Any, **options: Any) -> Any:
        measured = real(*arguments, **options)
        number = left.pop(0) if len(left) > 1 else left[0]
        asked.append(number)
        return threads.Measured(number, measured.seconds, measured.works, 0.0, False)

    monkeypatch.setattr(threads, "measure", found)
    return asked


@pytest.mark.parametrize("number", [1, 2])
def test_measuring_leaves_no_trace(root: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = preferring(monkeypatch, number)
    auto = train(configuration.parse(tree(root, tmp_path / "auto", threads="auto")), console=QUIET)
    assert asked == [number] * 3  # at the start and at two checkpoints
    given = train(configuration.parse(tree(root, tmp_path / "given", threads=number)), console=QUIET)
    assert trained(auto) == lines(given)
    one, other = (Twelve.from_pretrained(run / "model").state_dict() for run in (auto, given))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert numbers(auto) == [(0, number)] and not numbers(given)


def test_a_resumed_run_takes_the_number_of_its_checkpoint(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferring(monkeypatch, 2, 1, 2)
    whole = train(configuration.parse(tree(root, tmp_path / "whole", threads="auto")), console=QUIET)
    assert numbers(whole) == [(0, 2), (4, 1), (8, 2)]
    config = configuration.parse(tree(root, tmp_path / "killed", threads="auto"))
    preferring(monkeypatch, 2, 1)
    _killed(config, monkeypatch, after=6)
    used: list[int] = []
    original = Trainer._step
    monkeypatch.setattr(
        Trainer, "_step", lambda self, *rest: used.append(torch.get_num_threads()) or original(self, *rest)
    )
    preferring(monkeypatch, 2)
    train(config, resume=True, console=QUIET)
    tasks = len(tiny.TASKS)
    assert used == [1] * 4 * tasks + [2] * 2 * tasks
    assert numbers(tmp_path / "killed") == [(0, 2), (4, 1), (8, 2)]
    assert trained(tmp_path / "killed") == trained(whole)


def _killed(config: configuration.RunConfig, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    original = Trainer._validate

    def validation(self: Trainer) -> None:
        if self.state.iteration == after:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_validate", validation)
        train(config, console=QUIET)


def test_a_run_that_becomes_slow_changes_at_an_extra_checkpoint(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferring(monkeypatch, 2, 1)
    monkeypatch.setattr(threads.Watch, "slow", lambda self, took: len(kept) == 7)
    kept: list[int] = []
    saved = Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self: kept.append(-self.state.iteration) or saved(self))
    stepped = Trainer._validate
    monkeypatch.setattr(Trainer, "_validate", lambda self: kept.append(self.state.iteration) or stepped(self))
    settings = tree(root, tmp_path / "run", threads="auto", save_every=100)
    run = train(configuration.parse(settings), console=QUIET)
    assert kept == [1, 2, 3, 4, 5, 6, 7, -7, 8, 9, 10, -10]
    assert numbers(run) == [(0, 2), (7, 1)]
    assert checkpoint.load(run / "checkpoints" / "step-0000007")["threads"]["number"] == 1
    event = next(line for line in lines(run) if line.get("event") == "threads" and line["iteration"] == 7)
    assert event["reason"].startswith("computing with 1 thread (")


def test_evaluation_is_side_by_side(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(configuration.parse(tree(root, tmp_path / "run", threads=1)), console=QUIET)
    before, used = torch.get_num_threads(), list[int]()
    forward = Twelve.forward

    def watched(*args: Any, **options: Any) -> Any:
        used.append(threading.get_ident())
        return forward(*args, **options)

    monkeypatch.setattr(Twelve, "forward", watched)
    one = evaluate_run(run, console=QUIET)
    assert set(used) == {threading.get_ident()}
    used.clear()
    two = evaluate_run(run, settings=["training.threads=2"], console=QUIET)
    assert threading.get_ident() not in used
    assert [result.score.mean for result in one] == [result.score.mean for result in two]
    assert torch.get_num_threads() == before


def test_items_side_by_side_come_in_order() -> None:
    threads, together, started = Threads(2), threading.Barrier(2, timeout=20), list[int]()

    def work(item: int) -> tuple[int, bool]:
        started.append(item)
        together.wait()  # broken unless two are computed at a time
        return item * item, torch.is_inference_mode_enabled()

    assert list(threads.each(work, range(6))) == [(item, (item * item, True)) for item in range(6)]
    started.clear()
    some = threads.each(work, iter(range(100)))
    assert next(some) == (0, (0, True))
    together.abort()
    some.close()
    assert len(started) < 6
    assert list(Threads(2, auto=False).each(str, [1, 2])) == [(1, "1"), (2, "2")]


def test_a_mistake_side_by_side_is_told() -> None:
    def work(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        list(Threads(2).each(work, [2, 1, 0, 1, 2]))


def test_the_setting(root: Path, tmp_path: Path) -> None:
    assert configuration.parse(tree(root, tmp_path, threads=None)).training.threads == "auto"  # of earlier releases
    assert configuration.parse(tree(root, tmp_path, threads=3)).training.threads == 3
    for wrong in (0, -1, 1.5, True, "many", 10**6):
        with pytest.raises(ConfigError, match=r"training\.threads\] must be auto or a number from 1"):
            configuration.parse(tree(root, tmp_path, threads=wrong))


def test_nothing_is_left_of_a_busy_moment() -> None:
    """Real work and real time: whatever is chosen, torch goes on with it."""
    matrix = torch.rand(64, 64)
    begun = time.monotonic()
    chosen = Threads("auto")
    found = chosen.choose([lambda: matrix @ matrix])
    assert torch.get_num_threads() == chosen.number == found.number in (1, 2)
    assert time.monotonic() - begun < 60
