"""What made the results of a study: the user's file that defines it, and the commits and processors of its runs."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console
from tiny_study import made_up, write_config
from typer.testing import CliRunner

from twelve import cli
from twelve.config import load
from twelve.errors import ConfigError
from twelve.study import plan as plans
from twelve.study.engine import begun, planned
from twelve.study.findings import findings
from twelve.study.losses import LOSSES
from twelve.study.plan import Plan
from twelve.study.report import page
from twelve.study.results import result_file
from twelve.study.show import show
from twelve.study.studies import get_study

STUDY = """
from twelve.study.arms import Contrast
from twelve.study.losses import LOSSES
from twelve.study.studies.base import Study, register

LOSSES["hinge"] = lambda logits, targets: 1.0 * logits.sum()


@register
class Margin(Study):
    name = "ranking-loss"
    question = "Does the hinge loss help?"

    def arms(self, subjects):
        joint = subjects.joint("joint", "one model")
        return [joint, joint.model_copy(update={"name": "hinge", "losses": {"vqa": "hinge"}})]

    def contrasts(self, subjects):
        return [Contrast(arm="hinge", minus="joint", tasks=subjects.tasks)]
"""
SCORES = {"joint": (0.7, 0.6), "hinge": (0.8, 0.7)}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study whose name is not that of its file."""
    monkeypatch.setitem(LOSSES, "hinge", lambda logits, targets: logits.sum())  # so that it is taken out again
    path = tmp_path / "margin_study.py"
    path.write_text(STUDY)
    return path


def plan_of(file: Path, config: Path, seeds: int = 1) -> Plan:
    return planned(get_study(str(file), {}), load(config), seeds=seeds)


def html_of(out: Path) -> str:
    return unescape(page.render([page.part_of(findings(out), "key")]))


def test_a_study_keeps_its_file_and_goes_on_with_the_same_alone(file: Path, tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "out"
    first = begun(plan_of(file, config), out, False, file)
    copy = out / "study.py"
    assert copy.read_text() == STUDY and first.code == plans.code_of(file) and first.code.name == "margin_study.py"
    assert json.loads((out / plans.FILE).read_text())["plan"]["code"]["sha256"] == first.code.sha256
    assert begun(plan_of(file, config, 2), out, True, file).seeds == (3, 4)
    file.write_text(STUDY.replace("1.0", "2.0"))
    before = (out / plans.FILE).read_bytes()
    with pytest.raises(ConfigError) as raised:
        begun(plan_of(file, config, 3), out, True, file)
    assert str(raised.value) == (
        f"{file} is not the file that the study in {out} was begun with -> name the copy of that file in its place, "
        f"{copy}, or name another folder: --out"
    )
    assert (out / plans.FILE).read_bytes() == before and copy.read_text() == STUDY
    again = begun(plan_of(copy, config, 3), out, True, copy)
    assert again.seeds == (3, 4, 5) and again.code == first.code and copy.read_text() == STUDY
    copy.write_text("changed")
    with pytest.raises(ConfigError, match=r"was begun with -> name another folder: --out$"):
        begun(plan_of(file, config, 3), out, True, file)


def test_the_words_of_a_complete_study_can_be_corrected(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to train; the copy stays that of the file that made the results."""
    config, out = write_config(tmp_path), tmp_path / "out"
    first = begun(plan_of(file, config), out, False, file)
    file.write_text(STUDY + "# corrected\n")
    with pytest.raises(ConfigError, match="was begun with"):
        begun(plan_of(file, config), out, True, file)
    monkeypatch.setattr("twelve.study.engine.is_done", lambda out, step: True)
    assert begun(plan_of(file, config), out, True, file) == first and (out / "study.py").read_text() == STUDY


def test_a_study_that_recorded_no_file_goes_on_as_before(file: Path, tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "out"
    begun(plan_of(file, config).model_copy(update={"code": None}), out, False, file)
    file.write_text(STUDY.replace("1.0", "2.0"))
    assert begun(plan_of(file, config, 2), out, True, file).code is None and not (out / "study.py").exists()
    shipped = planned(get_study("groups", {}), load(config), seeds=1)
    assert shipped.code is None
    begun(shipped, tmp_path / "shipped", False, None)
    assert not (tmp_path / "shipped" / "study.py").exists()


def test_the_machine_of_a_study_is_the_one_that_it_was_begun_on(tmp_path: Path) -> None:
    plan, out = planned(get_study("groups", {}), load(write_config(tmp_path)), seeds=1), tmp_path / "out"
    out.mkdir()
    plans.write(plan, out, {"processor": "an earlier one"})
    begun(plan, out, True)
    assert plans.machine_of(out) == {"processor": "an earlier one"}


def test_results_of_several_commits_or_processors_are_told(tmp_path: Path) -> None:
    plan, hashes = made_up(tmp_path, {"stop-and-go": (0.7, 0.6), "single-longer": (0.6, 0.5)}), ("a" * 40, "b" * 40)
    tables = show(tmp_path, console=Console(quiet=True))
    assert "results come from" not in tables + html_of(tmp_path)
    for seed in plan.seeds:
        for arm in plan.arms:
            for task in arm.tasks:
                path = result_file(tmp_path, seed, arm.name, task)
                made = {"commit": hashes[0], "processor": "slow" if seed == plan.seeds[0] else "fast"}
                path.write_text(json.dumps(json.loads(path.read_text()) | made))
    told = "The results come from 2 processors (slow, fast)."
    assert told in show(tmp_path, console=Console(quiet=True)) and told in html_of(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": f"{hashes[1]}+"}))
    both = f"The results come from 2 commits ({'a' * 12}, {'b' * 12}+) and 2 processors (slow, fast)."
    assert both in show(tmp_path, console=Console(quiet=True)) and both in html_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "commit": None}))
    assert f"2 commits ({'a' * 12}, not recorded)" in show(tmp_path, console=Console(quiet=True))


def test_the_losses_of_an_arm_and_the_file_of_its_study_are_named(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made_up(out, SCORES, study=str(file))
    assert "| hinge | one model; its own loss: hinge for vqa |" in show(out, console=Console(quiet=True))
    html = html_of(out)
    assert "one model; its own loss: hinge for vqa</span>" in html
    assert "twelve study run margin_study.py --config" in html and "ranking-loss.py" not in html
    assert "<code>margin_study.py</code> the file that defines the study; the study's folder has a copy" in html
    tree = json.loads((out / plans.FILE).read_text())
    del tree["plan"]["code"]
    (out / plans.FILE).write_text(json.dumps(tree))
    assert "twelve study run study.py --config" in html_of(out) and "has a copy" not in html_of(out)


def test_a_dry_run_of_a_resumed_study_says_what_would_be_done(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "out"
    asked = ["study", "groups", "--config", str(config), "--seeds", "2", "--out", str(out), "--dry-run"]

    def said(*more: str) -> str:
        return " ".join(CliRunner().invoke(cli.app, [*asked, *more], catch_exceptions=False).output.split())

    with pytest.raises(ConfigError, match="there is no study to resume"):
        said("--resume")
    plan = begun(planned(get_study("groups", {}), load(config), seeds=1), out, False)
    done = plan.steps()[0]
    for task in done.model:
        path = result_file(out, done.seed, done.arm.name, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    steps = 2 * len(plan.steps())
    assert "(holds a study: add --resume)" in said()
    assert f"(the study here is resumed: 1 of {steps} steps done, which are not counted above)" in said("--resume")
    assert f"2 seeds (3, 4): {steps - 1} runs in {steps - 1} steps" in said("--resume")
    with pytest.raises(ConfigError, match="val_fraction: the study has"):
        said("--resume", "--set", "val_fraction=0.3")
    assert plans.read(out).seeds == (3,)
