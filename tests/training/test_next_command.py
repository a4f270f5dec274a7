"""What is advised after training can be followed: the command line does not know parts that a program defines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from twelve.model.settings import Settings
from twelve.model.trunk import TRUNKS
from twelve.model.two_stream import TwoStream
from twelve.outputs import get_output
from twelve.outputs.answer import Answer
from twelve.runs.next_command import next_command
from twelve.tasks.base import get


class Gated(TwoStream):
    """A trunk of a program."""


class FocalAnswer(Answer):
    """An output that is trained in another way, and evaluated in the same."""

    def loss(self, logits: Tensor, targets: Mapping[str, Any]) -> Tensor:
        return super().loss(logits, targets)


class LastAnswer(FocalAnswer):
    """An output that answers in another way."""

    def decode(self, *arguments: Any, **options: Any) -> Any:
        return super().decode(*arguments, **options)[::-1]


def test_a_run_is_evaluated_where_its_parts_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNKS, "gated", Gated)
    tasks = {"vqa": (get("vqa"), get_output("answer"))}
    assert next_command(Path("runs/a b"), Settings(trunk="two_stream"), tasks) == "twelve evaluate 'runs/a b'"
    said = next_command(Path("runs/a"), Settings(trunk="gated"), tasks)
    assert "evaluate_run(Path('runs/a'))" in said and "trunk 'gated'" in said


@pytest.mark.parametrize(("output", "known"), [(FocalAnswer, True), (LastAnswer, False)])
def test_only_an_output_that_answers_in_another_way_needs_its_program(output: type[Answer], known: bool) -> None:
    said = next_command(Path("runs/a"), Settings(trunk="two_stream"), {"vqa": (get("vqa"), output())})
    assert said == "twelve evaluate runs/a" if known else "defines its output 'answer'" in said
