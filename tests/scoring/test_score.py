"""What `twelve score` prints, and what it does without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from twelve.cli import app
from twelve.score import as_json, score, table
from twelve.tasks.base import all_tasks

Build = Callable[[str], Any]
TASKS = ["vqa", "gqa", "nlvr2", "snli_ve", "visual7w", "guesswhat", "refcocog", "refcoco", "coco", "vg_qa"]


def test_table_states_everything(case: Build) -> None:
    full = case("refcoco")
    text = table(score(full.task, full.truth, full.predictions))
    assert "RefCOCO, accuracy: 50.00%, 95% interval [" in text
    assert "32 examples, resampled by 8 images; the interval does not cover retraining with another seed\n" in text
    assert "protocol google (the default): IoU of at least 0.5, plain areas" in text
    assert "all sentences of split testA and testB" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["accuracy", "50.00", "32"] in lines and ["accuracy,", "testB", "47.06", "17"] in lines
    asked = table(score(full.task, full.truth, full.predictions, "original"))
    assert "protocol original: " in asked and "default" not in asked


def test_the_rules_of_nlvr2_begin_with_the_headline_number(case: Build) -> None:
    full = case("nlvr2")
    found = score(full.task, full.truth, full.predictions)
    assert found.primary == "accuracy" and found.rules.startswith("accuracy: sentences judged correctly, each with one")
    assert "; consistency: " in found.rules


def test_json_holds_everything(case: Build) -> None:
    full = case("vqa")
    found = score(full.task, full.truth, full.predictions)
    content = json.loads(as_json(found))
    assert content["task"] == "vqa" and content["protocol"] == "official" and content["protocol_is_default"] is True
    assert content["numbers"]["accuracy"] == {"value": 77.7, "examples": 339}
    assert content["headline"]["low"] < 77.7 < content["headline"]["high"]
    assert content["truth"] == [str(full.truth[0])] and content["unit"] == "images"
    assert as_json(score(full.task, full.truth, full.predictions)) == as_json(found)


def test_vg_qa_is_measured_on_its_last_tenth(case: Build) -> None:
    full = case("vg_qa")
    found = score(full.task, full.truth, full.predictions)
    assert found.numbers["accuracy"].value == pytest.approx(200 / 3)


@pytest.mark.parametrize("name", sorted(all_tasks()))
def test_every_task_is_scored_or_says_that_it_is_not(name: str) -> None:
    task = all_tasks()[name]
    assert type(task).score.__qualname__ != "Task.score" or not task.scoring_protocols
    assert task.scoring_protocols or task.extra


@pytest.mark.parametrize("name", TASKS)
def test_every_number_says_how_many_examples_it_is_about(case: Build, name: str) -> None:
    full = case(name)
    numbers = score(full.task, full.truth, full.predictions, full.protocol).numbers
    assert {key for key, number in numbers.items() if not number.examples} <= {"mean recall of both directions"}


def test_consistency_is_about_the_right_answers_that_others_follow_from(case: Build) -> None:
    full = case("gqa")
    numbers = score(full.task, full.truth, full.predictions).numbers
    questions = json.loads(full.truth[0].read_text())
    answers = {row["questionId"]: row["prediction"] for row in json.loads(full.predictions[0].read_text())}
    right = {key for key, row in questions.items() if row["isBalanced"] and answers[key] == row["answer"]}
    assert numbers["consistency"].examples == sum(bool({*questions[key]["entailed"]} - {key}) for key in right)
    assert numbers["validity"].examples == numbers["accuracy"].examples > numbers["consistency"].examples


def test_files_are_given_as_text_too(case: Build) -> None:
    full = case("visual7w")
    found = score(full.task, str(full.truth[0]), str(full.predictions[0]))
    assert (
        found
        == score(full.task, full.truth, full.predictions)
        == score(full.task, [str(full.truth[0])], full.predictions[0])
    )


def test_help_lists_every_protocol() -> None:
    text = " ".join(CliRunner().invoke(app, ["score", "--help"]).output.split())
    words = set(re.findall(r"[\w-]+", text))
    wanted = {
        name for task in all_tasks().values() if len(task.scoring_protocols) > 1 for name in task.scoring_protocols
    }
    assert wanted <= words, wanted - words
    assert "docs/score.md" in text and "run twelve tasks for a list" in text


def test_no_torch(case: Build) -> None:
    full = case("visual7w")
    program = (
        "import sys; from pathlib import Path; from twelve.score import score, table; "
        "print(table(score(sys.argv[1], [Path(sys.argv[2])], Path(sys.argv[3])))); "
        "assert not {'torch', 'transformers', 'pyarrow', 'PIL'} & sys.modules.keys()"
    )
    files = [str(full.truth[0]), str(full.predictions[0])]
    done = subprocess.run([sys.executable, "-c", program, full.task, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Visual7W, accuracy: 73.33%" in done.stdout
