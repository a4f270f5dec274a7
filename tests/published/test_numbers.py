"""The paper's numbers: complete, consistent with each other, and never shown as read where they are recalled."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import groupby

import pytest
from typer.testing import CliRunner

from twelve import cli, published
from twelve.errors import ConfigError
from twelve.published.shown import _by_task, _measured, merged
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
    with pytest.raises(ConfigError, match=r"found 'mian'.*main.*relations, ablations, results, claims, others"):
        published.rows("mian")


def test_every_score_is_of_a_known_task_split_metric_and_protocol() -> None:
    """As far as the source states them."""
    for number in published.scores():
        task = all_tasks()[number.task]
        splits = {*task.splits, *task.file_names, task.test_split, "test-std"}
        assert number.split in splits | {""}, number
        assert number.protocol in {*task.scoring_protocols, ""}, number
        assert number.unit in ("accuracy", "R@1", "R@5", "R@10") and number.model and 0 < number.value < 100
        assert number.parameters is None or number.parameters >= 266
    assert {number.task for number in published.scores()} == set(TWELVE)
    assert all(
        number.task
        for table in ("main", "results", "others")
        for number in published.rows(table)
        if number.column not in ("average", "parameters", "models")
    )


def test_what_was_read_of_other_models() -> None:
    """The numbers of the sources, and nothing else."""
    found = {(number.model, number.task, number.split, number.value) for number in published.rows("others")}
    assert found == {
        ("VinVL, base", "gqa", "", 64.65),
        ("X-VLM", "vqa", "test-dev", 78.22),
        ("X-VLM", "vqa", "test-std", 78.37),
        ("X-VLM", "flickr30k", "", 86.9),
        ("X-VLM", "nlvr2", "dev", 84.41),
        ("X-VLM", "nlvr2", "test1", 84.76),
        ("BEiT-3, base", "vqa", "", 78.46),
        ("BEiT-3, base", "nlvr2", "dev", 84.6),
        ("BEiT-3, base", "nlvr2", "test1", 85.3),
        ("MDETR, EfficientNet", "refcocog", "", 83.31),
        ("ALBEF", "snli_ve", "", 81.04),
        ("OFA", "snli_ve", "", 89.2),
        ("12-in-1, the released model", "flickr30k", "", 52.84),
    }
    apart = {number.model: number.apart for number in published.scores() if number.apart}
    assert set(apart) == {"OFA", "12-in-1, the released model"} and "issue 78" in apart["12-in-1, the released model"]


def test_the_command_prints_and_says_what_is_recalled() -> None:
    said = CliRunner().invoke(cli.app, ["published", "vqa"])
    assert said.exit_code == 0
    assert said.output.splitlines()[0] == "vqa: accuracy on test-dev, protocol official"
    assert max(map(len, said.output.splitlines())) <= 80
    rows = [line.split(None, 2) for line in said.output.splitlines() if line.startswith("   ") and line[21:22] != " "]
    for number in published.scores("vqa"):
        if number.recalled and number.model != "12-in-1, all, then fine-tuned":
            assert [number.plain(), "recalled"] in [row[:2] for row in rows]
    legend = " ".join(said.output.split())
    assert "recalled: from memory. The value, its split and its protocol were not checked" in legend
    tree = json.loads(CliRunner().invoke(cli.app, ["published", "--json"]).stdout)
    assert len(tree["scores"]) == len(published.scores()) and set(tree["grades"]) == set(published.GRADES)
    with pytest.raises(ConfigError, match=r"no published score of 'vqaa' \(did you mean \"vqa\"\?\)"):
        published.scores("vqaa")


def test_the_command_prints_several_tasks() -> None:
    said = CliRunner().invoke(cli.app, ["published", "snli_ve", "refcoco"]).output
    names = dict.fromkeys(line.partition(":")[0] for line in said.splitlines() if " on " in line and line[0] != " ")
    assert [name for name in names if name in TWELVE] == ["snli_ve", "refcoco"]
    assert said.count("M: million parameters") == 1
    tree = json.loads(CliRunner().invoke(cli.app, ["published", "snli_ve", "refcoco", "--json"]).stdout)
    assert {each["task"] for each in tree["scores"]} == {"snli_ve", "refcoco"}


def test_a_score_from_two_sources_is_one_row_and_different_scores_are_marked() -> None:
    """73.15 was read and is recalled; 68.00 is recalled, while 65.2 was read."""
    vqa, coco = (CliRunner().invoke(cli.app, ["published", task]).output for task in ("vqa", "coco"))
    assert vqa.count("73.15") == 1 and "   73.15  read       12-in-1, all, then fine-tuned, 3,000 M in 12" in vqa
    said = " ".join(coco.split())
    assert "68.00 recalled 12-in-1, all, then fine-tuned, 3,000 M in 12 models (another source: 65.2, read)" in said
    assert "as another paper quotes it; another source: 68.00, recalled)" in said
    for task in TWELVE:
        for shown in (merged(list(group)) for _, group in groupby(_by_task(task), key=_measured)):
            assert len({(number.model, number.value) for number in shown}) == len(shown)
