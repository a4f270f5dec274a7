"""Boxes in the text of an answer, which anybody may have written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from twelve.harness.boxes import found_in


@pytest.mark.parametrize(
    ("answer", "box"),
    [
        ("[1,2,3,4]", (1, 2, 3, 4)),
        ("It is at [ .5 0.5, 1e1 -3 ].", (0.5, 0.5, 10, -3)),
        ("<box>[[0, 0, 1, 1]]</box>", (0, 0, 1, 1)),
        ("[1, 2, 3] or [4, 5, 6, 7]", (4, 5, 6, 7)),
        ("[1, 2, 3]", None),
        ("[1, 2, 3, 4, 5]", None),
        ("[1e400, 2, 3, 4]", None),
        (f"[{'1' * 41}, 2, 3, 4]", None),
    ],
)
def test_the_first_four_numbers_in_brackets(answer: str, box: tuple[float, ...] | None) -> None:
    assert found_in(answer) == box


@pytest.mark.parametrize(
    "answer",
    ["'[' + ','.join(['1' * 400] * 4)", "'[' + '1' * 20_000", "'[1' + ' ' * 20_000", "'[' + '1e1' * 20_000"],
)
def test_long_answers_are_read_in_one_go(answer: str) -> None:
    """In a process of its own: a search that tries every division of the digits does not end, and cannot be stopped."""
    program = f"from twelve.harness.boxes import found_in; assert found_in({answer}) is None"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
