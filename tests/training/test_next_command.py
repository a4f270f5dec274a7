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
from twelve.outputs.base import Output
from twelve.runs.next_command import next_command, next_report
from twelve.tasks.base import Task, get
from twelve.tasks.vqa import VQA


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


class Order(VQA):
    """A task of a program."""

    name = "order"


def test_the_report_is_written_where_the_task_is_known() -> None:
    """The commands know neither: training and evaluation both name a call in Python."""
    order: dict[str, tuple[Task, Output]] = {"order": (Order(), get_output("answer"))}
    unknown = "(Path('runs/order')) in a program that defines its task 'order', which twelve"
    trained = next_command(Path("runs/order"), Settings(trunk="two_stream"), order)
    assert trained == f"twelve.runs.evaluate.evaluate_run{unknown} evaluate does not know"
    assert next_report(Path("runs/order"), order) == f"twelve.report.write.write_report{unknown} report does not know"
    assert next_report(Path("runs/a b"), {"vqa": (get("vqa"), get_output("answer"))}) == "twelve report 'runs/a b'"


@pytest.mark.parametrize(("output", "known"), [(FocalAnswer, True), (LastAnswer, False)])
def test_only_an_output_that_answers_in_another_way_needs_its_program(output: type[Answer], known: bool) -> None:
    said = next_command(Path("runs/a"), Settings(trunk="two_stream"), {"vqa": (get("vqa"), output())})
    assert said == "twelve evaluate runs/a" if known else "defines its output 'answer'" in said
