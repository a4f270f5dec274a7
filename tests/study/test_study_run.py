"""A whole study in seconds: equal updates, killed and gone on with, shown again without training."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from tiny_study import TASKS, results, write_config

from twelve.config import load
from twelve.errors import ConfigError, DataError, TwelveError
from twelve.io.files import alone
from twelve.stopping import Stopped, allowed
from twelve.study import engine, runs, turns
from twelve.study.engine import planned, run
from twelve.study.execution import Seed, best
from twelve.study.findings import findings
from twelve.study.plan import read
from twelve.study.results import History, searched
from twelve.study.show import show
from twelve.study.studies import get_study
from twelve.training.losses import NonFiniteLoss
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)
STUDY = "joint-vs-single"
SHORT: dict[str, Any] = {"seeds": 1, "arms": ["single-longer", "single"], "console": QUIET}
SHORT["options"] = {"factors": [1.0]}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(STUDY, config, out=tmp_path_factory.mktemp("study") / "whole", **SHORT)


def test_a_task_alone_has_the_updates_that_it_had_beside_others(finished: Path) -> None:
    found = results(finished)
    assert len(found) == 3 * len(TASKS)
    joint = found["seed-3/results/stop-and-go/vqa.json"]["batches"]
    assert min(joint.values()) < 6, "no task was stopped: iterations that are counted for updates would not be noticed"
    for task in TASKS:
        assert found[f"seed-3/results/single/{task}.json"]["batches"] == {task: joint[task]}
        assert found[f"seed-3/results/single-longer/{task}.json"]["batches"] == {task: 2 * joint[task]}


def test_what_is_kept_says_the_official_score_and_what_made_it(finished: Path) -> None:
    for name, record in results(finished).items():
        count = len(record["values"])
        assert record["score"] == pytest.approx(100 * sum(record["values"]) / count, abs=1e-3)
        assert record["shuffled"] == pytest.approx(100 * sum(record["shuffled_values"]) / count, abs=1e-3)
        assert ("baselines" in record) == ("/stop-and-go/" in name)
        task, (length,) = record["task"], record["parts"]
        assert 0 <= record["on_training_examples"] <= 1 and record["training_examples"] > 0
        curve = record["recorded"]["curve"]
        assert [iteration for iteration, _ in curve] == list(range(1, length + 1))
        assert max(score for _, score in curve) >= record["validation"] - 1e-4
        norms = record["recorded"]["gradient_norms"]
        assert [iteration for iteration, _ in norms] and all(norm > 0 for _, norm in norms)
        assert all(iteration % 2 == 0 for iteration, _ in norms)
        types = record["by_type"]
        assert all(sum(number for _, number in kind.values()) == count for kind in types.values())
        assert ("target" in types) == (task == "snli_ve")
    joint = results(finished)["seed-3/results/stop-and-go/vqa.json"]
    (row,) = [row for row in findings(finished).rows if row.name == "vqa"]
    assert row.scores["stop-and-go"].passes[0] == joint["examples"]["vqa"] / joint["training_examples"]
    assert "## Scores on training examples" in (finished / "results.md").read_text()
    stopped = [record["recorded"]["events"] for name, record in results(finished).items() if "/stop-and-go/" in name]
    assert {event["event"] for events in stopped for event in events} >= {"stop"}
    one = results(finished)["seed-3/results/single/vqa.json"]
    assert one["parameters"] < joint["parameters"] and one["group"] == "answering"
    assert not list(finished.glob("seed-*/runs/**/checkpoints"))
    path = finished / "seed-3" / "results" / "single" / "vqa.json"
    assert 0 < json.loads(path.read_text())["processor_seconds"] < 60
    begun_on = json.loads((finished / "study.json").read_text())["machine"]
    assert json.loads(path.read_text())["commit"] == (begun_on["commit"] or begun_on["twelve"])
    assert json.loads(path.read_text())["processor"] == (begun_on["accelerator"] or begun_on["processor"])


def at_steps(patch: pytest.MonkeyPatch, numbers: Sequence[int], happens: Callable[[], None]) -> None:
    """Let something happen before these steps of all runs together, the first being 1."""
    step, count = Trainer._step, itertools.count(1)

    def stepping(self: Trainer, name: str) -> None:
        if next(count) in numbers:
            happens()
        step(self, name)

    patch.setattr(Trainer, "_step", stepping)


def test_killed_it_goes_on_and_finds_the_same(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cut"

    def dies() -> None:
        raise KeyboardInterrupt

    at_steps(monkeypatch, (9, 20), dies)
    with pytest.raises(KeyboardInterrupt):
        run(STUDY, config, out=out, **SHORT)
    with pytest.raises(ConfigError, match="already holds a study"):
        run(STUDY, config, out=out, **SHORT)
    with pytest.raises(KeyboardInterrupt):
        run(STUDY, config, out=out, resume=True, **SHORT)
    done = {path: path.stat().st_mtime_ns for path in out.glob("seed-*/results/*/*.json")}
    assert done
    run(STUDY, config, out=out, resume=True, **SHORT)
    assert results(out) == results(finished)
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())


def test_a_signal_loses_nothing_of_it(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cut"
    at_steps(monkeypatch, (3,), lambda: signal.raise_signal(signal.SIGTERM))
    with allowed(), pytest.raises(Stopped) as caught:
        run(STUDY, config, out=out, **SHORT)
    (saved,) = out.glob("seed-*/runs/**/checkpoints/step-*")
    assert saved.name == f"step-{caught.value.iteration:07}"
    logged = [json.loads(line) for line in (saved.parents[1] / "metrics.jsonl").read_text().splitlines()]
    assert logged[-1]["kind"] == "processor" and logged[-1]["iteration"] == caught.value.iteration
    run(STUDY, config, out=out, resume=True, **SHORT)
    assert results(out) == results(finished)


def test_it_goes_on_from_a_copy_without_models(config: Path, finished: Path, tmp_path: Path) -> None:
    """The plan and the results are enough, as they lie in a repository: nothing that is done is trained again."""
    out, lost = tmp_path / "copy", Path("seed-3/results/single/vqa.json")
    kept = [Path("study.json"), *(path.relative_to(finished) for path in finished.glob("seed-*/results/*/*.json"))]
    for name in set(kept) - {lost}:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished / name, out / name)
    run(STUDY, config, out=out, resume=True, **SHORT)
    assert results(out) == results(finished)
    assert [path.parent.name for path in (out / "seed-3" / "runs").rglob("vqa")] == ["single"]
    assert not list((out / "seed-3" / "runs").rglob("snli_ve"))


def test_a_study_that_failed_on_its_data_leaves_no_study_behind(config: Path, tmp_path: Path) -> None:
    """The same command works once the data are there, also with other data; it waits for no other process."""
    tree = yaml.safe_load(config.read_text())
    broken = tmp_path / "broken"
    shutil.copytree(tree["data"], broken)
    file = next(broken.glob("vqa/*train*questions*.json"))
    text = file.read_text()
    file.write_text("{")
    arms = SHORT | {"arms": ["stop-and-go"]}
    for _ in range(2):
        with pytest.raises(TwelveError, match="questions"):
            run(STUDY, config, out=tmp_path / "out", settings=[f"data={broken}"], **arms)
    with alone(tmp_path / "out" / "seed-3"), pytest.raises(TwelveError, match="another process is writing here"):
        run(STUDY, config, out=tmp_path / "out", settings=[f"data={broken}"], **arms)
    file.write_text(text)
    run(STUDY, config, out=tmp_path / "out", settings=[f"data={broken}", "val_fraction=0.3"], **arms)
    assert read(tmp_path / "out").config["val_fraction"] == 0.3
    with pytest.raises(ConfigError, match="already holds a study"):
        run(STUDY, config, out=tmp_path / "out", settings=[f"data={broken}"], **arms)


def test_in_parts_it_ends_at_checkpoints_and_finds_the_same(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every part ends at the next checkpoint, which is after two iterations."""
    asked = 0

    def over(ends: float | None) -> bool:
        nonlocal asked
        asked += 1
        return asked % 7 == 0

    monkeypatch.setattr(engine, "_over", over)
    out, parts = tmp_path / "parts", 0
    while not (out / "results.md").exists():
        run(STUDY, config, out=out, resume=parts > 0, minutes=1, **SHORT | {"console": Console(width=200)})
        parts += 1
        assert parts < 30
    assert parts > 2 and "to go on, repeat the command with --resume" in capsys.readouterr().out
    assert results(out) == results(finished)


def test_a_finished_study_trains_nothing_and_shows_the_same(
    config: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("this is there already")

    monkeypatch.setattr(runs, "train", never)
    text = (finished / "results.md").read_text()
    (finished / "results.md").unlink()
    assert show(finished, console=QUIET) == text == (finished / "results.md").read_text()
    run(STUDY, config, out=finished, resume=True, **SHORT)
    assert (finished / "results.md").read_text() == text
    assert "<svg" in (finished / "results-tasks.svg").read_text()
    for change, what in (
        ({"options": {"factors": [1.0], "longer": 3.0}}, r"^options.longer: the study has 2.0, the command says 3.0"),
        ({"settings": ["val_fraction=0.3"]}, r"^val_fraction: the study has 0.\d+, the command says 0.3$"),
        (
            {"settings": ["training.eval_every=3", "training.patience=2"]},
            r"^training.eval_every: the study has \d+, the command says 3 \(1 more difference\)$",
        ),
    ):
        with pytest.raises(ConfigError) as error:
            run(STUDY, config, out=finished, resume=True, **SHORT | change)
        assert re.search(what, error.value.problem)
    with pytest.raises(ConfigError, match="study: the study has 'joint-vs-single', the command says 'fine-tuning'"):
        run("fine-tuning", config, out=finished, resume=True, seeds=1, console=QUIET)
    with pytest.raises(ConfigError, match="no study to resume"):
        run(STUDY, config, out=finished / "none", resume=True, **SHORT)
    with pytest.raises(ConfigError, match="holds other files"):
        run(STUDY, config, out=finished / "seed-3", **SHORT)


def test_arms_and_seeds_may_be_added_and_seeds_that_lack_arms_do_not_count(config: Path, tmp_path: Path) -> None:
    one = SHORT | {"arms": ["stop-and-go"]}
    out = run(STUDY, config, out=tmp_path / "study", **one)
    assert "There is nothing to compare" in (out / "results.md").read_text()
    begun = results(out)
    run(STUDY, config, out=out, resume=True, **one | {"seeds": 2, "arms": ["always-go-equal", "single-trunk"]})
    assert read(out).names == ("stop-and-go", "single-trunk", "always-go-equal") and len(read(out).contrasts) == 2
    assert read(out).seeds == findings(out).seeds == (3, 4)
    found = results(out)
    assert begun.items() <= found.items() and len(found) == 6 * len(begun)
    run(STUDY, config, out=out, resume=True, only=["stop-and-go"], **one)  # as it was begun: nothing is taken away
    assert read(out).seeds == (3, 4) and results(out) == found
    ours, base = (found[f"seed-3/results/{arm}/vqa.json"]["batches"] for arm in ("always-go-equal", "stop-and-go"))
    assert abs(sum(ours.values()) - sum(base.values())) < len(TASKS)
    for task in TASKS:  # each model of its own has all updates
        alone = found[f"seed-3/results/single-trunk/{task}.json"]["batches"]
        assert list(alone) == [task] and abs(alone[task] - sum(base.values())) < len(TASKS)
    for seed in (3, 4):
        for arm in read(out).names:
            (out / f"seed-{seed}" / "results" / arm / "vqa.json").unlink()
    with pytest.raises(DataError, match="no arm of this study is complete"):
        show(out, console=QUIET)


def test_two_processes_share_a_study(config: Path, finished: Path, tmp_path: Path) -> None:
    """One trains the joint model, on which the other one, which has the single models, waits."""
    out, errors = tmp_path / "shared", list[BaseException]()
    plan = planned(get_study(STUDY, SHORT["options"]), load(config), seeds=1, arms=SHORT["arms"])
    engine.begun(plan, out, False)
    with pytest.raises(ConfigError, match=r"needs stop-and-go, which has not run -> .*--only stop-and-go"):
        run(STUDY, config, out=out, resume=True, only=["single/vqa"], **SHORT)
    with pytest.raises(ConfigError, match="no step of this study is called 'single/nlvr2'"):
        run(STUDY, config, out=out, resume=True, only=["single/nlvr2"], **SHORT)
    joint = plan.steps()[0]

    def second() -> None:
        try:
            run(STUDY, config, out=out, resume=True, only=["single", "single-longer"], **SHORT)
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "WAIT", 0.05)
        with turns.turn(out, joint) as mine:
            assert mine
            waiting.start()
            Seed(plan, out, 3).take(joint)
        waiting.join(120)
    assert not errors and results(out) == results(finished)
    assert findings(out).seeds == (3,)


def test_the_search_keeps_the_best_validation_and_passes_over_what_diverges(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = get_study(STUDY, {"factors": [0.5, 1.0, 2.0], "search": 0.5})
    plan = planned(study, load(config), seeds=1, arms=["stop-and-go"])
    step = plan.steps()[0]
    assert step.search and step.units == pytest.approx(1.5)
    validations, asked = {0.5: 0.4, 1.0: 0.3}, []

    def train(self: Seed, step: Any, folder: Path, factor: float, start: Path, *, share: float) -> Any:
        asked.append((factor, share))
        folder.mkdir(parents=True)
        if factor not in validations:
            raise NonFiniteLoss("diverged")
        kept = {"vqa": validations[factor]}
        return None, History(iterations=3, batches={"vqa": 3}, seconds=1.0, before={}, kept=kept, events=())

    monkeypatch.setattr(Seed, "_train", train)
    monkeypatch.setattr(Seed, "_start", lambda *_: Path())
    seed = Seed(plan, tmp_path, 3)
    assert seed.lacks(plan.steps()[1]) == ["the learning rate of stop-and-go"]
    seed.take(step)
    assert seed.done(step) and asked == [(0.5, 0.5), (1.0, 0.5), (2.0, 0.5)]
    entry = searched(tmp_path, step)
    assert entry.chosen == 0.5 and entry.validations == {"0.5": 0.4, "1.0": 0.3, "2.0": None}
    assert not list((tmp_path / "seed-3" / "searches" / "stop-and-go").iterdir())


def test_of_equal_validations_the_factor_nearest_one_is_taken() -> None:
    assert best({"0.3": 0.5, "1.0": 0.5, "3.0": 0.5}, "x") == 1.0
    assert best({"0.3": 0.5, "1.0": 0.4, "3.0": None}, "x") == 0.3
    with pytest.raises(ConfigError, match="every learning rate"):
        best({"1.0": None}, "x")


def test_what_cannot_be_planned_is_refused(config: Path, tmp_path: Path) -> None:
    assert planned(get_study(STUDY, {}), load(config), seeds=1, arms=["always-go"]).names == (
        "stop-and-go",
        "always-go",
    )
    with pytest.raises(ConfigError, match='did you mean "single"'):
        planned(get_study(STUDY, {}), load(config), seeds=1, arms=["singel"])
    for option in ({"factors": [1.0, 1.0]}, {"search": 0.0}, {"longer": 0.5}, {"longr": 2}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            run(STUDY, config, out=tmp_path / "no", **SHORT | {"options": option})
    with pytest.raises(ConfigError, match="expected 1 or more, found 0"):
        run(STUDY, config, out=tmp_path / "no", **SHORT | {"seeds": 0})
    with pytest.raises(ConfigError, match="needs several tasks, found one"):
        run(STUDY, config, out=tmp_path / "no", settings=["tasks=[vqa]"], **SHORT)
    with pytest.raises(ConfigError, match="unknown study"):
        run("group", config, out=tmp_path / "no", **SHORT)
    assert not (tmp_path / "no").exists()
