"""The schedules: the automaton against a direct transcription and against recorded runs, drawing, state."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.errors import CheckpointError, ConfigError
from twelve.training.schedule import AlwaysGo, Controller, Event, Proportional, StopAndGo, make_schedule

SIZES = {"a": 100, "b": 300, "c": 600}


def transcribed(scores: list[float]) -> list[tuple[bool, float, int, int]]:
    """MODEL.md section 5, line by line."""
    best, bad, cool, stop = -math.inf, 0, 0, False
    states = []
    for x in scores:
        if x > best * 1.001:
            best, bad = x, 0
        else:
            bad += 1
        if cool > 0:
            cool -= 1
            bad = 0
        if bad > 1:
            stop, cool, bad = True, 1, 0
        elif stop and x < best * 0.995:
            stop, cool, bad = False, 1, 0
        states.append((stop, best, bad, cool))
    return states


@given(st.lists(st.sampled_from([0.0, 0.3, 0.497, 0.4975, 0.4999, 0.5, 0.5004, 0.5005, 0.5006, 0.6]), max_size=40))
def test_automaton_is_the_transcription(scores: list[float]) -> None:
    controller = Controller(0.001, 0.005)
    states = []
    for score in scores:
        controller.step(score)
        states.append((controller.stopped, controller.best, controller.bad, controller.cooling))
    assert states == transcribed(scores)


def test_automaton_recorded(goldens: Path) -> None:
    recorded = json.loads((goldens / "model/dsg.json").read_text())
    assert len(recorded["sequences"]) == 60
    for sequence in recorded["sequences"]:
        controller = Controller()
        for step, score in enumerate(sequence["scores"]):
            controller.step(score)
            ours = (controller.stopped, controller.best, controller.bad, controller.cooling)
            theirs = tuple(sequence[key][step] for key in ("in_stop", "best", "num_bad", "cooldown"))
            assert ours == theirs, (sequence["kind"], step)


def test_events_only_for_changes() -> None:
    schedule = StopAndGo(tasks=["a"], sizes=SIZES, seed=0)
    changes = [schedule.observe("a", score) for score in (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.2)]
    assert [change and change.change for change in changes] == [None, None, "stop", None, None, None, "go"]
    assert changes[2] == Event("a", "stop", 0.5, 0.5)
    assert "a stops at 0.5000" in str(changes[2])


def test_stopped_tasks_train_every_fourth_iteration() -> None:
    schedule = StopAndGo(tasks=["a", "b"], sizes=SIZES, seed=0)
    for _ in range(3):
        schedule.observe("b", 0.5)
    assert schedule.stopped == {"b"}
    assert [schedule.tasks_at(k) for k in range(6)] == [["a", "b"], ["a"], ["a"], ["a"], ["a", "b"], ["a"]]
    schedule.reset()
    assert schedule.stopped == frozenset()
    assert schedule.tasks_at(1) == ["a", "b"]


def test_state_survives_json() -> None:
    schedule = StopAndGo(tasks=["a", "b"], sizes=SIZES, seed=0)
    for score in (0.5, 0.5, 0.5):
        schedule.observe("a", score)
    saved = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
    resumed = StopAndGo(tasks=["a", "b"], sizes=SIZES, seed=0)
    resumed.load_state_dict(saved)
    assert resumed.controllers == schedule.controllers
    with pytest.raises(CheckpointError, match="resume with the tasks"):
        StopAndGo(tasks=["a"], sizes=SIZES, seed=0).load_state_dict(saved)


def test_proportional_draws_by_size_and_only_from_seed_and_iteration() -> None:
    schedule = Proportional(tasks=list(SIZES), sizes=SIZES, seed=3)
    drawn = [name for k in range(2000) for name in schedule.tasks_at(k)]
    assert len(drawn) == 6000
    for name, size in SIZES.items():
        assert drawn.count(name) / 6000 == pytest.approx(size / 1000, abs=0.03)
    again = Proportional(tasks=list(SIZES), sizes=SIZES, seed=3)
    assert [again.tasks_at(k) for k in (1500, 7)] == [schedule.tasks_at(k) for k in (1500, 7)]
    other = Proportional(tasks=list(SIZES), sizes=SIZES, seed=4)
    assert any(other.tasks_at(k) != schedule.tasks_at(k) for k in range(10))


def test_always_go() -> None:
    schedule = AlwaysGo(tasks=["b", "a"], sizes=SIZES, seed=0)
    assert schedule.observe("a", 0.0) is None
    assert schedule.tasks_at(1) == ["b", "a"]


def test_made_by_name() -> None:
    made = make_schedule("stop-and-go", tasks=["a"], sizes=SIZES, seed=0, gap=2)
    assert isinstance(made, StopAndGo)
    assert made.gap == 2
    assert made.reset_epochs == (5, 7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("stop-and-og", {}, 'did you mean "stop-and-go"'),
        ("stop-and-go", {"gapp": 3}, 'did you mean "gap"'),
        ("stop-and-go", {"gap": 0}, "gap is 0"),
        ("stop-and-go", {"threshold": -1}, "threshold is -1"),
        ("proportional", {"slots": 0}, "slots is 0"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_schedule(name, tasks=["a"], sizes=SIZES, seed=0, **options)
