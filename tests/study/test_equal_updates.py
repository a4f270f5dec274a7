"""Updates of each task in models that train it with different tasks, and their scores after equally many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import made_findings
import pytest

from twelve.study.equal_updates import by_updates, equal_updates
from twelve.study.finding_types import Findings
from twelve.study.findings import findings
from twelve.study.report import page
from twelve.study.table import markdown

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
FALLS = "because the second arm's learning rate has not yet fallen"


def test_recorded_photographs() -> None:
    """The joint model makes fewer updates of each task; results.md of the study has the numbers."""
    found = findings(RESULTS / "study-three-photograph-tasks")
    text = by_updates(found)
    rows = [line.strip("| ").split(" | ")[1:] for line in text.splitlines() if line.startswith("| joint minus")]
    assert rows == [
        ["Flickr30k retrieval", "5,250; 5,345; 4,593", "21,000; 10,690; 18,372", "4.0, 2.0, 4.0", "-1.2, +1.7, -0.5",
         "-1.2, +1.7, -0.5"],
        ["Flickr30k Entities", "4,780; 5,061; 5,062", "9,560; 20,244; 20,248", "2.0, 4.0, 4.0", "+2.8, +2.5, -1.5",
         "-0.3, -1.3, -2.8"],
        ["SNLI-VE", "5,251; 5,343; 5,062", "10,502; 10,686; 10,124", "2.0, 2.0, 2.0", "+3.3, +7.2, +6.0",
         "-3.6, +1.9, +0.3"],
    ]  # fmt: skip
    assert text in markdown(found) and "fine-tuned minus" not in text and text.endswith(f"{FALLS}.")
    assert "5,250; 5,345; 4,593" in page.part_of(found, "three").by_updates
    html = page.render([page.part_of(found, "three")])
    assert html.count("<summary>Updates of each task, and differences at equal updates</summary>") == 1


def test_equal_updates_of_runs_that_are_equally_long() -> None:
    """The single-task arm has as many updates of each task: its learning rate has fallen, too."""
    found = findings(RESULTS / "study-four-tasks-ablations")
    every = equal_updates(found)
    assert {each.contrast.name for each in every} == {"joint minus single"}  # the others train the same tasks
    assert [each.task for each in every] == ["vqa", "coco", "refcoco", "snli_ve"]
    assert all(each.first == each.second and set(each.ratios) == {1.0} for each in every)
    text = by_updates(found)
    assert "favours the first arm" in text and FALLS not in text


@pytest.fixture
def made() -> Findings:
    """Drawn curves, a validation every 50 iterations: 800 updates of a task in the joint arm, 1,600 in single arms."""
    return made_findings.joint_vs_single()


def test_the_last_validation_at_most_as_many_updates_counts(made: Findings) -> None:
    first = equal_updates(made)[0]
    row = made.rows[0]
    score = row.scores["stop-and-go"]
    points = [dict(curve.points) for curve in made.curves if (curve.arm, curve.task) == ("single-longer", row.name)]
    assert (first.task, first.first, first.ratios) == (row.name, (800,) * 3, (2.0,) * 3)
    assert first.last == tuple(kept - at[800] for kept, at in zip(score.validation, points, strict=True))
    row.scores["stop-and-go"] = replace(score, updates=(849, 799, 800))  # type: ignore[index]
    at = [800, 750, 800]
    changed = equal_updates(made)[0]
    wanted = [kept - each[place] for kept, each, place in zip(score.validation, points, at, strict=True)]
    assert list(changed.last) == wanted
    best = [max(value for place, value in each.items() if place <= end) for each, end in zip(points, at, strict=True)]
    assert changed.best == tuple(kept - each for kept, each in zip(score.validation, best, strict=True))


def test_what_is_not_known_is_left_out(made: Findings) -> None:
    tasks, row = len(made.rows), made.rows[0]
    assert len(equal_updates(made)) == 2 * tasks
    own = row.scores["single"]
    changes: list[tuple[str, Any]] = [
        ("single", (1600, 1600, 1500)),  # of 1,600 iterations, some left the task out
        ("stop-and-go", (800, 800, 1601)),  # more than the other arm has
    ]
    for arm, updates in changes:
        before = row.scores[arm]
        row.scores[arm] = replace(before, updates=updates)  # type: ignore[index]
        left = [each for each in equal_updates(made) if each.contrast.minus == "single"]
        assert len(left) == tasks - 1 and row.name not in [each.task for each in left]
        row.scores[arm] = before  # type: ignore[index]
    assert row.scores["single"] == own and len(equal_updates(made)) == 2 * tasks
    assert by_updates(replace(made, curves=())) == "" == by_updates(made_findings.joint_vs_single(recorded=False))
    arms = [
        arm.model_copy(update={"start": "model of stop-and-go"} if arm.name == "single" else {}) for arm in made.arms
    ]
    tuned = replace(made, plan=made.plan.model_copy(update={"arms": tuple(arms)}))
    assert {each.contrast.minus for each in equal_updates(tuned)} == {"single-longer"}


def test_a_rate_that_stays_is_no_caveat(made: Findings) -> None:
    assert FALLS in by_updates(made)
    config = {**made.plan.config, "optimizer": {"decay": "none"}}
    stays = replace(made, plan=made.plan.model_copy(update={"config": config}))
    assert FALLS not in by_updates(stays)
