"""Parts of the engine: extensions, arms that begin with another arm's models, a study in a file of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_study import TASKS, results, write_config
from typer.testing import CliRunner

from twelve import cli
from twelve.config import load
from twelve.errors import ConfigError
from twelve.metrics.bootstrap import Interval
from twelve.model.opening import open_saved
from twelve.run_folder import RunFolder, model_folder
from twelve.study import training
from twelve.study.arms import Arm, Contrast, Length, Rates
from twelve.study.costs import lengths
from twelve.study.engine import planned, run
from twelve.study.execution import Seed
from twelve.study.finding_types import Comparison
from twelve.study.findings import findings
from twelve.study.losses import LOSSES, check_losses
from twelve.study.overrides import check_overrides, overridden
from twelve.study.plan import Plan
from twelve.study.plan import read as plan_of
from twelve.study.results import History
from twelve.study.studies import STUDIES, Study, get_study
from twelve.study.studies.base import Subjects
from twelve.study.trunk_rates import differing, trunk_rates
from twelve.training.balancing import BALANCINGS
from twelve.training.convergence import convergence, falls, gain, has_converged

ARMS = ("joint/vqa", "joint-longer/vqa", "fine-tuned/flickr30k", "fine-tuned/vqa")
QUIET = Console(quiet=True)
OWN = '''
"""Is a model of all tasks better when it begins with the models of single tasks? A study of a person's own."""

from typing import ClassVar

from twelve.study.arms import Arm, Contrast, Length
from twelve.study.studies.base import Study, register


@register
class Mine(Study):
    name: ClassVar[str] = "mine"
    question: ClassVar[str] = "Does a warm start help?"
    factor: float = 0.5

    def arms(self, subjects):
        short = Length(rule="total", of=("joint",), factor=self.factor)
        return [
            subjects.joint(length=Length(extend=2)),
            Arm(name="warm", meaning="from joint", models=subjects.each, start="model of joint", length=short),
            Arm(name="groups", meaning="by group", models=tuple(subjects.groups.values()), overrides={
                "optimizer.weight_decay": 0.1, "tasks.vqa.batch_size": 2}),
            Arm(name="ordered", meaning="curriculum", models=subjects.one, convergence="groups",
                overrides={"schedule": {"name": "curriculum", "options": {"spread": 0.5}}}),
            Arm(name="wide", meaning="a larger model", models=subjects.one,
                overrides={"model.architecture.intermediate_size": 48}),
        ]

    def contrasts(self, subjects):
        return [Contrast(arm="warm", minus="joint", tasks=subjects.tasks, reference="groups")]

    def sections(self, found):
        return ["Only this study says so."]
'''


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def mine(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        # The joint run rises until it has been extended once.
        patch.setattr(training, "has_converged", lambda points, length: length > 6)
        patch.setattr(training, "falls", lambda points, length: False)
        return run(str(folder / "mine.py"), config, seeds=1, out=folder / "study", console=QUIET)


def state(run_folder: Path) -> dict[str, torch.Tensor]:
    return dict(open_saved(model_folder(run_folder))[0].state_dict())


def test_a_study_is_one_file(mine: Path) -> None:
    found = findings(mine)
    assert "mine" not in STUDIES and found.title == "mine" and found.question == "Does a warm start help?"
    assert [arm.name for arm in found.arms] == ["joint", "warm", "groups", "ordered", "wide"]
    assert len(found.sentences) == 1 and "warm" in found.sentences[0] and "2 tasks" in found.sentences[0]
    (comparison,) = found.comparisons
    assert comparison.contrast.judges == ("groups",)


def test_what_only_a_study_says_needs_its_file(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Only this study says so." in (mine / "results.md").read_text()
    monkeypatch.setattr("twelve.study.studies.FROM_FILES", known := {})
    monkeypatch.setattr("twelve.study.findings.FROM_FILES", known)
    shown = CliRunner().invoke(cli.app, ["study", "show", str(mine), "--tables"])
    assert shown.exit_code == 0 and "Only this study" not in shown.output
    shown = CliRunner().invoke(
        cli.app, ["study", "show", str(mine), "--tables", "--code", str(mine.parent / "mine.py")]
    )
    assert shown.exit_code == 0 and "Only this study says so." in shown.output


def test_a_run_that_has_not_converged_is_extended(mine: Path) -> None:
    result = results(mine)["seed-3/results/joint/vqa.json"]
    assert result["parts"] == [6, 3] and result["iterations"] == 9 and result["converged"] is True
    curve = result["recorded"]["curve"]
    assert [iteration for iteration, _ in curve] == list(range(1, 10))
    batches = [RunFolder(mine / "seed-3" / part).read(RunFolder(mine / "seed-3" / part).trained)["batches"]["vqa"]
               for part in ("runs/joint", "extended/joint/1")]  # fmt: skip
    assert result["batches"]["vqa"] == sum(batches)
    extension = load(mine / "seed-3" / "extended" / "joint" / "1" / "config.yaml")
    assert extension.model.init == str(mine / "seed-3" / "runs" / "joint" / "model")
    assert extension.training.eval_every == 1
    row = findings(mine).rows[0].scores["joint"]
    assert (row.converged, row.extensions) == ((not row.falling[0],), (1,))  # a falling one is read as one
    assert results(mine)["seed-3/results/groups/vqa.json"]["parts"] == [6]


@pytest.mark.parametrize(("better", "parts"), [(False, [6, 3]), (True, [6, 3, 3, 3])])
def test_an_extension_that_brings_no_better_model_is_the_last(
    better: bool, parts: list[int], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one would begin with the same model, and repeat it."""
    monkeypatch.setattr(training, "has_converged", lambda points, length: False)
    monkeypatch.setattr(training, "falls", lambda points, length: False)
    scores = (0.5, *([0.6, 0.7, 0.8] if better else [0.4, 0.4, 0.4]))
    by_length = dict(zip((0, 1, 2, 3), scores, strict=True))
    monkeypatch.setattr(training.Trained, "best", property(lambda own: max(
        own.parts, key=lambda part: by_length[own.parts.index(part)])))  # fmt: skip
    plan = planned(get_study("joint-vs-single", {"factors": [1.0]}), load(config), seeds=1, arms=["stop-and-go"])
    longer = plan.arms[0].model_copy(update={"length": Length(extend=3)})
    plan = plan.model_copy(update={"arms": (longer,)})
    Seed(plan, tmp_path / "study", 3).take(plan.steps()[0])
    assert results(tmp_path / "study")["seed-3/results/stop-and-go/vqa.json"]["parts"] == parts


def test_an_arm_begins_with_the_best_model_of_another(mine: Path) -> None:
    kept = {part: RunFolder(mine / "seed-3" / part).read(RunFolder(mine / "seed-3" / part).trained)["kept"]
            for part in ("runs/joint", "extended/joint/1")}  # fmt: skip
    best = max(kept, key=lambda part: sum(kept[part].values()))
    warm = load(mine / "seed-3" / "runs" / "warm" / "vqa" / "config.yaml")
    assert warm.model.init == str(mine / "seed-3" / best / "model") and list(warm.tasks) == ["vqa"]
    total = sum(results(mine)["seed-3/results/joint/vqa.json"]["batches"].values())
    assert warm.training.iterations == round(0.5 * total / len(TASKS))
    first = results(mine)["seed-3/results/warm/vqa.json"]["recorded"]["curve"][0]
    assert first == [0, pytest.approx(kept[best]["vqa"], abs=1e-4)]  # it knows the task
    names = {key.split(".")[1] for key in state(mine / "seed-3" / "runs" / "warm" / "vqa") if key.startswith("heads.")}
    assert names == {"answer"}


def test_overrides_reach_the_run_and_the_convergence_of_another_arm_the_schedule(mine: Path) -> None:
    groups = load(mine / "seed-3" / "runs" / "groups" / "vqa" / "config.yaml")
    assert groups.optimizer.weight_decay == 0.1 and groups.tasks["vqa"].batch_size == 2
    assert groups.schedule.name == "always-go" and groups.training.iterations == 6
    ordered = load(mine / "seed-3" / "runs" / "ordered" / "config.yaml").schedule
    curves = {task: results(mine)[f"seed-3/results/groups/{task}.json"]["recorded"]["curve"] for task in TASKS}
    expected = {task: convergence([(each[0], each[1]) for each in curve]) for task, curve in curves.items()}
    assert ordered.options == {"spread": 0.5, "convergence": expected}


def test_a_model_that_is_made_otherwise_has_the_same_parameters(mine: Path) -> None:
    seed, other = state(mine / "seed-3" / "start"), state(mine / "seed-3" / "starts" / "wide")
    assert seed.keys() == other.keys()
    different = {key for key, value in seed.items() if not torch.equal(value, other[key])}
    assert different and all(".intermediate." in key or ".output." in key for key in different), different
    assert load(mine / "seed-3" / "runs" / "wide" / "config.yaml").model.init == str(
        mine / "seed-3" / "starts" / "wide"
    )


def test_a_search_of_the_full_length_is_the_run(config: Path, tmp_path: Path) -> None:
    options = {"factors": [0.5, 1.0, 2.0]}
    arms = {"seeds": 1, "arms": ["stop-and-go"], "options": options, "console": QUIET}
    out = run("joint-vs-single", config, out=tmp_path / "study", **arms)
    (searched,) = findings(out).searches
    result = results(out)["seed-3/results/stop-and-go/vqa.json"]
    assert searched.chosen == result["factor"] and searched.model == ("snli_ve", "vqa")
    rates = load(out / "seed-3" / "runs" / "stop-and-go" / "config.yaml")
    base = load(config)
    assert rates.tasks["vqa"].learning_rate == pytest.approx(base.tasks["vqa"].learning_rate * searched.chosen)
    log = [json.loads(line) for line in RunFolder(out / "seed-3" / "runs" / "stop-and-go").metrics.open()]
    assert sum(line["kind"] == "gradient" for line in log) > 0
    cost = findings(out).costs["stop-and-go"]
    assert 0 < cost.search_updates <= 2 * 12 and cost.search_seconds is not None
    assert not list((out / "seed-3" / "searches" / "stop-and-go").glob("*"))


def test_a_learning_rate_reaches_the_optimizer(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of the trunk, not that of the heads alone."""
    seen = []
    arms = (Arm(name="a", meaning="", models=(TASKS[::-1],), rates=Rates(factors=(3.0,))),)
    plan = planned(get_study("joint-vs-single", {}), load(config), seeds=1, arms=["stop-and-go"])
    plan = plan.model_copy(update={"arms": arms, "contrasts": ()})

    def trained(config: Any, start: Any, **_: Any) -> History:
        seen.append({name: task.learning_rate for name, task in start()[2].tasks.items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("twelve.study.runs.trained", trained)
    with pytest.raises(KeyboardInterrupt):
        Seed(plan, tmp_path, 3).take(plan.steps()[0])
    base = load(config)
    assert seen == [{name: pytest.approx(3 * (base.tasks[name].learning_rate or 0)) for name in TASKS}]


def test_when_a_run_has_converged() -> None:
    rising = [(step, step / 100) for step in range(1, 91)]
    assert gain(rising, 90) == pytest.approx(0.3) and has_converged(rising, 90) is False
    flat = [(step, min(step, 60) / 100 + 0.0001 * (step % 2)) for step in range(1, 91)]
    assert has_converged(flat, 90) is True
    falling = [(step, 1 - step / 100) for step in range(1, 91)]
    assert has_converged(falling, 90) is False and falls(falling, 90)
    assert not falls(rising, 90) and not falls(flat, 90) and not falls(falling[:62], 90)
    assert has_converged(rising[:62], 90) is None and has_converged([], 90) is None
    assert convergence([(10, 0.2), (20, 0.595), (30, 0.6), (40, 0.5)]) == 20 and convergence([]) is None


@pytest.mark.parametrize(("last", "unfinished"), [(0.9, True), (0.5, False), (0.1, False)])
def test_only_a_run_whose_score_still_rises_is_extended(last: float, unfinished: bool, tmp_path: Path) -> None:
    config = write_config(tmp_path, tasks=("vqa",))
    scores = [(step, 0.5 if step < 8 else last) for step in range(1, 10)]
    lines = tuple({"kind": "validation", "task": "vqa", "iteration": step, "score": score} for step, score in scores)
    history = History(iterations=9, batches={"vqa": 9}, seconds=1.0, before={}, kept={"vqa": last}, events=())
    assert training.Trained([training.Part(load(config), history, lines)]).unfinished is unfinished


def arm(name: str, **more: Any) -> Arm:
    return Arm(**{"name": name, "meaning": "", "models": ((*TASKS,),)} | more)


@pytest.mark.parametrize(
    ("arms", "contrasts", "message"),
    [
        ([arm("a"), arm("a")], [], "two arms are called a"),
        ([arm("b", start="model of a"), arm("a")], [], "b needs a, which must be an arm before it"),
        ([arm("a", length=Length(rule="each", of=("x",)))], [], "a needs x"),
        (
            [Arm(name="a", meaning="", models=(("vqa",),)), arm("b", start="model of a")],
            [],
            r"b takes its model from a, so it can only train tasks that a trains \(vqa\), found snli_ve",
        ),
        (
            [Arm(name="a", meaning="", models=(("vqa",), ("snli_ve",))), arm("b", start="model of a")],
            [],
            "no model of a",
        ),
        ([arm("a"), arm("b", start="model of a", overrides={"model.max_regions": 3})], [], "made in another way"),
        ([arm("a")], [Contrast(arm="a", minus="b", tasks=("vqa",))], "no arm b trains all tasks of a minus b"),
        ([arm("a", models=(("nlvr2",),))], [], "nlvr2 is not a task"),
    ],
)
def test_plans_that_cannot_be(config: Path, arms: list[Arm], contrasts: list[Contrast], message: str) -> None:
    tree = load(config).model_dump(mode="json")
    with pytest.raises(ValueError, match=message):
        Plan(study="x", arms=tuple(arms), contrasts=tuple(contrasts), seeds=(0,), worlds=False, config=tree)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ()},
        {"models": (("vqa",), ("vqa",))},
        {"models": ((),)},
        {"start": "model of"},
        {"length": {"rule": "each"}},
        {"length": {"rule": "joint", "of": ("a",)}},
        {"name": "a/b"},
    ],
)
def test_arms_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Arm.model_validate({"name": "a", "meaning": "", "models": (("vqa",),)} | wrong)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer.weight_dekay": 1}, r"arms\.a\.optimizer\.weight_dekay.*unknown key"),
        ({"optimizer.weight_decay": "x"}, r"arms\.a\.optimizer\.weight_decay"),
        ({"seed": 5}, "changes seed, which is the same in all arms"),
        ({"tasks.vqa.max_train": 5}, "changes tasks.vqa.max_train"),
        (
            {"tasks.vqa.learning_rat": 1e-4},
            r'arms\.a\.tasks\.vqa\.learning_rat\W*: unknown key \(did you mean "tasks\.vqa\.learning_rate"\?\)',
        ),
        ({"tasks.vqa": {}}, "changes tasks.vqa, which is the same in all arms"),
        ({"training.iterations": 5}, "changes training.iterations"),
        ({"training": {"iterations": 5}}, r"whole section training -> override single keys, named training\.KEY"),
        ({"optimizer": {"weight_decay": 0.0}}, r"whole section optimizer -> override single keys"),
        ({"tasks.nlvr2.batch_size": 5}, "a task that is not there"),
        ({"schedule": {"name": "curriculum"}}, r"arms\.a\.schedule\.options.*how long .* takes to converge"),
    ],
)
def test_overrides_that_cannot_be(config: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_overrides(load(config), arm("a", overrides=overrides))


def test_another_loss_is_no_override_of_the_output(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"changes tasks\.vqa\.kind") as raised:
        check_overrides(load(config), arm("a", overrides={"tasks.vqa.kind": "focal"}))
    assert "name it in losses of the arm" in str(raised.value)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"vqa": "focl"}, r"the arm a asks for an unknown loss 'focl'.*did you mean.*focal"),
        ({"nlvr2": "focal"}, "the arm a has a loss of 'nlvr2', which it does not train"),
    ],
)
def test_losses_that_cannot_be(losses: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "focal", lambda logits, targets: logits.sum())
    with pytest.raises(ConfigError, match=message):
        check_losses(arm("a", losses=losses))


@pytest.fixture(scope="module")
def documented(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of docs/studies-reference.md, as it stands there."""
    folder = tmp_path_factory.mktemp("documented")
    page = Path(__file__).parents[2] / "docs" / "studies-reference.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "focal_study.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        for names, name in ((LOSSES, "focal"), (BALANCINGS, "inverse")):
            patch.setitem(names, name, None)  # so that it is taken out again
            del names[name]
        return run(str(folder / "focal_study.py"), config, seeds=1, out=folder / "study", console=QUIET)


def test_an_arm_trains_with_a_loss_and_a_balancing_of_its_own(documented: Path) -> None:
    """The loss reaches the training of its task alone; what is measured, and with what, is that of the other arms."""
    found = results(documented)
    joint, focal = (
        {task: found[f"seed-3/results/{name}/{task}.json"] for task in TASKS} for name in ("joint", "focal")
    )
    models = {name: state(documented / "seed-3" / "runs" / name) for name in ("joint", "focal", "inverse")}
    for name in ("focal", "inverse"):
        assert any(not torch.equal(value, models[name][key]) for key, value in models["joint"].items()), name
    for task in TASKS:
        assert joint[task]["groups"] == focal[task]["groups"] and joint[task]["metric"] == focal[task]["metric"]
        assert joint[task]["parameters"] == focal[task]["parameters"]
    losses = {name: next(line["losses"] for line in RunFolder(documented / "seed-3" / "runs" / name).logged()
                         if line["kind"] == "step") for name in ("joint", "focal")}  # fmt: skip
    assert losses["focal"]["vqa"] < 0.6 * losses["joint"]["vqa"]
    assert losses["focal"]["snli_ve"] == pytest.approx(losses["joint"]["snli_ve"], rel=0.05)
    assert load(documented / "seed-3" / "runs" / "inverse" / "config.yaml").balancing is not None
    assert plan_of(documented).arm("focal").losses == {"vqa": "focal"}
    assert {each.name for each in findings(documented).arms} == {"joint", "focal", "inverse"}


def test_overrides_leave_the_configuration_alone(config: Path) -> None:
    tree = {"a": {"b": 1}, "c": None}
    assert overridden(tree, {"a.b": 2, "c.d.e": [3]}) == {"a": {"b": 2}, "c": {"d": {"e": [3]}}}
    assert tree == {"a": {"b": 1}, "c": None}


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_every_study_can_be_planned(name: str, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On keys that do not exist here a plan fails with one line; its arms and contrasts fit together all the same."""
    monkeypatch.setattr("twelve.study.engine.check_overrides", lambda *_: None)
    study = get_study(name, {})
    everything = [each.name for each in study.arms(Subjects(load(config)))]
    plan = planned(study, load(config), seeds=2, arms=everything)
    assert plan.contrasts == tuple(study.contrasts(Subjects(load(config)))) and study.question
    assert plan.contrasts or any(arm.probes for arm in plan.arms)  # it compares arms, or measures inside them
    assert Plan.model_validate_json(plan.model_dump_json(), strict=True) == plan
    assert [step.seed for step in plan.steps()] == sorted(step.seed for step in plan.steps())


def test_arms_with_as_many_updates_as_another_are_not_extended(config: Path) -> None:
    arms = get_study("joint-vs-single", {"extend": 2}).arms(Subjects(load(config)))
    extended = {arm.name for arm in arms if arm.length.extend == 2}
    assert extended == {"stop-and-go", "always-go", "single-longer", "norm-scaled", "pretrained", "single-pretrained"}
    assert all(arm.length.extend == 0 for arm in arms if arm.name not in extended)


def test_the_cost_of_an_arm_follows_from_the_arms_that_its_length_names(config: Path) -> None:
    study, wanted = get_study("joint-vs-single", {"factors": [1.0], "longer": 4}), {"single-trunk", "pretrained-total"}
    plan = planned(study, load(config), seeds=1, arms=["single-longer", *wanted])
    costs = {name: sum(step.units for step in plan.steps() if step.arm.name == name) for name in plan.names}
    tasks = len(plan.tasks)
    assert costs["stop-and-go"] == 1 and costs["single-longer"] == pytest.approx(4)
    assert costs["single-trunk"] == pytest.approx(tasks)  # each of its models has the updates of all tasks
    assert costs["pretrained-total"] == pytest.approx(costs["single-pretrained"]) == pytest.approx(4)


def test_groups_train_with_the_schedule_of_the_configuration(config: Path) -> None:
    """And a group of one task in every iteration: no arm has a schedule of its own."""
    changed = load(config, ["schedule={name: always-go}"])
    assert not any(arm.overrides for arm in get_study("groups", {}).arms(Subjects(changed)))


def test_all_models_of_groups_begin_pretrained(tmp_path: Path) -> None:
    config = write_config(tmp_path, tasks=("flickr30k", "vqa"))
    arms = get_study("groups", {"pretraining": 0.5}).arms(Subjects(load(config)))
    assert {(arm.start, arm.pretraining) for arm in arms} == {("pretrained", 0.5)}
    assert all("after pretraining" in arm.meaning for arm in arms)
    assert {arm.start for arm in get_study("groups", {}).arms(Subjects(load(config)))} == {"seed"}


def test_the_joint_model_is_trained_on_for_as_many_updates_as_all_fine_tuned_models(tmp_path: Path) -> None:
    config, options = write_config(tmp_path, tasks=("flickr30k", "vqa")), {"pretraining": 0.5}
    out = run(
        "fine-tuning", config, seeds=1, options=options, arms=["joint-longer"], out=tmp_path / "out", console=QUIET
    )
    found = {name: json.loads((out / f"seed-3/results/{name}.json").read_text()) for name in ARMS}
    joint, longer = found["joint/vqa"], found["joint-longer/vqa"]
    tuned = [found["fine-tuned/flickr30k"], found["fine-tuned/vqa"]]
    assert [each["steps"] for each in tuned] == [round(joint["batches"][each["task"]] / 2) for each in tuned]
    assert longer["iterations"] == round(sum(each["steps"] for each in tuned) / 2)  # an iteration updates both tasks
    assert joint["pretrained"]["iterations"] == 3
    assert not any("pretrained" in each for each in (longer, *tuned))  # counted once, in the model they begin with
    for name in ("joint-longer", "fine-tuned/flickr30k", "fine-tuned/vqa"):
        begins = load(out / "seed-3" / "runs" / name / "config.yaml").model.init
        assert begins is not None and begins.endswith("runs/joint/model")


def test_what_pretraining_costs_is_told(tmp_path: Path) -> None:
    config = write_config(tmp_path, tasks=("flickr30k", "vqa"))
    out = run("groups", config, seeds=1, options={"pretraining": 0.5}, out=tmp_path / "study", console=QUIET)
    spent = json.loads(next(out.glob("seed-*/results/all/vqa.json")).read_text())["pretrained"]
    iterations = load(config).training.iterations
    assert iterations is not None and spent["iterations"] == iterations // 2
    (told,) = lengths(findings(out))
    assert told.startswith(f"All models begin after pretraining on captions for {iterations // 2} updates per seed (0:")
    assert told in (out / "results.md").read_text()
    asked = ["study", "groups", "--config", str(config), "--option", "pretraining=0.5", "--dry-run"]
    planned = " ".join(CliRunner().invoke(cli.app, asked, catch_exceptions=False).output.split())
    assert f"pretraining on captions for all arms: {iterations // 2} iterations in each seed" in planned


def test_the_trunks_of_two_arms_may_train_at_different_rates(tmp_path: Path) -> None:
    file = write_config(tmp_path, tasks=("flickr30k", "vqa"))
    rates = ["tasks.flickr30k.learning_rate=2e-4", "tasks.vqa.learning_rate=3e-4"]
    config, names = load(file, rates), ["stop-and-go", "single-longer"]
    alone = planned(get_study("joint-vs-single", {"factors": [1.0]}), config, seeds=1, arms=names)
    assert trunk_rates(alone, alone.arm("stop-and-go")) == {"flickr30k": 2e-4, "vqa": 2e-4}
    assert trunk_rates(alone, alone.arm("single-longer")) == {"flickr30k": 2e-4, "vqa": 3e-4}
    assert differing(alone, alone.contrasts[0]) == ["vqa"]
    four = planned(
        get_study("joint-vs-single", {"factors": [1.0]}), config, seeds=1, arms=[*names, "always-go", "single"]
    )
    of_two = Contrast(
        arm="single-longer", minus="single", than=("stop-and-go", "always-go"), tasks=("flickr30k", "vqa")
    )
    assert differing(four, of_two) == ["vqa"]  # though not in either difference
    searched = planned(get_study("joint-vs-single", {}), config, seeds=1, arms=names)
    assert differing(searched, searched.contrasts[0]) == []
    asked = ["study", "joint-vs-single", "--config", str(file), "--dry-run", "--option", "factors=[1.0]"]
    for rate in rates:
        asked += ["--set", rate]
    told = " ".join(CliRunner().invoke(cli.app, asked, catch_exceptions=False).output.split())
    assert "3 runs, trunk at 2e-4: one model, a task" in told and "6 runs, trunk at 2e-4 to 3e-4: a model" in told
    assert "the trunks of vqa train at different rates" in told


def test_groups_without_captions_cannot_begin_pretrained(config: Path) -> None:
    with pytest.raises(ConfigError, match="no task has captions to pretrain on"):
        planned(get_study("groups", {"pretraining": 1}), load(config), seeds=1)


def test_files_with_a_study(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("")
    (tmp_path / "broken.py").write_text("import nothing_like_this")
    (tmp_path / "unfinished.py").write_text("\ndef f(:")
    (tmp_path / "taken.py").write_text(FAULTY.replace('"faulty"', '"groups"'))
    for name, message in (
        ("none", "registers 0 studies"),
        ("broken", r"broken\.py \[line 1\] cannot be imported \(ModuleNotFoundError: .*\) -> correct it there"),
        ("unfinished", r"\[line 2\] cannot be imported \(SyntaxError"),
        ("taken", r"taken\.py \[name\]: a study is named 'groups' already -> give yours another name"),
        ("gone", "no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            get_study(str(tmp_path / f"{name}.py"), {})


FAULTY = """from typing import ClassVar

from twelve.study.arms import Arm
from twelve.study.studies.base import Study, register


@register
class Faulty(Study):
    name: ClassVar[str] = "faulty"
    question: ClassVar[str] = "?"

    def arms(self, subjects):
        return [ARM]
"""


def _faulty(folder: Path, arm: str) -> Study:
    (folder / "faulty.py").write_text(FAULTY.replace("ARM", arm))
    return get_study(str(folder / "faulty.py"), {})


def test_a_misspelled_field_of_an_arm_is_named_with_its_line(config: Path, tmp_path: Path) -> None:
    study = _faulty(tmp_path, 'Arm(name="joint", maening="one", models=subjects.one)')
    with pytest.raises(ConfigError) as raised:
        planned(study, load(config), seeds=1)
    assert f"{tmp_path}/faulty.py [line 13]: the study faulty has an invalid plan: Arm: maening: no such key" in (
        said := str(raised.value)
    )
    assert 'did you mean "meaning"?' in said


def test_an_error_in_the_file_of_a_study_is_told_with_its_line(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _faulty(tmp_path, "subjects.nope")
    command = ["study", "run", str(tmp_path / "faulty.py"), "--config", str(config), "--dry-run"]
    monkeypatch.setattr("sys.argv", ["twelve", *command])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    said = capsys.readouterr().err
    assert leaving.value.code == 3 and f"{tmp_path}/faulty.py, line 13: AttributeError: " in said, said
    assert "correct it there: this file defines the study faulty; TWELVE_DEBUG=1" in said


def test_a_token_for_each_head_is_an_arm_where_tasks_share_one(tmp_path: Path) -> None:
    """VQA v2 and SNLI-VE have heads of their own."""
    study = get_study("ablations", {})
    apart, shared = load(write_config(tmp_path)), load("study-microworld.yaml")
    names = [{arm.name for arm in study.arms(Subjects(each))} for each in (apart, shared)]
    assert names[1] - names[0] == {"token-per-head"}
    assert not any("token-per-head" in each.arms for each in study.contrasts(Subjects(apart)))


def test_only_changed_joint_models_are_said_to_be_worse() -> None:
    """Single-task models are no change of the joint one, though they score lower."""
    contrasts = [Contrast(arm="joint", minus=name, tasks=("vqa",)) for name in ("no-token", "single")]
    sure = Interval(9.0, 8.0, 10.0)
    compared = [Comparison(each, (), sure, sure, sure, sure, sure, (9.0, 9.1, 8.9)) for each in contrasts]
    found = SimpleNamespace(comparisons=compared, seeds=(0, 1, 2))
    told = " ".join(get_study("ablations", {}).sentences(found))  # type: ignore[arg-type]
    assert "no-token is significantly worse than the joint model" in told and "single" not in told
