"""What a study says about its remaining time."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from tiny_study import write_config

from twelve.config import load
from twelve.study import engine
from twelve.study.engine import planned
from twelve.study.execution import Seed
from twelve.study.plan import Step
from twelve.study.studies import get_study


def test_the_time_of_a_world_is_no_time_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds take 1000 seconds and steps 10; two seeds have three steps each."""
    now = 0.0

    class Made(Seed):
        ready, taken = False, set[str]()

        @property
        def has_world(self) -> bool:
            return self.ready

        def prepare(self) -> None:
            nonlocal now
            now, self.ready = now + 1000 * (not self.ready), True

        def take(self, step: Step) -> None:
            nonlocal now
            now += 10
            self.taken.add(str(step))

        def done(self, step: Step) -> bool:
            return str(step) in self.taken

        def lacks(self, step: Step) -> list[str]:
            return []

    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now))
    config = load(write_config(tmp_path), ["microworld.scale=1"])
    plan = planned(get_study("static-weights", {"configurations": 3}), config, seeds=2)
    seeds = {number: Made(plan, tmp_path, number) for number in plan.seeds}
    told = Console(file=io.StringIO(), width=200)
    assert engine._carry_out(plan, tmp_path, seeds, plan.steps(), lambda: False, told) == 0
    assert isinstance(told.file, io.StringIO)
    lines = [line for line in told.file.getvalue().splitlines() if "seed 100" in line]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "16:40",
        "0:10; about 17:30 of work left in 5 steps",  # five steps and the other world
        "0:10; about 17:20 of work left in 4 steps",
        "0:10; about 17:10 of work left in 3 steps",
        "16:40",
        "0:10; about 0:20 of work left in 2 steps",
        "0:10; about 0:10 of work left in 1 step",
        "0:10; about 0:00 of work left in 0 steps",
    ]
    again = Console(file=io.StringIO(), width=200)
    assert engine._carry_out(plan, tmp_path, seeds, plan.steps(), lambda: False, again) == 0
    assert isinstance(again.file, io.StringIO)
    said = again.file.getvalue()
    assert "of their own" not in said and "own; finished" in said and "first step" not in said
