"""What a study measures beside scores: gradient norms, processor time, probes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import write_config
from torch import Tensor
from torch.optim import Optimizer

from twelve.config import load
from twelve.errors import ConfigError
from twelve.formats.records import read_object
from twelve.run_folder import RunFolder
from twelve.study import training
from twelve.study.arms import Length
from twelve.study.engine import planned
from twelve.study.execution import Seed
from twelve.study.observing import PROBES, Hooks, Observed, Observer, PartOver, trunk_norm
from twelve.study.probes.affinity import of_run
from twelve.study.studies import get_study


def test_the_norm_is_that_of_all_gradients_together() -> None:
    assert trunk_norm([torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]) == pytest.approx(5)
    assert trunk_norm([]) == 0


def test_a_part_ends_at_a_checkpoint_that_was_written_in_it(tmp_path: Path) -> None:
    config = load(write_config(tmp_path))
    run = RunFolder(tmp_path)
    observer = Observer(config, run, lambda: True)  # every two iterations there is a checkpoint
    optimizer: Any = None
    observer.before_step(2, optimizer)  # the one that it began with
    observer.before_step(3, optimizer)
    with pytest.raises(PartOver):
        observer.before_step(4, optimizer)
    assert [line["iteration"] for line in run.logged()] == [4]


class Counting:
    """A probe."""

    def __init__(self, observed: Observed) -> None:
        self.name, self.seen = Path(observed.config.run).name, list[tuple[int, str]]()
        self.earlier = observed.earlier

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        self.seen.append((iteration, task))

    def before_step(self, iteration: int, optimizer: Optimizer) -> None: ...

    def after_step(self, iteration: int, optimizer: Optimizer) -> None: ...

    def found(self) -> Mapping[str, Any]:
        return {"seen": self.seen, "name": self.name, "earlier": self.earlier}

    def state_dict(self) -> Mapping[str, Any]:
        return {"seen": list(self.seen)}

    def load_state_dict(self, state: Any) -> None:
        self.seen = [(iteration, task) for iteration, task in state["seen"]]


class Forgetting:
    """A probe that an interruption makes forget."""

    def __init__(self, observed: Observed) -> None: ...

    def found(self) -> Mapping[str, Any]:
        return {}


def test_an_arm_can_ask_for_a_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(write_config(tmp_path))
    study = get_study("joint-vs-single", {"factors": [1.0]})
    plan = planned(study, config, seeds=1, arms=["stop-and-go"])
    arm = plan.arms[0].model_copy(update={"probes": ("counting",)})
    plan = plan.model_copy(update={"arms": (arm,)})
    monkeypatch.setitem(PROBES, "counting", Counting)
    Seed(plan, tmp_path / "study", 3).take(plan.steps()[0])
    found = read_object(tmp_path / "study" / "seed-3" / "probes" / "stop-and-go" / "counting.json").fields
    assert found["name"] == "stop-and-go" and {task for _, task in found["seen"]} == {"vqa", "snli_ve"}
    assert {iteration for iteration, _ in found["seen"]} >= {0, 1, 2}  # also where the norms are not sampled
    monkeypatch.setitem(PROBES, "counting", Forgetting)
    with pytest.raises(ConfigError, match="the probe 'counting' lacks state_dict, load_state_dict"):
        Seed(plan, tmp_path / "other", 3).take(plan.steps()[0])
    monkeypatch.setattr(type(study), "arms", lambda *_: [arm.model_copy(update={"probes": ("conting",)})])
    monkeypatch.setattr(type(study), "contrasts", lambda *_: [])
    with pytest.raises(ConfigError, match='did you mean "counting"'):
        planned(study, config, seeds=1)


def test_a_probe_that_is_interrupted_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(write_config(tmp_path))
    plan = planned(get_study("joint-vs-single", {"factors": [1.0]}), config, seeds=1, arms=["stop-and-go"])
    plan = plan.model_copy(update={"arms": (plan.arms[0].model_copy(update={"probes": ("counting",)}),)})
    monkeypatch.setitem(PROBES, "counting", Counting)
    with pytest.raises(PartOver):
        seed = Seed(plan, tmp_path / "parts", 3)
        seed.over = iter([False, *[True] * 99]).__next__
        seed.take(plan.steps()[0])
    for folder in ("parts", "whole"):
        Seed(plan, tmp_path / folder, 3).take(plan.steps()[0])
    parts, whole = (
        read_object(tmp_path / folder / "seed-3" / "probes" / "stop-and-go" / "counting.json").fields["seen"]
        for folder in ("parts", "whole")
    )
    assert parts == whole and parts[0][0] == 0


def test_a_probe_sees_extensions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(write_config(tmp_path))
    plan = planned(get_study("joint-vs-single", {"factors": [1.0]}), config, seeds=1, arms=["stop-and-go"])
    longer = {"probes": ("counting",), "length": Length(extend=2)}
    plan = plan.model_copy(update={"arms": (plan.arms[0].model_copy(update=longer),)})
    monkeypatch.setitem(PROBES, "counting", Counting)
    monkeypatch.setattr(training, "has_converged", lambda points, length: length > 9)
    monkeypatch.setattr(training, "falls", lambda points, length: False)
    Seed(plan, tmp_path / "study", 3).take(plan.steps()[0])
    files = sorted((tmp_path / "study" / "seed-3" / "probes" / "stop-and-go").iterdir())
    assert [file.name for file in files] == ["counting-1.json", "counting-2.json", "counting.json"]
    first, second, run = (read_object(file).fields for file in files)
    assert (run["earlier"], first["earlier"], second["earlier"]) == ([], [6], [6, 3])
    assert {iteration for iteration, _ in first["seen"]} == {0, 1, 2} and first["name"] == "1"


def test_affinities_of_an_extension_go_on_at_the_runs_interval(tmp_path: Path) -> None:
    observed = Observed.__new__(Observed)
    config = load(write_config(tmp_path, iterations=400))
    for name, value in (("config", config), ("earlier", ())):
        object.__setattr__(observed, name, value)
    run = of_run(observed)
    object.__setattr__(observed, "earlier", (1200, 600))
    extension = of_run(observed)
    assert (run.every, run.before) == (20, 0) and (extension.every, extension.before) == (60, 1800)


def test_hooks_are_told_what_they_want() -> None:
    seldom, always = Counting.__new__(Counting), Counting.__new__(Counting)
    for hook in (seldom, always):
        hook.seen = []
    seldom.watches = lambda iteration: iteration == 1  # type: ignore[attr-defined]
    both = Hooks([seldom, always])
    for iteration in range(3):
        assert both.watches(iteration)
        both.after_backward(iteration, "a", {})
    assert (len(seldom.seen), len(always.seen)) == (1, 3)
    assert not Hooks([seldom]).watches(0)
