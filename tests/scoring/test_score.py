"""What `twelve score` prints, and what it does without."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from twelve.scoring.command import as_json, score, table
from twelve.tasks.base import all_tasks

Build = Callable[[str], Any]


def test_table_states_everything(case: Build) -> None:
    full = case("refcoco")
    text = table(score(full.task, full.truth, full.predictions))
    assert "RefCOCO, accuracy: 50.00 %, 95 % interval [" in text
    assert "32 examples, resampled by 8 pictures" in text
    assert "protocol google (the default): IoU of at least 0.5, plain areas" in text
    assert "all sentences of split testA and testB" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["accuracy", "50.00", "32"] in lines and ["accuracy,", "testB", "47.06", "17"] in lines
    asked = table(score(full.task, full.truth, full.predictions, "original"))
    assert "protocol original: " in asked and "default" not in asked


def test_json_holds_everything(case: Build) -> None:
    full = case("vqa")
    found = score(full.task, full.truth, full.predictions)
    content = json.loads(as_json(found))
    assert content["task"] == "vqa" and content["protocol"] == "official" and content["default"] is True
    assert content["numbers"]["accuracy"] == {"value": 77.7, "examples": 339}
    assert content["headline"]["low"] < 77.7 < content["headline"]["high"]
    assert content["truth"] == [str(full.truth[0])] and content["unit"] == "pictures"
    assert as_json(score(full.task, full.truth, full.predictions)) == as_json(found)


def test_vg_qa_is_measured_on_its_last_tenth(case: Build) -> None:
    full = case("vg_qa")
    found = score(full.task, full.truth, full.predictions)
    assert found.numbers["accuracy"].value == pytest.approx(200 / 3)


@pytest.mark.parametrize("name", sorted(all_tasks()))
def test_every_task_is_scored(name: str) -> None:
    task = all_tasks()[name]
    assert type(task).score.__qualname__ != "Task.score"
    assert task.scoring_protocols


def test_no_torch(case: Build) -> None:
    full = case("visual7w")
    program = (
        "import sys; from pathlib import Path; from twelve.scoring.command import score, table; "
        "print(table(score(sys.argv[1], [Path(sys.argv[2])], Path(sys.argv[3])))); "
        "assert not {'torch', 'transformers', 'pyarrow', 'PIL'} & sys.modules.keys()"
    )
    files = [str(full.truth[0]), str(full.predictions[0])]
    done = subprocess.run([sys.executable, "-c", program, full.task, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Visual7W, accuracy: 73.33 %" in done.stdout
