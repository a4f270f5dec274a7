"""Mistakes in a study of a person's own are told before anything is trained, and put down to the study's file."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tiny_study import made_up, write_config
from typer.testing import CliRunner

from twelve import cli
from twelve.config import load
from twelve.errors import ConfigError
from twelve.study import plan as plans
from twelve.study.arms import Arm
from twelve.study.brief import brief
from twelve.study.engine import _announce, planned, run
from twelve.study.findings import findings
from twelve.study.identical import same_scores
from twelve.study.overrides import check_overrides
from twelve.study.report import page
from twelve.study.results import result_file
from twelve.study.studies import get_study
from twelve.study.studies.base import said as said_of
from twelve.study.table import markdown
from twelve.training.balancing import BALANCINGS
from twelve.training.balancing.base import LossBalancing
from twelve.training.schedules.base import SCHEDULES, Schedule

STUDY = """
from twelve.study.arms import Arm, Contrast
from twelve.study.studies.base import Study, register


@register
class Mistaken(Study):
    name = "mistaken"
    question = "What is refused?"

    def arms(self, subjects):
        return [
            subjects.joint("joint"),
            Arm(name="always-go", meaning="", models=subjects.one, **{changed}),
            Arm(name="single", meaning="", models=subjects.each),
            Arm(name="answers", meaning="", models=(("vqa",),), extra=True),
        ]

    def contrasts(self, subjects):
        return [Contrast(**each) for each in {contrasts}]
"""
FOUR = ("vqa", "coco", "refcoco", "snli_ve")
CONFIG = "study-four-tasks.yaml"


def dry_run(folder: Path, *asked: str, changed: object = None, contrasts: object = ()) -> tuple[list[str], str]:
    """What a study says with ``--dry-run``: all errors, and what it prints."""
    file = folder / "mistaken.py"
    text = STUDY.replace("{changed}", repr(changed or {})).replace("{contrasts}", repr(contrasts))
    file.write_text(text)
    found = CliRunner().invoke(cli.app, ["study", "run", str(file), "--config", CONFIG, "--dry-run", *asked])
    if found.exception is None:
        return [], " ".join(found.output.split())
    assert isinstance(found.exception, ConfigError), found.exception
    return [str(found.exception), *found.exception.listed], ""


def contrast(arm: str, minus: str, tasks: tuple[str, ...] = FOUR, **more: str) -> dict[str, object]:
    return {"arm": arm, "minus": minus, "tasks": tasks, **more}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            contrast("all-go", "joint"),
            "the contrast all-go minus joint has an unknown arm 'all-go' (did you mean \"always-go\"?) -> name arms of "
            "joint, always-go, single, answers",
        ),
        (contrast("joint", "sinle"), "an unknown arm 'sinle' (did you mean \"single\"?)"),
        (contrast("joint", "single", reference="jont"), "an unknown arm 'jont' (did you mean \"joint\"?)"),
        (
            contrast("sngle", "jont"),
            "an unknown arm 'sngle' (did you mean \"single\"?) and 'jont' (did you mean \"joint\"?)",
        ),
        (
            contrast("single", "joint", ("vqa", "snli")),
            "the contrast single minus joint has the task 'snli', which its arm single does not train (did you mean "
            '"snli_ve"?) -> name tasks of vqa, coco, refcoco, snli_ve',
        ),
        (contrast("joint", "answers"), "has the task 'coco', which its arm answers does not train"),
    ],
)
def test_a_contrast_of_what_the_study_does_not_define_is_refused(
    wrong: dict[str, object], told: str, tmp_path: Path
) -> None:
    """Also where its other arm does not run, and every mistake at once."""
    for asked in ((), ("--arms", "joint")):
        (error,), _ = dry_run(tmp_path, *asked, contrasts=[contrast("joint", "single"), wrong])
        assert error.startswith(f"{tmp_path / 'mistaken.py'} [contrasts]: ") and told in error
    errors, _ = dry_run(tmp_path, contrasts=[wrong, contrast("gone", "joint")])
    assert len(errors) == 2


@pytest.mark.parametrize("method", ["arms", "contrasts"])
def test_what_a_study_refuses_itself_is_put_down_to_its_file(method: str, tmp_path: Path) -> None:
    file, opening = tmp_path / "mistaken.py", f"    def {method}(self, subjects):\n"
    text = STUDY.replace("{changed}", "{}").replace("{contrasts}", "()")
    refusal = "        raise ConfigError('expected two tasks', record='tasks')\n"
    file.write_text("from twelve.errors import ConfigError\n" + text.replace(opening, opening + refusal))
    with pytest.raises(ConfigError) as raised:
        CliRunner().invoke(
            cli.app, ["study", "run", str(file), "--config", CONFIG, "--dry-run"], catch_exceptions=False
        )
    assert str(raised.value) == f"{file} [tasks]: expected two tasks"


def test_a_contrast_of_an_arm_that_does_not_run_is_left_out(tmp_path: Path) -> None:
    three = [contrast("joint", "single"), contrast("always-go", "joint"), contrast("joint", "answers", ("vqa",))]
    _, said = dry_run(tmp_path, contrasts=three)
    assert "contrasts (2): joint minus single: all 4 tasks; the trunks of vqa, refcoco" in said
    assert "train at different rates always-go minus joint: all 4 tasks" in said
    _, said = dry_run(tmp_path, "--arms", "answers", contrasts=three)
    assert "contrasts (1): joint minus answers: vqa" in said


@pytest.mark.parametrize(
    ("changed", "place", "told"),
    [
        ({"schedule": {"name": "always-goo"}}, ".schedule.name", "unknown schedule 'always-goo' (did you mean"),
        ({"balancing": {"name": "famoo"}}, ".balancing.name", "unknown balancing 'famoo' (did you mean \"famo\"?)"),
        ({"schedule": {"name": "always-go", "options": {"x": 1}}}, ".schedule.options", "has no option 'x'"),
        ({"balancing": {"name": "pcgrad"}}, ".optimizer.update", "pcgrad weighs the gradients of all tasks together"),
        ({"optimizer.weight_dekay": 1}, ".optimizer.weight_dekay", "unknown key"),
        (
            {"model.architecture.hiden_size": 48},
            ".model.architecture.hiden_size",
            "unknown setting 'hiden_size' (value 48) (did",
        ),
        ({"model.architecture.hidden_size": 49}, ".model.architecture", "must be a multiple of num_attention_heads"),
        ({"model.architecture.trunk": "one_stream"}, ".model.architecture", "found 'one_stream'"),
        (
            {"model": {"text_encoder": "bert", "architecture": {"hiden": 1}}},
            ".model.architecture.hiden",
            "setting 'hiden'",
        ),
        ({"seed": 3}, "", "the arm always-go changes seed"),
    ],
)
def test_what_an_arm_overrides_is_checked_before_anything_is_trained(
    changed: dict[str, object], place: str, told: str, tmp_path: Path
) -> None:
    (error,), _ = dry_run(tmp_path, changed={"overrides": changed})
    arm = f"arms.always-go{place}" if place else "arms"
    assert error.startswith(f"{tmp_path / 'mistaken.py'} [{arm}]: ") and told in error


@pytest.mark.parametrize(
    ("wrong", "better"),
    [
        ({"optimizer.weight_decay": -1}, {"optimizer.weight_decay": 0.01}),
        ({"schedule": {"name": 5}}, {"schedule.name": "5"}),
        ({"optimizer.betas": 5}, None),
        ({"balancing": {"name": "pcgrad"}, "optimizer.update": "task"}, {"optimizer.update": "iteration"}),
        ({"balancing": {"name": "pcgrad"}}, None),  # a setting reaches what the arm does not override
    ],
)
def test_the_remedy_of_an_override_changes_the_arm(
    wrong: dict[str, object], better: dict[str, object] | None, tmp_path: Path
) -> None:
    (error,), _ = dry_run(tmp_path, changed={"overrides": wrong})
    if better is None:
        assert "in overrides of" not in error
        settings = re.findall("--set ([^ ]+)", error)
        assert not settings or dry_run(tmp_path, "--set", settings[0], changed={"overrides": wrong})[0] == []
        return
    told = f"-> change it in overrides of the arm always-go in the study's file, for example: {repr(better)[1:-1]}"
    assert error.startswith(f"{tmp_path / 'mistaken.py'} [arms.always-go.") and error.endswith(told)
    errors, _ = dry_run(tmp_path, changed={"overrides": wrong | better})
    assert errors == [] or "unknown schedule '5'" in errors[0]


@pytest.mark.parametrize("start", ["seed", "model of joint"])
@pytest.mark.parametrize("key", [5, None, ("optimizer", "weight_decay")])
def test_a_key_that_is_no_text_is_refused(key: object, start: str, tmp_path: Path) -> None:
    """Also of a copy of an arm, which is not validated."""
    file = tmp_path / "mistaken.py"
    changed = f'subjects.joint("always-go").model_copy(update={{"start": {start!r}, "overrides": {{{key!r}: 5}}}}),'
    arm = 'Arm(name="always-go", meaning="", models=subjects.one, **{changed}),'
    file.write_text(STUDY.replace(arm, changed).replace("{contrasts}", "()"))
    found = CliRunner().invoke(cli.app, ["study", "run", str(file), "--config", CONFIG, "--dry-run"])
    assert isinstance(found.exception, ConfigError), found.exception
    assert str(found.exception) == (
        f"{file} [arms.always-go.overrides]: the arm always-go overrides {key}, which is not a key of the "
        f"configuration -> remove {key} from overrides of the arm always-go"
    )
    (error,), _ = dry_run(tmp_path, changed={"overrides": {key: 5}})  # validated where it is made
    assert error.startswith(f"{file} [line ")


def test_sizes_that_do_not_suit_the_data_stop_a_study_before_an_arm_is_trained(tmp_path: Path) -> None:
    file, out = tmp_path / "mistaken.py", tmp_path / "study"
    wrong = {"overrides": {"model.architecture.v_feature_size": 99}}
    file.write_text(STUDY.replace("{changed}", repr(wrong)).replace("{contrasts}", "()"))
    expected = r"^mistaken\.py \[arms\.always-go\.model\.architecture\]: v_feature_size is 99"
    with pytest.raises(ConfigError, match=expected):
        run(str(file), write_config(tmp_path), seeds=1, out=out, console=Console(quiet=True))
    assert list(out.glob("seed-*/start")) and not list(out.glob("seed-*/runs"))


def test_an_arm_cannot_change_the_sizes_of_a_trained_model() -> None:
    arm = Arm(name="wide", meaning="", models=(FOUR,), overrides={"model.architecture.intermediate_size": 64})
    check_overrides(load(CONFIG), arm)
    with pytest.raises(
        ConfigError, match=r"^\[arms\.wide\.model\.architecture\]: a trained model \(model\.init\) keeps"
    ):
        check_overrides(load(CONFIG, ["model.init=run"]), arm)


def test_a_mistake_in_the_architecture_of_the_configuration_is_not_put_down_to_the_study(tmp_path: Path) -> None:
    (error,), _ = dry_run(tmp_path, "--set", "model.architecture.hiden_size=48")
    assert error.startswith("--set model.architecture.hiden_size=48 [model.architecture.hiden_size]: unknown setting")


def test_an_unknown_loss_or_probe_names_the_file_of_the_study(tmp_path: Path) -> None:
    errors, _ = dry_run(tmp_path, changed={"losses": {"vqa": "focl"}, "probes": ("nrms",)})
    assert len(errors) == 2 and all(each.startswith(f"{tmp_path / 'mistaken.py'} [arms]: ") for each in errors)
    assert "asks for an unknown loss 'focl'" in " ".join(errors) and "unknown probe 'nrms'" in " ".join(errors)


def test_a_schedule_and_a_balancing_that_are_registered_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {"overrides": {"schedule": {"name": "mine"}, "balancing": {"name": "ours"}}}
    assert "unknown schedule 'mine'" in dry_run(tmp_path, changed=mine)[0][0]
    schedule = type("Mine", (Schedule,), {"tasks_at": lambda self, iteration: list(self.tasks)})
    balancing = type("Ours", (LossBalancing,), {"name": "ours", "weight": lambda self, task, loss: 1.0})
    monkeypatch.setitem(SCHEDULES, "mine", schedule)
    monkeypatch.setitem(BALANCINGS, "ours", balancing)
    assert dry_run(tmp_path, changed=mine)[0] == []


def test_a_mistake_in_the_configuration_is_not_put_down_to_the_study(tmp_path: Path) -> None:
    (error,), _ = dry_run(tmp_path, "--set", "schedule.name=always-goo")
    assert error.startswith("--set schedule.name=always-goo [schedule.name]: unknown schedule 'always-goo'")
    (error,), _ = dry_run(tmp_path, "--arms", "singel")
    assert error.startswith("--arms: unknown arm 'singel'")


def test_a_model_of_one_task_may_have_a_balancing_where_the_joint_schedule_weighs_losses(tmp_path: Path) -> None:
    """It trains with always-go, not with the schedule of the configuration."""
    asked = ("--set", "schedule.name=uncertainty")
    file = tmp_path / "mistaken.py"
    weighs = {"overrides": {"balancing": {"name": "static"}}}
    (error,), _ = dry_run(tmp_path, *asked, changed=weighs)
    assert "the schedule 'uncertainty' weighs losses too" in error
    file.write_text(file.read_text().replace("models=subjects.one", "models=subjects.each"))
    again = ["study", "run", str(file), "--config", CONFIG, "--dry-run", *asked]
    assert CliRunner().invoke(cli.app, again).exit_code == 0


def test_a_shipped_study_is_named_in_the_error() -> None:
    config = load(CONFIG)
    study = get_study("groups", {})
    arms = type(study).arms
    with pytest.MonkeyPatch.context() as patch:
        wrong = {"overrides": {"schedule": {"name": "nope"}}}
        patch.setattr(type(study), "arms", lambda self, subjects: [
            each.model_copy(update=wrong) for each in arms(self, subjects)])  # fmt: skip
        with pytest.raises(ConfigError, match=r"the study groups \[arms\.all\.schedule\.name\]: unknown schedule"):
            planned(study, config, seeds=1)


def test_a_resumed_study_keeps_the_meanings_that_were_recorded() -> None:
    now = planned(get_study("joint-vs-single", {}), load(CONFIG), seeds=2)
    old = tuple(arm.model_copy(update={"meaning": f"old {arm.name}"}) for arm in now.arms[:3])
    begun = now.model_copy(update={"arms": old, "contrasts": now.contrasts[1:]})
    agreed = plans.agree(now, begun, Path("out"))
    assert [arm.meaning for arm in agreed.arms] == [*(arm.meaning for arm in old), now.arms[3].meaning]


def test_arms_with_the_same_scores_are_called_identical(tmp_path: Path) -> None:
    made_up(tmp_path / "same", {"stop-and-go": (0.7, 0.6), "single-longer": (0.7, 0.6)})
    said = findings(tmp_path / "same").sentences[0]
    assert said == (
        "The scores of stop-and-go and single-longer are identical: their difference is zero in every seed, on each of "
        "2 tasks."
    )
    made_up(tmp_path / "one", {"stop-and-go": (0.7, 0.6), "single-longer": (0.7, 0.6)}, seeds=1)
    found = findings(tmp_path / "one")
    assert found.sentences[0].endswith("are identical: their difference is zero on each of 2 tasks.")
    (comparison,) = found.comparisons
    assert said_of(replace(comparison, cells=comparison.cells[:1])).endswith("their difference is zero on the task.")
    made_up(tmp_path / "near", {"stop-and-go": (0.7, 0.6), "single-longer": (0.7, 0.601)})
    assert "identical" not in findings(tmp_path / "near").sentences[0]
    assert not same_scores(findings(tmp_path / "same")) and not findings(tmp_path / "near").identical


def test_identical_arms_are_named_whatever_the_study_and_the_contrast(tmp_path: Path) -> None:
    """A study with sentences of its own; arms that no contrast compares with each other; arms with the same mean."""
    scores = {"joint": (0.7, 0.6), "single": (0.5, 0.6), "no-token": (0.6, 0.6), "always-go": (0.7, 0.6)}
    made_up(tmp_path, scores | {"neither": (0.6, 0.6)}, study="ablations")
    found = findings(tmp_path)
    assert found.identical == (("joint", "always-go"), ("no-token", "neither"))
    (told,) = same_scores(found)
    assert told == (
        "The scores of joint and always-go are identical on every test example of every common task and seed; so are "
        "those of no-token and neither."
    )
    assert told in markdown(found) and told in " ".join(brief(found, "").split())
    assert told in page.render([page.part_of(found, "key")])
    file = result_file(tmp_path, found.seeds[-1], "always-go", "vqa")
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"values": sorted(record["values"])}))
    assert findings(tmp_path).identical == (("no-token", "neither"),)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"overrides": {"optimizer.task_scale": "lr"}}, "joint"),
        ({"overrides": {"tasks.vqa.learning_rate": 3e-4, "schedule.name": "stop-and-go"}}, "joint"),
        ({"overrides": {"schedule.name": "always-go"}}, None),
        ({"overrides": {"tasks.vqa.learning_rate": 5e-4}}, None),
        ({"start": "model of joint"}, None),
        ({"length": {"factor": 2.0}}, None),
    ],
)
def test_an_arm_that_changes_nothing_is_named_before_it_runs(
    changed: dict[str, object], same: str | None, tmp_path: Path
) -> None:
    told = f"alike: the arm always-go has the same configuration as {same}, so it trains the same models"
    errors, said = dry_run(tmp_path, changed=changed)
    assert not errors and (told in said if same else "alike" not in said)


def test_an_arm_that_changes_nothing_is_named_when_the_study_begins() -> None:
    plan = planned(get_study("ablations", {}), load(CONFIG, ["schedule.name=always-go"]), seeds=1)
    same = plan.arm("joint").model_copy(update={"name": "same", "overrides": {"schedule.name": "stop-and-go"}})
    said = io.StringIO()
    _announce(plan.model_copy(update={"arms": (*plan.arms, same)}), [], {}, Console(file=said, width=200))
    told = [line for line in said.getvalue().splitlines() if "configuration" in line]
    assert told == ["the arm same has the same configuration as joint, so it trains the same models"]


@pytest.mark.parametrize(
    ("contrasts", "problem"),
    [
        ([{"arm": "joint", "minus": "joint", "tasks": FOUR}], "compares the arm joint with itself"),
        ([{"arm": "joint", "minus": "single", "tasks": ("vqa", "vqa")}], "joint minus single names a task twice"),
    ],
)
def test_a_contrast_that_says_nothing_is_refused(contrasts: object, problem: str, tmp_path: Path) -> None:
    (told, *_), _ = dry_run(tmp_path, contrasts=contrasts)
    assert problem in told


@pytest.mark.parametrize("method", ["arms", "contrasts"])
@pytest.mark.parametrize("returned", [None, [{"arm": "joint"}]])
def test_a_method_that_returns_something_else_is_told(
    method: str, returned: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = get_study("joint-vs-single", {"factors": [1.0]})
    monkeypatch.setattr(type(study), "contrasts", lambda *_: [])  # the study's own would call arms
    monkeypatch.setattr(type(study), method, lambda *_: returned)
    with pytest.raises(ConfigError, match=rf"expected a list of \w+ from {method}\(\), found"):
        planned(study, load(CONFIG), seeds=1)
