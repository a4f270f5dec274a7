"""The study of balancing: its tables, and the seeds on which its weights are tuned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_study import made_up, write_config

from twelve.config import load
from twelve.study.engine import planned
from twelve.study.findings import findings
from twelve.study.results import result_file
from twelve.study.studies import get_study

SCORES = {"static": [0.6, 0.6], "norm": [0.6, 0.6], "static-fewer": [0.5, 0.5], "pcgrad": [0.55, 0.55]}


@pytest.fixture
def page(tmp_path: Path) -> dict[str, list[str]]:
    """Arm -> its row in the study's own table."""
    plan = made_up(tmp_path, SCORES, study="balancing", also={"processor_seconds": 30.0})
    for seed in plan.seeds:
        for arm in plan.arms:
            for task in arm.tasks:
                path = result_file(tmp_path, seed, arm.name, task)
                steps, lasting = (7, 12) if arm.name == "pcgrad" else (14, 8)
                memory = {"lasting": lasting * 10**6, "activations": 8 * 10**6}
                counted = {"steps": steps, "examples": dict.fromkeys(arm.tasks, 56), "memory": memory}
                path.write_text(json.dumps(json.loads(path.read_text()) | counted))
    (section,) = findings(tmp_path).sections
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return {row[0]: row[1:] for row in rows}


def test_ways_at_equal_compute_and_at_equal_updates(page: dict[str, list[str]]) -> None:
    head = ["equal compute", "differs at equal compute", "equal updates", "differs at equal updates", "updates"]
    assert page["way"] == [*head, "training time", "processor time", "memory", "memory of a step"]
    assert page["static"][:4] == ["", "", "", ""]
    assert page["norm"][0] == page["norm"][2] == "0.0 [0.0, 0.0]" and page["norm"][1] == page["norm"][3] == "no"
    compute, differs, updates, also = page["pcgrad"][:4]
    assert compute.startswith("-") and differs == "worse"
    assert updates.startswith("+") and also == "better"
    assert page["static-fewer"][:4] == ["", "", "", ""]
    assert page["pcgrad"][4:] == ["7", "1.00", "1.00", "12.0 (1.50)", "20.0 (1.25)"]
    assert page["static"][4:] == ["14", "1.00", "1.00", "8.0 (1.00)", "16.0 (1.00)"]


def test_weights_are_tuned_on_seeds_that_are_not_reported(tmp_path: Path) -> None:
    config = load(write_config(tmp_path))
    tuned = planned(get_study("static-weights", {}), config, seeds=1)
    reported = planned(get_study("balancing", {}), config, seeds=3, arms=["norm"])
    assert tuned.seeds == (1003,) and reported.seeds == (3, 4, 5)
    assert {each.judges for each in planned(get_study("balancing", {}), config, seeds=1).contrasts} == {("static",)}
    assert len(tuned.arms) == 12 and len({str(arm.overrides) for arm in tuned.arms}) == 12
