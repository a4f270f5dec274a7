"""The studies that docs/studies.md shows how to write: one of two arms, and one with a contrast of two differences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_findings import groups
from rich.console import Console
from tiny_study import made_up
from typer.testing import CliRunner

from twelve import cli
from twelve.study.arms import Contrast
from twelve.study.brief import brief
from twelve.study.cells import gain_of, spread
from twelve.study.finding_types import Findings
from twelve.study.findings import findings
from twelve.study.grouping import lattice_of
from twelve.study.plan import Plan
from twelve.study.report import page
from twelve.study.report.beside import minus
from twelve.study.report.relations import relations
from twelve.study.show import show
from twelve.study.studies.base import said

PAGE = Path(__file__).parents[2] / "docs" / "studies.md"
SINGLE, JOINT = ("single-changed", "single"), ("joint-changed", "joint")
NAME = "(single-changed minus single) minus (joint-changed minus joint)"
FAR: Mapping[str, Sequence[float]] = {
    **{"joint": (0.8, 0.8), "joint-changed": (0.82, 0.8)},
    **{"single": (0.6, 0.7), "single-changed": (0.8, 0.85)},
}


def written(path: Path, name: str) -> Path:
    """A class of the page, as a file."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.S)
    path.write_text(next(body for body in blocks if f"class {name}" in body))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The study of the page that compares two differences."""
    return written(tmp_path / "my_study.py", "WeightDecay")


def found_in(folder: Path, file: Path, scores: Mapping[str, Sequence[float]] = FAR) -> tuple[Plan, Findings]:
    plan = made_up(folder, scores, study=str(file))
    return plan, findings(folder)


def test_the_study_of_two_arms_compares_them(tmp_path: Path) -> None:
    first = written(tmp_path / "no_decay.py", "NoDecay")
    plan, found = found_in(tmp_path / "study", first, {"joint": (0.6, 0.7), "no-decay": (0.8, 0.85)})
    joint, changed = plan.arms
    assert changed.overrides == joint.overrides | {"optimizer.weight_decay": 0.0} and changed.models == joint.models
    (only,) = found.comparisons
    assert only.contrast.name == "no-decay minus joint" and only.every.mean > 0


def test_it_is_the_difference_of_the_differences_in_every_seed(file: Path, tmp_path: Path) -> None:
    _, found = found_in(tmp_path / "study", file)
    more, single, joint = found.comparisons
    assert more.contrast.name == NAME and [each.contrast.than for each in (more, single, joint)] == [JOINT, None, None]
    for of in ("seeds", "learned_seeds"):
        assert getattr(more, of) == pytest.approx(np.subtract(getattr(single, of), getattr(joint, of)))
    for one, first, second in zip(more.cells, single.cells, joint.cells, strict=True):
        assert one.seeds == pytest.approx(np.subtract(first.seeds, second.seeds))
        assert one.points.mean == pytest.approx(first.points.mean - second.points.mean)
        assert one.closed.mean == pytest.approx(first.closed.mean - second.closed.mean)
    assert more.every.mean == pytest.approx(single.every.mean - joint.every.mean)
    assert found.comparison(*SINGLE) is single and found.comparison(*SINGLE, than=JOINT) is more


def test_its_resamples_are_those_of_all_four_arms(file: Path, tmp_path: Path) -> None:
    """Where a change does the same to all examples of both, nothing varies, although each score does."""
    same = {"joint": (0.6, 0.7), "joint-changed": (0.8, 0.9), "single": (0.6, 0.7), "single-changed": (0.8, 0.9)}
    _, found = found_in(tmp_path / "study", file, same)
    more, single, _ = found.comparisons
    assert single.every.high - single.every.low > 1
    assert (more.every.low, more.every.mean, more.every.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert "single-changed minus single and joint-changed minus joint are identical" in found.sentences[0]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (FAR, "single-changed minus single is greater than joint-changed minus joint: +"),
        (
            FAR | {"single-changed": (0.5, 0.5)},
            "single-changed minus single is less than joint-changed minus joint: -",
        ),
        (
            FAR | {"single-changed": (0.625, 0.695)},
            "The two differences single-changed minus single and joint-changed minus joint do not differ "
            "significantly: ",
        ),
    ],
)
def test_the_sentence_says_which_difference_is_greater(
    scores: Mapping[str, Sequence[float]], words: str, file: Path, tmp_path: Path
) -> None:
    assert found_in(tmp_path / "study", file, scores)[1].sentences[0].startswith(words)


def test_a_task_counts_if_both_arms_that_are_subtracted_have_learned_it(file: Path, tmp_path: Path) -> None:
    for number, (arm, judge) in enumerate((("single", 1), ("joint", 2))):
        _, found = found_in(tmp_path / arm, file, FAR | {arm: (0.8, 0.4)})
        learned = [[cell.learned for cell in each.cells] for each in found.comparisons]
        assert learned[0] == learned[judge] == [True, False] != learned[2 - number]
        assert "over the only one that both single and joint learned: " in found.sentences[0]
    _, found = found_in(tmp_path / "none", file, FAR | {"single": (0.8, 0.4), "joint": (0.4, 0.8)})
    assert found.comparisons[0].learned is None
    assert "; no task is learned by both single and joint. By seed: " in found.sentences[0]
    first, second = (replace(found.comparisons[0], cells=(cell,)) for cell in found.comparisons[0].cells)
    assert (first.cells[0].unlearned, second.cells[0].unlearned) == (("joint",), ("single",))
    assert ", on vqa, which joint did not learn. By seed: " in said(first)
    assert ", on nlvr2, which single did not learn. By seed: " in said(second)
    neither = replace(second, cells=(replace(second.cells[0], unlearned=("single", "joint")),))
    assert ", on nlvr2, which neither single nor joint learned. By seed: " in said(neither)


def test_it_is_shown_wherever_a_contrast_is(file: Path, tmp_path: Path) -> None:
    _, found = found_in(tmp_path / "study", file)
    more = found.comparisons[0]
    tables = show(tmp_path / "study", console=Console(quiet=True))
    html = page.render([page.part_of(found, "key")])
    seeds = ", ".join(f"{seed:+.1f}" for seed in more.seeds)
    mean, *points = (
        f"{gain_of(points)}{' ‡' * remains}"
        for points, remains in ((more.every, more.every_remains), *((cell.points, cell.remains) for cell in more.cells))
    )
    assert f"| {NAME} | {mean} | {seeds} | {spread(more.seeds)} |" in tables
    assert f"| {NAME} | {points[0]} | {points[1]} |" in tables
    assert tables == (tmp_path / "study" / "results.md").read_text()
    assert f">{NAME}</th>" in html and f"{NAME}, task by task" in html and minus(seeds) in html
    assert "is greater than joint-changed minus joint" in " ".join(brief(found, "").split())
    shown = CliRunner().invoke(cli.app, ["study", "show", str(tmp_path / "study"), "--tables"])
    assert shown.exit_code == 0 and NAME in shown.output


def test_a_dry_run_prints_it_and_refuses_unknown_arms(file: Path) -> None:
    asked = ["study", "run", str(file), "--config", "study-microworld.yaml", "--dry-run"]
    said = CliRunner().invoke(cli.app, asked).output
    lines = said.partition("contrasts")[2].partition("\n\n")[0].splitlines()
    assert lines[0] == " (3):" and lines[1] == f"  {NAME}: all 12 tasks;"
    assert lines[2].startswith("    the trunks of coco, ") and "train at different rates" in " ".join(
        " ".join(lines[2:4]).split()
    )
    file.write_text(
        file.read_text().replace('joint, single = ("joint-changed", "joint"),', 'joint, single = ("x", "joint"),')
    )
    error = CliRunner().invoke(cli.app, asked).exception
    assert f"{file} [contrasts]: the contrast {NAME.replace('joint-changed', 'x')} has an unknown arm 'x'" in str(error)


def test_it_is_no_relation_between_groups() -> None:
    """What answering gains from pointing, less what it gains where retrieval is there, is no gain from a group."""
    found = groups()
    first = found.comparison("answering+pointing", "answering")
    assert first is not None
    than = ("answering+retrieval+pointing", "answering+retrieval")
    other = replace(first, contrast=first.contrast.model_copy(update={"than": than}))
    changed = replace(found, comparisons=(other, *found.comparisons))
    assert relations(changed) == relations(found) and lattice_of(changed) == lattice_of(found)
    assert relations(replace(found, comparisons=(other,))) == ()


def test_it_is_left_out_with_one_of_its_arms(file: Path, tmp_path: Path) -> None:
    plan, _ = found_in(tmp_path / "study", file, {name: FAR[name] for name in ("joint", "single", "single-changed")})
    assert [each.name for each in plan.contrasts] == ["single-changed minus single"]


@pytest.mark.parametrize(
    ("arm", "less", "than", "told"),
    [
        ("a", "a", ("c", "d"), "compares the arm a with itself"),
        ("a", "b", ("c", "c"), "compares the arm c with itself"),
        ("a", "b", ("a", "b"), "expected four different arms in the contrast .*, found a twice"),
        ("a", "b", ("c", "b"), "found b twice"),
    ],
)
def test_it_compares_four_arms(arm: str, less: str, than: tuple[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Contrast(arm=arm, minus=less, than=than, tasks=("vqa",))
