"""What is advised after training can be followed: the command line does not know parts that a program defines."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelve.model.settings import Settings
from twelve.model.trunk import TRUNKS
from twelve.model.two_stream import TwoStream
from twelve.outputs import get_output
from twelve.runs.next_command import next_command
from twelve.tasks.base import get


class Gated(TwoStream):
    """A trunk of a program."""


def test_a_run_is_evaluated_where_its_parts_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNKS, "gated", Gated)
    tasks = {"vqa": (get("vqa"), get_output("answer"))}
    assert next_command(Path("runs/a b"), Settings(trunk="two_stream"), tasks) == "twelve evaluate 'runs/a b'"
    said = next_command(Path("runs/a"), Settings(trunk="gated"), tasks)
    assert "evaluate_run(Path('runs/a'))" in said and "trunk 'gated'" in said
