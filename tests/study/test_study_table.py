"""What a study says of results that are made up: whoever wins, it says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from rich.console import Console

from twelve import config as configuration
from twelve.errors import DataError
from twelve.study import plan as plans
from twelve.study.arms import ARMS, OPPONENT
from twelve.study.findings import findings
from twelve.study.joint_vs_single import planned
from twelve.study.plan import Plan
from twelve.study.results import result_file
from twelve.study.show import show
from twelve.study.table import verdict

TASKS = ("vqa", "nlvr2")
QUIET = Console(quiet=True)


def made_up(
    out: Path, scores: dict[str, tuple[float, ...]], *, upper_bound: float | None = 100.0, seeds: int = 3
) -> Plan:
    """A study's folder: arm -> score of each task, 0..1, with a little chance."""
    tree = tiny.tree(Path("root"), Path("run"))
    tree["tasks"] = {name: tree["tasks"][name] for name in TASKS}
    plan = planned(configuration.parse(tree | {"sources": {}}), seeds=seeds, arms=[*scores], factors=(1.0,))
    plans.write(plan, out, {})
    rng = np.random.default_rng(0)
    for seed in plan.seeds:
        for number, task in enumerate(TASKS):
            draw = rng.random(400)
            for arm, values in scores.items():
                record = {
                    "task": task, "title": task.upper(), "metric": "accuracy", "arm": arm, "seed": seed,
                    "split": "val", "factor": 1.0, "score": 50.0, "validation": 0.5, "iterations": 7, "seconds": 60.0,
                    "parameters": 1_000_000, "batches": dict.fromkeys([task] if ARMS[arm].alone else TASKS, 7),
                    "groups": [str(row // 2) for row in range(400)],
                    "values": [float(value < values[number]) for value in draw],
                }  # fmt: skip
                if arm == "stop-and-go":
                    record |= {"baselines": {"chance": 20.0, "shuffled images": 40.0}, "upper_bound": upper_bound}
                path = result_file(out, seed, arm, task)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(record))
    return plan


@pytest.mark.parametrize(
    ("joint", "single", "words"),
    [
        ((0.7, 0.7), (0.8, 0.8), "**The joint model closes less than the 2 single models**"),
        ((0.8, 0.8), (0.7, 0.7), "**The joint model closes more than the 2 single models**"),
        ((0.8, 0.7), (0.7, 0.8), "do not differ significantly"),
    ],
)
def test_the_winner_is_named(
    tmp_path: Path, joint: tuple[float, float], single: tuple[float, float], words: str
) -> None:
    plan = made_up(tmp_path, {"stop-and-go": joint, OPPONENT: single})
    said = verdict(findings(plan, tmp_path))
    assert words in said
    better = [task.upper() for task, a, b in zip(TASKS, joint, single, strict=True) if a > b]
    worse = [task.upper() for task, a, b in zip(TASKS, joint, single, strict=True) if a < b]
    for word, names in (("Better", better), ("Worse", worse)):
        assert (f"{word} on {len(names)}: {', '.join(names)}." if names else f"{word} on none.") in said


def test_numbers_of_the_endpoint(tmp_path: Path) -> None:
    plan = made_up(tmp_path, {"stop-and-go": (0.7, 0.5), OPPONENT: (0.4, 0.5)}, upper_bound=90.0)
    found = findings(plan, tmp_path)
    row, other = found.rows
    assert (row.baseline, row.upper_bound) == (pytest.approx(40), pytest.approx(90))
    assert row.gains[OPPONENT].mean == pytest.approx(30, abs=4)
    assert row.closed[OPPONENT].mean == pytest.approx(row.gains[OPPONENT].mean / 0.5)
    assert other.closed[OPPONENT].mean == other.closed[OPPONENT].low == 0
    assert found.endpoint.closed[OPPONENT].mean == pytest.approx(row.closed[OPPONENT].mean / 2)
    assert found.image_free[OPPONENT].mean == pytest.approx(row.gains[OPPONENT].mean / 0.7 / 2)
    assert (found.costs[OPPONENT].parameters, found.costs["stop-and-go"].parameters) == (2e6, 1e6)
    assert (found.costs[OPPONENT].updates, found.costs[OPPONENT].seconds) == (14, 120)


def test_without_an_upper_bound_all_can_be_right_and_a_task_without_room_is_left_out(tmp_path: Path) -> None:
    scores = {"stop-and-go": (0.7, 0.7), OPPONENT: (0.7, 0.7)}
    assert findings(made_up(tmp_path / "none", scores, upper_bound=None), tmp_path / "none").rows[0].upper_bound == 100
    plan = made_up(tmp_path, scores)
    path = result_file(tmp_path, 3, "stop-and-go", "nlvr2")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"upper_bound": 40.0}))
    found = findings(plan, tmp_path)
    assert [row.name for row in found.rows] == ["vqa"] and list(found.left_out) == ["NLVR2, accuracy"]
    assert "NLVR2, accuracy is not in the mean" in show(tmp_path, console=QUIET)


def test_incomplete_seeds_are_named_and_other_examples_refused(tmp_path: Path) -> None:
    made_up(tmp_path, {"stop-and-go": (0.7, 0.7), OPPONENT: (0.7, 0.7)})
    result_file(tmp_path, 4, OPPONENT, "vqa").unlink()
    assert "Not complete, and not counted: seeds 4." in show(tmp_path, console=QUIET)
    path = result_file(tmp_path, 5, OPPONENT, "vqa")
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {"groups": tree["groups"][::-1]}))
    with pytest.raises(DataError, match="other examples"):
        show(tmp_path, console=QUIET)
    (tmp_path / plans.FILE).write_text('{"plan": {"arms": 1}}')
    with pytest.raises(DataError, match=plans.FILE):
        show(tmp_path, console=QUIET)
    with pytest.raises(DataError, match="no study here"):
        show(tmp_path / "nowhere", console=QUIET)
