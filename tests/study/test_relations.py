"""The studies of affinity, grouping and errors, on a data root that trains in seconds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from rich.console import Console

from twelve.errors import ConfigError, DataError
from twelve.metrics.bootstrap import Interval
from twelve.study import errors, grouping
from twelve.study.arms import Arm
from twelve.study.bootstrap import t_interval
from twelve.study.cells import gain_of
from twelve.study.engine import run
from twelve.study.findings import findings
from twelve.study.measures.affinities import OfRun, control, intervals, read_affinities
from twelve.study.measures.errors import KindDifference
from twelve.study.measures.grouping import CellOf
from twelve.study.plan import read
from twelve.study.report import page
from twelve.study.report.plots import drawn, heat_map
from twelve.study.studies.groups import Groups
from twelve.study.table import ALONE

QUIET = Console(quiet=True)
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
TASKS = ("vqa", "refcoco", "snli_ve")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    tree = tiny.tree(tiny.make(folder / "data", train=16, val=24), folder / "unused")
    tree |= {"tasks": {name: tree["tasks"][name] for name in TASKS}}
    tree["training"] |= {"iterations": 40, "eval_every": 20, "save_every": 40}
    tree["evaluation"]["derangements"] = 1
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def affinity(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, short = tmp_path_factory.mktemp("studies") / "affinity", ["training.iterations=6"]
    return run("affinity", config, seeds=1, out=out, settings=short, console=QUIET)


@pytest.fixture(scope="module")
def lattice(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run("groups", config, seeds=1, out=tmp_path_factory.mktemp("studies") / "groups", console=QUIET)


def test_what_the_other_tasks_gain_from_each_group_is_said() -> None:
    """From the model of all groups and those of all but one; the largest gain first, significant ones named."""
    study = RESULTS / "study-four-tasks-pretrained-groups-again"
    found = findings(study)
    (said,) = (each for each in found.sentences if each.startswith("What the other tasks gain from each group"))
    lost = {}
    for left in ("pointing", "answering", "verification", "retrieval"):
        without = "+".join(name for name in ("answering", "retrieval", "pointing", "verification") if name != left)
        compared = found.comparison("all", without)
        assert compared is not None
        lost[left] = compared.every.mean
        assert f"{left} {compared.every.mean:+.1f} [{compared.every.low:+.1f}, {compared.every.high:+.1f}]" in said
    order = [said.index(f"{left} {mean:+.1f}") for left, mean in sorted(lost.items(), key=lambda each: -each[1])]
    assert order == sorted(order) and said.endswith(" Significant: pointing.")
    assert f"<li>{page.minus(said)}</li>" in page.render([page.part_of(found, "key")])


@pytest.mark.parametrize(("count", "ahead"), [(5, True), (2, False), (1, None)])
def test_how_much_more_the_others_gain_from_the_group_that_helps_most_is_said(count: int, ahead: bool | None) -> None:
    """By t intervals of the differences in each seed; with two seeds, none excludes 0; one seed has none."""
    found = findings(RESULTS / "study-four-tasks-pretrained-groups-again")
    fewer = tuple(replace(each, seeds=each.seeds[:count]) for each in found.comparisons)
    without = {each.contrast.minus: each.seeds for each in fewer if each.contrast.arm == "all"}
    said = Groups().sentences(replace(found, comparisons=fewer))
    told = [each for each in said if "another group" in each or "more from" in each]
    if ahead is None:
        assert not told
    elif not ahead:
        assert told == ["No difference between pointing and another group is shown."]
    else:
        (more,) = told
        assert more.startswith("They gain more from pointing than from answering (") and more.endswith("not corrected.")
        first, second = (
            np.array(without[name]) for name in ("answering+retrieval+verification", "answering+pointing+verification")
        )
        apart = t_interval((first - second).tolist())
        assert apart is not None and f"retrieval ({gain_of(apart)})" in more


def test_affinity(affinity: Path) -> None:
    (measured,) = read_affinities(affinity, (3,), "joint")
    assert measured.tasks == TASKS and [each.iteration for each in measured.measured] == list(range(1, 6))
    page = (affinity / "results.md").read_text()
    for part in ("Of 6 ordered pairs of tasks", "Affinity: a step on", "between groups", "Cosines: cosine", "| norm |"):
        assert part in page
    assert f"{100 * np.array(measured.affinity)[0, 1]:+.2f} [" in page
    told = [control([measured])] if control([measured]) else []
    assert len(findings(affinity).sentences) == 2 + len(told) and [*findings(affinity).sentences[:-2]] == told
    if find_spec("matplotlib"):
        assert "<svg" in (affinity / "results-affinity.svg").read_text()


def test_affinities_of_extensions_are_read_with_those_of_the_run(affinity: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(affinity, copy)
    (file,) = copy.glob("seed-*/probes/joint/affinity.json")
    tree = json.loads(file.read_text())
    later = [each | {"iteration": each["iteration"] + 6, "affinity": [[0.5] * 3] * 3} for each in tree["measured"]]
    first, second = (file.with_name(f"affinity-{number}.json") for number in (1, 2))
    first.write_text(json.dumps(tree | {"measured": later, "seconds": 3 * tree["seconds"]}))
    second.write_text(json.dumps(tree | {"measured": [], "seconds": 0.0, "cost": 0.0}))  # it was too short
    (run,) = read_affinities(copy, (3,), "joint")
    assert [each.iteration for each in run.measured] == [*range(1, 6), *range(7, 12)]
    expected = (np.array(tree["affinity"]) + 0.5) / 2
    assert np.allclose(run.affinity, expected) and np.allclose(run.over_time("affinity").mean(0), expected)
    assert run.seconds == pytest.approx(4 * tree["seconds"]) and run.cost == pytest.approx(tree["cost"])
    first.write_text(json.dumps(tree | {"tasks": ["x", "y", "z"]}))
    with pytest.raises(DataError, match="the same in all seeds"):
        read_affinities(copy, (3,), "joint")


def test_grouping(affinity: Path, lattice: Path, tmp_path: Path) -> None:
    text = grouping.show(lattice, affinity, tmp_path / "found", console=QUIET)
    assert text == (tmp_path / "found" / "grouping.md").read_text()
    tree = json.loads((tmp_path / "found" / "grouping.json").read_text())
    failed = control(read_affinities(affinity, (3,), "joint"))
    kept = [name for name in grouping.PREDICTORS if name != "relative" or not failed]
    assert [*tree["correlations"]] == [*tree["bootstrap_medians"]] == kept
    assert len(tree["sentences"]) == 2 + bool(failed) and [*tree["left_out"]] == ["relative"] * bool(failed)
    assert tree["own_effects"].keys() == set(TASKS)
    assert len(tree["cells"]) + len(tree["unlearned"]) == 3 * 2 + 3
    few = "3 measured cells are too few" if len(tree["cells"]) == 3 else "rank correlation"
    assert few in tree["sentences"][-2]
    with pytest.raises(DataError, match="no arm of this study has measured affinities"):
        grouping.show(lattice, lattice, console=QUIET)
    with pytest.raises(DataError, match="no group was trained alone and with another one"):
        grouping.show(affinity, affinity, console=QUIET)


def test_gains_of_a_lattice_are_of_learned_tasks_by_seed(lattice: Path) -> None:
    found = findings(lattice)
    measured = grouping.lattice_of(found)
    assert measured.gains and {cell.group for cell in measured.gains} <= set(measured.groups)
    for cell, gains in measured.gains.items():
        arm = "all" if len(cell.together) == 3 else "+".join(cell.together)
        comparison = found.comparison(arm, cell.group)
        assert comparison is not None and comparison.learned is not None
        assert gains == comparison.learned_seeds == pytest.approx([comparison.learned.mean])  # one seed


def test_predictions_follow_the_affinities() -> None:
    """Two seeds of the affinities: a helps b by 1 and 3, b hurts a by 1; relative to steps of 2 on itself, by half."""
    runs = [
        OfRun.model_validate(
            {"tasks": ["x", "y"], "every": 1, "seconds": 1.0, "cost": 1.0, "measured": [
                {"iteration": 1, "rate": 1.0, "losses": [1, 1], "norms": [1, 1], "cosines": [[1, 0.5], [0.5, 1]],
                 "affinity": [[2, value], [-1, 2]]}]}
        )
        for value in (1, 3)
    ]  # fmt: skip
    cells = {CellOf("a", ("a", "b")): (0.0,), CellOf("b", ("a", "b")): (1.0,)}
    found = grouping.predictions_of(grouping.Lattice({"a": ["x"], "b": ["y"]}, cells, []), runs)
    assert found["look-ahead"].tolist() == [[-1, 1], [-1, 3]]
    assert found["relative"].tolist() == [[-0.5, 0.5], [-0.5, 1.5]]
    assert found["cosine"].tolist() == [[0.5, 0.5], [0.5, 0.5]]


def of_effects(*own: float) -> OfRun:
    """A run of steps that lower the loss of their own task by this and that share, in each of 9 measurements."""
    tasks, ones = ["x", "y"], [[1.0, 0.0], [0.0, 1.0]]
    once = {"iteration": 1, "rate": 1.0, "losses": [1, 1], "norms": [1, 1], "cosines": ones}
    measured = [once | {"affinity": [[own[0], 0.5], [0.5, own[1]]]}] * 9
    return OfRun.model_validate({"tasks": tasks, "every": 1, "seconds": 1.0, "cost": 1.0, "measured": measured})


def test_affinities_fail_their_control_where_a_step_does_not_lower_its_own_loss() -> None:
    assert control([of_effects(0.02, 0.01), of_effects(0.01, 0.03)]) == ""
    lower = "Positive control: a step on a task should lower the loss of the same task on a second batch; "
    assert control([of_effects(0.02, -0.01), of_effects(0.02, -0.01)]) == (
        f"{lower}the step raises the loss instead for y (-1.00 [-1.00, -1.00]%). So the measurement "
        "fails its control on 1 of 2 tasks, and cannot tell how steps on these tasks change the loss of another one."
    )
    assert control([of_effects(0.02, -0.01), of_effects(-0.02, -0.01)]) == (
        f"{lower}this is not shown for x (0.00 [-2.00, +2.00]%); the step raises the loss "
        "instead for y (-1.00 [-1.00, -1.00]%). So the"
        " measurement fails its control, and cannot tell how steps on one task change the loss of another one."
    )


def test_what_grouping_says_of_the_recorded_affinities(tmp_path: Path) -> None:
    """Every task passes the control; gains are predicted from the affinities of their own seeds, if these are known."""
    studies = [RESULTS / f"study-four-tasks-{name}" for name in ("groups", "affinity")]
    text = grouping.show(*studies, tmp_path, console=QUIET)
    found = "+0.16 [-0.45, +0.69] over 14 cells (by seed +0.05, +0.22, +0.39, +0.28, +0.09; bootstrap median +0.13)."
    assert f"is not shown to predict which groups gain from which others: rank correlation {found}" in text
    told = " ".join((RESULTS.parents[1] / "docs" / "relations.md").read_text(encoding="utf-8").split())
    assert f"from random weights is {found.partition(' over ')[0]}, over 14 gains of two tasks" in told
    assert "| relative |" in text and "Positive control" not in text and "Note:" not in text
    tree = json.loads((tmp_path / "grouping.json").read_text())
    assert all(low > 0 for _, low, _ in tree["own_effects"].values())
    assert tree["correlations_by_seed"]["look-ahead"] == pytest.approx([0.05, 0.22, 0.39, 0.28, 0.09], abs=6e-3)


def test_grouping_tells_how_the_runs_of_the_two_studies_differ() -> None:
    studies = [RESULTS / f"study-four-tasks-{name}" for name in ("pretrained-groups-again", "affinity")]
    assert (
        "Note: the two studies differ: the models of the groups start from a pretrained trunk, those of the affinities "
        "from the model of the seed; the gains have seeds 3, 4, 5, 6, 7, the affinities 0, 1, 2, 3, 4, so their mean "
        "predicts for every seed."
    ) in grouping.show(*studies, console=QUIET)


def test_intervals_of_matrices() -> None:
    rng = np.random.default_rng(0)
    seeds = [np.array([1.0, -1.0, 0.0]) + rng.normal(0, 0.5, (50, 3)) for _ in range(3)]
    found = intervals(seeds, resamples=300)
    assert found.sign.tolist() == [1, -1, 0]
    assert np.allclose(
        found.high - found.low, 2 * 1.96 * 0.5 / 50**0.5, rtol=0.5
    )  # two seeds, drawn, and in each 50 values, drawn


def test_a_matrix_is_drawn() -> None:
    pytest.importorskip("matplotlib")
    ones = intervals([np.ones((2, 2, 2))], resamples=9)
    plot = drawn(lambda: heat_map(["a", "b"], ones, "one"))[0].decode()
    assert plot.count("<!-- a -->") == 2 and plot.count("<!-- 1 -->") >= 4


def test_damaged_affinities(affinity: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(affinity, copy)
    (file,) = copy.glob("seed-*/probes/joint/affinity.json")
    tree: dict[str, Any] = json.loads(file.read_text())
    for change in ({"tasks": ["vqa"]}, {"measured": []}, {"every": "x"}):
        file.write_text(json.dumps(tree | change))
        with pytest.raises(DataError, match=r"affinity\.json: "):
            read_affinities(copy, (3,), "joint")
    file.unlink()
    with pytest.raises(DataError, match="no affinities here -> measure them"):
        read_affinities(copy, (3,), "joint")


def test_errors(lattice: Path, tmp_path: Path) -> None:
    plan = read(lattice)
    text = errors.show(lattice, (), tmp_path / "found", similarity=True, console=QUIET)
    tree = json.loads((tmp_path / "found" / "errors.json").read_text())
    main = plan.contrasts[0]
    assert tree["arms"] == [main.arm, main.minus] and text.startswith("answering has learned none of the tasks")
    assert len(tree["sentences"]) == 1 and "(not learned) |" in text
    (task,) = plan.arm(main.minus).tasks
    (similar,) = tree["similarity"].values()
    assert {"text.embedding", "image.embedding", "text.1", "connection.1.image"} <= similar.keys()
    assert all(abs(each["mean"]) < 1.001 for each in similar.values())
    alone = errors.show(lattice, ["all", "all"], tmp_path / "same", similarity=True, console=QUIET)
    tree = json.loads((tmp_path / "same" / "errors.json").read_text())
    assert all(each["gain"]["mean"] == 0 for own in tree["differences"].values() for each in own)
    assert all(each["mean"] == pytest.approx(1) for own in tree["similarity"].values() for each in own.values())
    found = {(each["kind"], each["value"]) for each in tree["differences"]["refcoco"]}
    assert {("colour", "red"), ("colour", "blue")} <= found and task in TASKS and "Similarity" in alone


def test_only_learned_tasks_are_counted() -> None:
    """They are listed all the same. An arm that is not complete has learned nothing."""
    text = errors.show(RESULTS / "study-four-tasks-joint-vs-single", console=QUIET)
    first = text.partition("\n")[0]
    assert first.startswith("Of 67 kinds of examples on 2 tasks, stop-and-go is significantly better than single-trunk")
    assert "The largest significant gain is on RefCOCO, opening on the (" in first
    assert first.endswith("Not counted, because single-trunk has not learned them: COCO retrieval, SNLI-VE.")
    assert "| SNLI-VE (not learned) | target | entailment |" in text and errors.BY_ANSWER in text
    row = findings(RESULTS / "study-four-tasks-joint-vs-single").rows[0]
    assert not errors._learned(row, Arm(name="absent", meaning="", models=(TASKS,)))


def test_what_the_errors_say() -> None:
    """The largest significant gain and loss; if none is, the largest by the bootstrap alone, with a star."""
    one, two = (Arm(name=name, meaning="", models=(TASKS,)) for name in ("one", "two"))
    sure, gain = (4.9, 5.0, 5.1), Interval(5.0, 4.0, 6.0)
    first = KindDifference("opening", "cup", 30, 60.0, 55.0, gain, sure)
    same = replace(first, kind="answer", same="opening")
    larger = replace(first, value="left", gain=Interval(9.0, -1.0, 20.0))
    loss = replace(first, value="red", gain=Interval(-8.0, -12.0, -2.0), seeds=(-20.0, -1.0, -3.0))
    said, extremes = errors.sentences(one, two, {"vqa": [first, same, larger, loss]})
    assert said.startswith(
        "Of 3 kinds of examples on 1 task, one is significantly better than two on 1 and worse on 0 (1"
    )
    assert extremes == (
        "The largest significant gain is on vqa, opening cup (+5.0 [+4.0, +6.0] points, 30 examples); no loss is "
        "significant, and the largest by the bootstrap alone is on vqa, opening red (-8.0 [-12.0, -2.0] * points, 30 "
        "examples)."
    )
    assert errors.sentences(one, two, {"vqa": [larger]})[1] == "No gain is significant; no loss is significant."
    text = errors._page(one, two, (said, extremes), {"vqa": [first, same, larger, loss]}, {})
    rows = [line.rpartition(" | ")[2] for line in text.splitlines() if line.startswith("| vqa | opening | ")][:2]
    assert rows == ["+5.0 [+4.0, +6.0] |", "-8.0 [-12.0, -2.0] * |"]
    assert ALONE in text and "| answer |" not in text
    assert ALONE not in errors._page(one, two, (said,), {"vqa": [first]}, {})
    answers = [replace(first, kind=kind, gain=Interval(50.0, 40.0, 60.0)) for kind in ("label", "target")]
    assert errors.sentences(one, two, {"vqa": [first, *answers, same, larger, loss]}) == (said, extremes)
    shown = errors._page(one, two, (said,), {"vqa": [first, *answers]}, {})
    assert "| vqa | label | cup |" in shown and errors.BY_ANSWER in shown and errors.BY_ANSWER not in text


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        (["all"], "expected two arms, found 1"),
        (["all", "al"], r"unknown arm 'al' \(did you mean 'all'\?\)|unknown arm 'al'"),
        (["answering", "pointing"], "train no task in common"),
    ],
)
def test_arms_that_cannot_be_compared(lattice: Path, arms: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        errors.show(lattice, arms, console=QUIET)


def test_kinds_that_were_not_recorded(lattice: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lattice, copy)
    for file in copy.glob("seed-*/results/*/*.json"):
        tree = json.loads(file.read_text())
        tree.pop("kinds", None)
        file.write_text(json.dumps(tree))
    with pytest.raises(DataError, match="the kinds of its examples were not recorded"):
        errors.show(copy, console=QUIET)
