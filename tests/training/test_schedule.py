"""The schedules: the automaton against a direct transcription and against recorded runs, drawing, state."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar, Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve import config
from twelve.errors import CheckpointError, ConfigError
from twelve.training.schedules import SCHEDULES, Event, Schedule, make_schedule
from twelve.training.schedules.always_go import AlwaysGo
from twelve.training.schedules.base import Setting, register
from twelve.training.schedules.ordering import ByGroup, convergence_of
from twelve.training.schedules.sampling import Proportional, SquareRoot, Temperature
from twelve.training.schedules.stop_and_go import Controller, StopAndGo, StopAndGoAsWorded
from twelve.training.schedules.weighting import UncertaintyWeighted

SIZES = {"a": 100, "b": 300, "c": 600}


def transcribed(scores: list[float]) -> list[tuple[bool, float, int, int]]:
    """The original's automaton, line by line."""
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
    made = make_schedule("stop-and-go", {"gap": 2}, tasks=["a"], sizes=SIZES)
    assert isinstance(made, StopAndGo)
    assert made.gap == 2
    assert made.reset_epochs == (5, 7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("stop-and-og", {}, 'did you mean "stop-and-go"'),
        ("stop-and-go", {"gapp": 3}, 'did you mean "gap"'),
        ("stop-and-go", {"gap": 0}, r"options\.gap\]: expected more than 0, found 0"),
        ("stop-and-go", {"threshold": -1}, r"options\.threshold\]: .* at least 0, found -1"),
        ("stop-and-go", {"gap": 2.5}, "expected an integer, found 2.5"),
        ("stop-and-go", {"gap": True}, "expected an integer, found True"),
        ("stop-and-go", {"threshold": math.inf}, "expected a finite number"),
        ("stop-and-go", {"reset_epochs": 5}, r"options\.reset_epochs\]: .*, found 5"),
        ("stop-and-go", {"reset_epochs": ["5"]}, r"options\.reset_epochs\.0\]: .*, found '5'"),
        ("proportional", {"slots": 0}, r"options\.slots\]: .* more than 0, found 0"),
        ("temperature", {"temperature": 0}, r"options\.temperature\]: .* more than 0, found 0"),
        ("uncertainty", {"rate": 2}, r"options\.rate\]: .* less than 1, found 2"),
        ("by-group", {"block": 0}, r"options\.block\]: .* more than 0, found 0"),
        ("curriculum", {}, "how long a takes to converge"),
        ("curriculum", {"convergence": {"a": "long"}}, r"options\.convergence\.a\]: .* number, found 'long'"),
        ("curriculum", {"convergence": {"a": 5}, "spread": 1}, r"options\.spread\]: .* less than 1, found 1"),
        ("curriculum", {"measured": ["nowhere"]}, "nowhere"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_schedule(name, options, tasks=["a"], sizes=SIZES)


class Alternating(AlwaysGo):
    """A schedule with a boolean option."""

    name: ClassVar[str] = "alternating"

    def __init__(self, *, backwards: bool = False, **setting: Unpack[Setting]) -> None:
        super().__init__(**setting)
        self.backwards = backwards


@pytest.mark.parametrize("text", ["true", "false", "yes", "1", "'true'", "[true]"])
def test_a_boolean_option(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file and as a setting, a boolean is one, and nothing else is."""
    monkeypatch.setitem(SCHEDULES, "alternating", Alternating)
    file, line = tmp_path / "c.yaml", "run: r\ndata: d\ntasks: [vqa]\nschedule: {name: alternating"
    file.write_text(f"{line}, options: {{backwards: {text}}}}}\n")
    written = config.load(file).schedule.options
    file.write_text(f"{line}}}\n")
    assert config.load(file, [f"schedule.options.backwards={text}"]).schedule.options == written
    if text in ("true", "false", "yes"):
        made = make_schedule("alternating", written, tasks=["a"], sizes=SIZES)
        assert isinstance(made, Alternating) and made.backwards is (text != "false")
    else:
        with pytest.raises(ConfigError, match=r"options\.backwards\]: expected true or false, found"):
            make_schedule("alternating", written, tasks=["a"], sizes=SIZES)


def test_as_worded_a_stopped_task_only_goes_again_when_it_falls() -> None:
    schedule = StopAndGoAsWorded(tasks=["a"], sizes=SIZES)
    scores = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.598, 0.596, 0.5, 0.5)
    changes = [schedule.observe("a", score) for score in scores]
    # 0.6 is a new best and restarts nothing; 0.596 is more than 0.5 % below it; then two bad scores in a row stop.
    assert [change and change.change for change in changes] == [None, None, "stop", *[None] * 5, "go", None, "stop"]


def shares(schedule: Proportional) -> list[float]:
    return [round(float(share), 4) for share in schedule.shares]


def test_shares_by_square_root_and_temperature() -> None:
    assert shares(SquareRoot(tasks=list(SIZES), sizes=SIZES)) == [0.1930, 0.3343, 0.4727]
    assert shares(Temperature(temperature=2, tasks=list(SIZES), sizes=SIZES)) == [0.1930, 0.3343, 0.4727]
    assert shares(Temperature(temperature=1, tasks=list(SIZES), sizes=SIZES)) == [0.1, 0.3, 0.6]
    assert shares(Temperature(temperature=1e9, tasks=list(SIZES), sizes=SIZES)) == [0.3333] * 3


def test_uncertainty_makes_losses_weigh_alike_and_survives_json() -> None:
    schedule = UncertaintyWeighted(tasks=["a", "b"], sizes=SIZES)
    losses = {"a": 100.0, "b": 0.2}
    assert {task: schedule.weight(task, loss) * loss for task, loss in losses.items()} == pytest.approx(
        {"a": 1.0, "b": 1.0}
    )
    for _ in range(200):
        schedule.weight("a", 10.0)  # the loss falls: its weight follows, slowly
    assert schedule.weight("a", 10.0) * 10.0 == pytest.approx(1.0, abs=0.2)
    resumed = UncertaintyWeighted(tasks=["a", "b"], sizes=SIZES)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert resumed.weight("b", 3.0) == schedule.weight("b", 3.0)
    with pytest.raises(CheckpointError):
        UncertaintyWeighted(tasks=["a"], sizes=SIZES).load_state_dict(schedule.state_dict())


def test_curricula_let_tasks_in_by_measured_convergence(tmp_path: Path) -> None:
    validations = [("a", 10, 0.1), ("b", 10, 0.5), ("a", 20, 0.8), ("b", 20, 0.501), ("c", 20, 0.2), ("a", 30, 0.79)]
    validations += [("c", 30, 0.3), ("c", 40, 0.31)]
    lines = [{"kind": "validation", "task": task, "iteration": at, "score": score} for task, at, score in validations]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert convergence_of(tmp_path) == {"a": 20, "b": 10, "c": 40}
    options = {"measured": [str(tmp_path)], "spread": 0.5}
    easy = make_schedule("curriculum", options, tasks=["a", "b", "c"], sizes=SIZES, iterations=100)
    assert [easy.tasks_at(k) for k in (0, 24, 25, 49, 50)] == [["b"], ["b"], ["a", "b"], ["a", "b"], ["a", "b", "c"]]
    hard = make_schedule("anti-curriculum", options, tasks=["a", "b", "c"], sizes=SIZES, iterations=100)
    assert [hard.tasks_at(k) for k in (0, 25, 50)] == [["c"], ["a", "c"], ["a", "b", "c"]]
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="validated nothing"):
        convergence_of(tmp_path)


def test_groups_take_turns() -> None:
    groups = {"a": "answering", "b": "pointing", "c": "answering"}
    schedule = ByGroup(block=2, tasks=["a", "b", "c"], sizes=SIZES, groups=groups)
    assert [schedule.tasks_at(k) for k in range(5)] == [["a", "c"], ["a", "c"], ["b"], ["b"], ["a", "c"]]


def test_every_schedule_is_registered() -> None:
    def below(cls: type[Schedule]) -> set[type[Schedule]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    found = {cls for cls in below(Schedule) - {Schedule} if cls.__module__.startswith("twelve.")}
    assert found == set(SCHEDULES.values())
    with pytest.raises(ValueError, match="two schedules are named 'always-go'"):
        register(type("Other", (AlwaysGo,), {}))


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_keeps_its_promises(name: str) -> None:
    options = {"convergence": {"a": 1, "b": 2, "c": 3}} if "curriculum" in name else {}

    def made() -> object:
        return make_schedule(name, options, tasks=list(SIZES), sizes=SIZES, seed=1, iterations=40)

    schedule, again = made(), made()
    trace = []
    for k in range(40):
        if k == 20:  # interrupted here: the rest must not differ
            again.load_state_dict(json.loads(json.dumps(schedule.state_dict(), allow_nan=False)))
        names = schedule.tasks_at(k)
        assert names, "an iteration without a task"
        assert set(names) <= set(SIZES)
        trace.append((names, [round(schedule.weight(task, 1.0 + k % 3), 9) for task in names]))
        event = schedule.observe("a", 0.5)
        if k >= 20:
            ours = again.tasks_at(k)
            assert (ours, [round(again.weight(task, 1.0 + k % 3), 9) for task in ours]) == trace[-1]
            assert again.observe("a", 0.5) == event
    assert {task for names, _ in trace for task in names} == set(SIZES)
