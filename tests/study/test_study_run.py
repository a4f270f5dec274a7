"""A whole study in seconds: equal updates, killed and gone on with, shown again without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from rich.console import Console

from twelve.errors import ConfigError, DataError
from twelve.study import runs
from twelve.study.arms import MAIN, chosen
from twelve.study.execution import Seed, best
from twelve.study.joint_vs_single import planned, run
from twelve.study.plan import read
from twelve.study.results import History, searched
from twelve.study.show import show
from twelve.training.losses import NonFiniteLoss
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)
TASKS = ("vqa", "snli_ve")
SHORT: dict[str, Any] = {"seeds": 1, "arms": ["single-longer", "single"], "factors": (1.0,), "console": QUIET}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    tree = tiny.tree(tiny.make(folder / "data", train=12, val=4), folder / "unused")
    tree |= {"tasks": {name: tree["tasks"][name] for name in TASKS}, "sources": {}}
    tree["training"] |= {"iterations": 6, "eval_every": 1, "save_every": 2}
    tree["evaluation"]["derangements"] = 1
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(config, out=tmp_path_factory.mktemp("study") / "whole", **SHORT)


def results(out: Path) -> dict[str, dict[str, Any]]:
    """Every result without the time that it took."""
    found = {str(path.relative_to(out)): json.loads(path.read_text()) for path in out.glob("seed-*/results/*/*.json")}
    return {name: record | {"seconds": 0} for name, record in found.items()}


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
        assert record["score"] == pytest.approx(100 * sum(record["values"]) / len(record["values"]), abs=1e-3)
        assert ("baselines" in record) == ("/stop-and-go/" in name)
    one = results(finished)["seed-3/results/single/vqa.json"]
    assert one["parameters"] < results(finished)["seed-3/results/stop-and-go/vqa.json"]["parameters"]
    assert not list(finished.glob("seed-*/runs/**/checkpoints"))


def test_killed_it_goes_on_and_finds_the_same(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, step, calls = tmp_path / "cut", Trainer._step, 0

    def dies(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        if calls in (9, 20):
            raise KeyboardInterrupt
        return step(self, name)

    monkeypatch.setattr(Trainer, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        run(config, out=out, **SHORT)
    with pytest.raises(ConfigError, match="already holds a study"):
        run(config, out=out, **SHORT)
    with pytest.raises(KeyboardInterrupt):
        run(config, out=out, resume=True, **SHORT)
    done = {path: path.stat().st_mtime_ns for path in out.glob("seed-*/results/*/*.json")}
    assert done
    run(config, out=out, resume=True, **SHORT)
    assert results(out) == results(finished)
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())


def test_a_finished_study_trains_nothing_and_shows_the_same(
    config: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("this is there already")

    monkeypatch.setattr(runs, "train", never)
    text = (finished / "results.md").read_text()
    (finished / "results.md").unlink()
    assert show(finished, console=QUIET) == text == (finished / "results.md").read_text()
    run(config, out=finished, resume=True, **SHORT)
    assert (finished / "results.md").read_text() == text
    assert "<circle" in (finished / "results-single-longer.svg").read_text()
    with pytest.raises(ConfigError, match=r"longer is not what the study here was begun with"):
        run(config, out=finished, resume=True, **SHORT, longer=3.0)
    with pytest.raises(ConfigError, match=r"config.val_fraction is not"):
        run(config, out=finished, resume=True, settings=["val_fraction=0.3"], **SHORT)
    with pytest.raises(ConfigError, match="no study to resume"):
        run(config, out=finished / "none", resume=True, **SHORT)
    with pytest.raises(ConfigError, match="holds other files"):
        run(config, out=finished / "seed-3", **SHORT)


def test_arms_may_be_added_and_seeds_that_lack_them_do_not_count(config: Path, tmp_path: Path) -> None:
    two = SHORT | {"seeds": 2, "arms": []}
    out = run(config, out=tmp_path / "study", **two)
    assert "There is only one arm" in (out / "results.md").read_text()
    run(config, out=out, resume=True, **two | {"arms": ["always-go-equal"]})
    assert read(out).arms == ("stop-and-go", "always-go-equal")
    found = results(out)
    ours, base = (found[f"seed-3/results/{arm}/vqa.json"]["batches"] for arm in ("always-go-equal", "stop-and-go"))
    assert abs(sum(ours.values()) - sum(base.values())) < len(TASKS)
    for seed in (3, 4):
        (out / f"seed-{seed}" / "results" / "always-go-equal" / "vqa.json").unlink()
    with pytest.raises(DataError, match="no seed of this study is complete"):
        show(out, console=QUIET)


def test_the_search_keeps_the_best_look_and_passes_over_what_diverges(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twelve.config import load

    plan = planned(load(config), seeds=1, arms=[], factors=(0.5, 1.0, 2.0), search=0.5)
    step = plan.steps()[0]
    assert step.search and step.units == pytest.approx(1.5)
    validations, asked = {0.5: 0.4, 1.0: 0.3}, []

    def train(self: Seed, step: Any, folder: Path, factor: float, share: float) -> Any:
        asked.append((factor, share))
        folder.mkdir(parents=True)
        if factor not in validations:
            raise NonFiniteLoss("diverged")
        kept = {"vqa": validations[factor]}
        return None, History(iterations=3, batches={"vqa": 3}, seconds=1.0, before={}, kept=kept, events=())

    monkeypatch.setattr(Seed, "_train", train)
    seed = Seed(plan, tmp_path, 3)
    seed.take(step)
    assert seed.done(step) and asked == [(0.5, 0.5), (1.0, 0.5), (2.0, 0.5)]
    entry = searched(plan, tmp_path)["stop-and-go"]
    assert entry.chosen == 0.5 and entry.validations == {"0.5": 0.4, "1.0": 0.3, "2.0": None}
    assert not list((tmp_path / "seed-3" / "search" / "stop-and-go").iterdir())


def test_of_equal_looks_the_factor_nearest_one_is_taken() -> None:
    assert best({"0.3": 0.5, "1.0": 0.5, "3.0": 0.5}, "x") == 1.0
    assert best({"0.3": 0.5, "1.0": 0.4, "3.0": None}, "x") == 0.3
    with pytest.raises(ConfigError, match="every learning rate"):
        best({"1.0": None}, "x")


def test_what_cannot_be_planned_is_refused(config: Path, tmp_path: Path) -> None:
    assert chosen(MAIN) == MAIN and chosen(["single"]) == ("stop-and-go", "single")
    with pytest.raises(ConfigError, match='did you mean "single"'):
        chosen(["singel"])
    for wrong in ({"seeds": 0}, {"factors": (1.0, 1.0)}, {"search": 0.0}, {"longer": 0.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            run(config, out=tmp_path / "no", **SHORT | wrong)
    with pytest.raises(ConfigError, match="needs several tasks, found one"):
        run(config, out=tmp_path / "no", settings=["tasks=[vqa]"], **SHORT)
    assert not (tmp_path / "no").exists()
