"""How soon models reach a validation score: hand-made curves, and the ratios of the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from twelve.study.finding_types import Curve
from twelve.study.results import Event

HOME = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, str(HOME / "benchmarks"))
    try:
        import time_to_score

        yield time_to_score
    finally:
        sys.path.pop(0)


def curve(task: str, scores: dict[int, float], **events: int) -> Curve:
    """With the iteration of each event."""
    told = tuple(Event(iteration=at, event=event) for event, at in events.items())
    return Curve("joint", task, 0, tuple(scores.items()), told, (), (40,))


def test_updates_are_those_of_stop_and_go(script: ModuleType) -> None:
    """From 20 on, a stopped task trains in every fourth iteration; what goes on again does so in each."""
    curves = [curve("x", {20: 30.0, 40: 50.0}), curve("y", {20: 40.0, 40: 40.0}, stop=20)]
    own = script.counted(curves, [40, 25])
    assert own.shape == (2, 41) and own[:, [0, 20, 21, 24, 40]].tolist() == [[0, 20, 21, 24, 40], [0, 20, 21, 21, 25]]
    went_on = [curves[0], curve("y", {40: 40.0}, stop=20, go=32)]
    assert script.counted(went_on, [40, 31])[1, [32, 40]].tolist() == [23, 31]


def test_a_reset_is_found_by_the_updates_in_all(script: ModuleType) -> None:
    """A task that is stopped after 10 of 40 iterations: it goes on after six epochs of 6."""
    stopped = curve("x", {40: 40.0}, stop=10)
    own = script.counted([stopped], [17])[0]
    assert np.diff(own)[34:].tolist() == [0, 0, 1, 0, 0, 0]
    own = script.counted([stopped], [20])[0]
    assert np.diff(own)[34:].tolist() == [0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="events of joint, seed 0, do not give"):
        script.counted([stopped], [9])


def test_the_first_validation_with_the_score_counts(script: ModuleType) -> None:
    read = curve("x", {10: 30.0, 20: 52.0, 30: 45.0, 40: 60.0})
    own, trunk = np.arange(41), 3 * np.arange(41)
    assert script.time_to(50, read, own, trunk) == script.Time(20, 60, True, False)
    assert script.time_to(30, read, own, trunk) == script.Time(10, 30, True, True)
    assert script.time_to(61, read, own, trunk) == script.Time(40, 120, False, False)


def test_a_model_that_does_not_reach_the_score_gives_a_bound(script: ModuleType) -> None:
    """Over two tasks and two seeds: logarithms of 1/2 and 2, and of 1/2 and 1/2."""
    single = script.Time(20, 20, True, False)
    soon, late, never = script.Time(10, 40, True, True), script.Time(40, 80, True, False), script.Time(40, 80, False, 0)
    made = {"x": [(soon, single), (soon, single)], "y": [(late, single), (soon, single)]}
    told = script.line("study", "2 of 3", 0.5, made)
    assert told[:3] == ["study", "2 of 3", "50%"] and told[5:] == ["0 of 4", "3, 0"]
    assert told[3].startswith("0.71 [") and told[4].startswith("2.38 [")
    told = script.line("study", "2 of 3", 0.5, made | {"y": [(never, single), (soon, single)]})
    assert told[3:] == ["≥ 0.71", "≥ 2.38", "1 of 4", "3, 0"]


def test_the_ratios_of_the_page_are_those_of_the_script(script: ModuleType) -> None:
    """Of one study: both ratios at 50% and 90%, how many curves begin above 50%, and each task at 90%."""
    name = "four synthetic tasks after pretraining, about equal updates in all"
    text = (HOME / "docs" / "joint-vs-single-studies.md").read_text(encoding="utf-8")
    told = " ".join(text.partition("\n- **Updates to a score.**")[2].partition("\n## ")[0].split())
    every, by_task, without = script.lines()
    half, most = (line for line in every if line[0] == name)
    assert (half[2], most[2]) == ("50%", "90%") and half[5] == most[5] == "0 of 20" and half[6] == "7, 7"
    assert f"| 50% | {half[3]} | {half[4]} | | 90% | {most[3]} | {most[4]} |" in told
    assert "7 of 20 curves of each arm reach 50% at the first one" in told
    assert len(every) == 14 and [half, most] == every[-2:] and without == ["twelve synthetic tasks"]
    assert len(by_task) == 57 and sum(line[2] == "not learned" for line in by_task) == 7
    of_tasks = [line for line in by_task if line[0] == name and line[2] == "90%"]
    assert len(of_tasks) == 4
    assert " ".join(f"| 90%, {line[1]} | {line[3]} | {line[4]} |" for line in of_tasks) in told
    fewer = {line[1] for line in of_tasks if float(line[3].rstrip("]").rpartition(", ")[2]) < 1}
    assert "needs fewer updates of a task than that model (on COCO, no difference is shown)" in told
    assert fewer == {"VQA v2", "RefCOCO", "SNLI-VE"}
