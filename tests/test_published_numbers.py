"""The paper's numbers: complete, consistent with each other, and never shown as read where they are recalled."""

from __future__ import annotations

from collections import defaultdict

import pytest

from twelve import published
from twelve.errors import ConfigError
from twelve.tasks.base import all_tasks

TWELVE = [task.name for task in all_tasks().values() if not task.extra]


def test_the_averages_are_those_of_their_rows() -> None:
    main: dict[str, dict[str, float]] = defaultdict(dict)
    for number in published.rows("main"):
        main[number.row][number.column] = number.value
    assert len(main) == 8
    for name, row in main.items():
        scores = [row[task] for task in TWELVE if task in row]
        assert len(scores) == (10 if name.startswith("all but") else 12)
        if "average" in row:
            # The paper rounds its averages of unrounded scores.
            assert row["average"] == pytest.approx(sum(scores) / 12, abs=0.03), name
    joint, single = main["all tasks, clean"], main["single-task, clean"]
    gain = published.find("claims", "gain of the joint model", "value")
    assert gain is not None and joint["average"] - single["average"] == pytest.approx(gain.value)
    assert sum(joint[task] > single[task] for task in TWELVE) == 11


def test_what_was_read_agrees_with_what_is_recalled() -> None:
    for task, row in {
        "vqa": "vqa, test-dev",
        "gqa": "gqa",
        "nlvr2": "nlvr2, test-P",
        "snli_ve": "snli_ve, test",
    }.items():
        read, recalled = (
            published.find("results", row, "accuracy"),
            published.find("main", "all, then fine-tuned", task),
        )
        assert read and recalled and read.value == recalled.value
        assert not read.recalled and recalled.recalled


def test_relations_are_of_four_groups() -> None:
    found = {(number.row, number.column): number.value for number in published.rows("relations")}
    groups = {row for row, _ in found}
    assert len(groups) == 4 and set(found) == {(one, other) for one in groups for other in groups if one != other}
    assert found["retrieval", "verification"] == -4.13
    skills = {number.row: number.note for number in published.rows("relations")}
    assert all(all_tasks()[task].name == task for task in skills.values())


@pytest.mark.parametrize("table", published.tables())
def test_a_recalled_number_says_so(table: str) -> None:
    for number in published.rows(table):
        assert number.grade in published.GRADES and number.unit
        assert ("recalled" in str(number)) == (number.grade == "R")
        assert float(number.plain().replace(",", "")) == number.value
    assert ("recalled" in published.heading(published.rows(table))) == (table in ("main", "relations", "ablations"))


def test_what_is_not_there() -> None:
    assert published.find("main", "all but verification, clean", "nlvr2") is None
    with pytest.raises(ConfigError, match=r"found 'mian'.*main.*relations, ablations, results, claims"):
        published.rows("mian")
