"""A study's files that are damaged, or of another study: one line that names file and record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_study import made_up

from twelve.errors import ConfigError, DataError
from twelve.study import plan as plans
from twelve.study.engine import run
from twelve.study.execution import Seed
from twelve.study.results import read_result, result_file, search_file, write_result
from twelve.study.show import show
from twelve.study.studies.joint_vs_single import OPPONENT

QUIET = Console(quiet=True)
SCORES = {"stop-and-go": (0.7, 0.7), OPPONENT: (0.7, 0.7)}
FOUND: dict[str, Any] = {"validations": {"0.5": 0.2, "1.0": None}, "batches": {"0.5": 3}, "chosen": 0.5}


def changed(path: Path, change: Callable[[Any], object]) -> None:
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """One seed of two tasks; two factors were searched."""
    made_up(tmp_path, SCORES, seeds=1)
    changed(tmp_path / plans.FILE, lambda tree: tree["plan"]["arms"][0]["rates"].update(factors=[0.5, 1.0]))
    path = search_file(tmp_path, "stop-and-go")
    path.parent.mkdir()
    path.write_text(json.dumps(FOUND))
    assert "| stop-and-go | 20.0 | diverged | 0.5 |" in show(tmp_path, console=QUIET)
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (5, None),
        ({"chosen": 1.0}, "validations"),
        (FOUND | {"validations": []}, "validations"),
        (FOUND | {"validations": {"0.5": 5}}, "validations.0.5"),
        (FOUND | {"validations": {"0.7": 0.5}}, "validations"),
        (FOUND | {"batches": {"0.5": -3}}, "batches.0.5"),
        (FOUND | {"seconds": {"0.7": 3}}, "seconds"),
        (FOUND | {"chosen": "x"}, "chosen"),
        (FOUND | {"chosen": 0.7}, "chosen"),
        (FOUND | {"other": 1}, "other"),
    ],
)
def test_searches(study: Path, entry: Any, place: str | None) -> None:
    path = search_file(study, "stop-and-go")
    path.write_text(json.dumps(entry))
    with pytest.raises(DataError) as caught:
        show(study, console=QUIET)
    assert (caught.value.file, caught.value.record) == (path, place)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("config", {}, "plan"),
        ("config", [], "plan.config"),
        ("arms", [], "plan.arms"),
        ("arms", ["stop-and-go"], "plan.arms.0"),
        ("arms", [{"name": "../x", "meaning": "", "models": [["vqa"]]}], "plan.arms.0.name"),
        ("contrasts", [{"arm": "stop-and-go", "minus": "x", "tasks": ["vqa"]}], "plan"),
        ("seeds", [3, 3], "plan.seeds"),
        ("seeds", [-3], "plan.seeds.0"),
        ("worlds", 1, "plan.worlds"),
        ("options", {"longr": 1}, "plan.options.longr"),
    ],
)
def test_plans(study: Path, key: str, value: Any, place: str) -> None:
    changed(study / plans.FILE, lambda tree: tree["plan"].update({key: value}))
    with pytest.raises(DataError) as caught:
        show(study, console=QUIET)
    assert (caught.value.file, caught.value.record) == (study / plans.FILE, place)


@pytest.mark.parametrize("rate", [-1, "x", None])
def test_rates(study: Path, rate: Any) -> None:
    changed(study / plans.FILE, lambda tree: tree["plan"]["arms"][0]["rates"].update(factors=[1.0, rate]))
    with pytest.raises(DataError, match=r"study\.json \[plan\.arms\.0\.rates\.factors\.1\]"):
        show(study, console=QUIET)


def test_no_more_resamples_than_memory_holds(study: Path) -> None:
    changed(study / plans.FILE, lambda tree: tree["plan"]["config"]["evaluation"].update(resamples=10**12))
    with pytest.raises(DataError, match=r"study\.json \[plan\.config\.evaluation\.resamples\]"):
        show(study, console=QUIET)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"arm": OPPONENT}, "arm"),
        ({"seed": 4}, "seed"),
        ({"task": "nlvr2"}, "task"),
        ({"values": [5.0] * 400}, "values.0"),
        ({"values": [-5.0] * 400}, "values.0"),
        ({"values": [0.5]}, None),
        ({"values": [], "groups": []}, "groups"),
        ({"groups": ["x"] * 400}, "groups"),
        ({"baselines": {"chance": 1000}}, "baselines.chance"),
        ({"baselines": None}, "baselines"),
        ({"upper_bound": 1e9}, "upper_bound"),
        ({"upper_bound": -1}, "upper_bound"),
        ({"parameters": -1}, "parameters"),
        ({"seconds": -1}, "seconds"),
        ({"shuffled_values": [0.5]}, None),
        ({"recorded": {"curve": [[-1, 0.5]]}}, "recorded.curve.0.0"),
        ({"recorded": {"events": [{"iteration": 3}]}}, "recorded.events.0.event"),
        ({"by_type": {"words": {"1-3": [101, 2]}}}, "by_type.words.1-3.0"),
        ({"converged": 1}, "converged"),
        ({"batches": {"vqa": -1, "nlvr2": 1}}, "batches.vqa"),
        ({"batches": {"vqa": 1}}, "batches"),
        ({"factor": 0.7}, "factor"),
        ({"title": "\ud800"}, None),
    ],
)
def test_results(study: Path, change: dict[str, Any], place: str | None) -> None:
    path = result_file(study, 3, "stop-and-go", "vqa")
    other = result_file(study, 3, OPPONENT, "vqa")
    changed(path, lambda tree: tree.update(change))
    with pytest.raises(DataError) as caught:
        show(study, console=QUIET)
    # Of two that differ the file that is blamed is the other arm's: the base arm's is what all are compared with.
    assert caught.value.file == (other if place == "groups" and change["groups"] else path)
    assert caught.value.record == place and "remove this file" in str(caught.value)


def test_a_folder_in_a_pages_place_is_kept(study: Path) -> None:
    (study / "results.md").unlink()
    (study / "results.md").mkdir()
    (study / "results.md" / "mine").write_text("x")
    with pytest.raises(ConfigError, match=r"results\.md: expected a file, found a folder"):
        show(study, console=QUIET)
    assert (study / "results.md" / "mine").read_text() == "x"


def test_a_pipe_is_not_a_result_that_is_missing(study: Path) -> None:
    path = result_file(study, 3, OPPONENT, "vqa")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"vqa\.json: expected a regular file, found a pipe or a device"):
        show(study, console=QUIET)
    plan = plans.read(study)
    seed = Seed(plan, study, 3)
    step = next(step for step in plan.steps() if step.arm.name == OPPONENT and step.model == ("vqa",))
    with pytest.raises(DataError, match=r"vqa\.json: expected a regular file"):  # before it is trained, not after it
        seed.done(step)


def test_a_pipe_is_not_a_study_that_is_missing(study: Path, tmp_path: Path) -> None:
    config = plans.read(study).parsed()
    (study / plans.FILE).unlink()
    os.mkfifo(study / plans.FILE)
    config.write(tmp_path / "config.yaml")
    with pytest.raises(DataError, match=r"study\.json: expected a regular file, found a pipe"):
        run("joint-vs-single", tmp_path / "config.yaml", out=study, resume=True, console=QUIET)
    with pytest.raises(DataError, match=r"study\.json: expected a regular file, found a pipe"):
        show(study, console=QUIET)


@pytest.mark.parametrize("name", ["results.md", "results.json", "results-tasks.svg"])
def test_pages_that_are_links_out_of_the_study_are_refused(study: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    mine = tmp_path / "elsewhere" / "mine"
    mine.write_text("x")
    (study / name).unlink()
    (study / name).symlink_to(mine)
    with pytest.raises(ConfigError, match="is a link out of its study; the file that it leads to would be replaced"):
        show(study, console=QUIET)
    assert mine.read_text() == "x"


def test_a_result_that_is_a_link_is_not_replaced(study: Path, tmp_path: Path) -> None:
    path, mine = result_file(study, 3, OPPONENT, "vqa"), tmp_path / "mine"
    result = read_result(plans.read(study), study, 3, OPPONENT, "vqa")
    path.rename(mine)
    path.symlink_to(mine)
    with pytest.raises(ConfigError, match="is a link out of its study"):
        write_result(study, result.model_copy(update={"seconds": 5.0}))
