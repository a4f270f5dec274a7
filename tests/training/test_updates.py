"""How gradients of several tasks become updates: factors from running norms, own moments, one update an iteration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from safetensors.torch import load_file
from test_devices import together, trace, tree, weights
from torch import Tensor, nn
from torch.optim import Optimizer

from twelve import config as configuration
from twelve.errors import CheckpointError, ConfigError
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.training.hooks import TrainingHook
from twelve.training.optimizer import AdamW
from twelve.training.task_scale import DECAY, NormScale

QUIET = Console(quiet=True)
WAYS: dict[str, dict[str, Any]] = {
    "norm": {"task_scale": "norm"},
    "lr_norm, accumulated": {"task_scale": "lr_norm", "accumulate": 2},
    "own moments": {"states": "task"},
    "iteration": {"update": "iteration"},
    "norm, iteration, accumulated": {"task_scale": "norm", "update": "iteration", "accumulate": 2},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def settings(root: Path, run: Path, optimizer: Mapping[str, Any], **training: Any) -> dict[str, Any]:
    found = tree(root, run, **training)
    found["optimizer"] |= optimizer
    return found


def trained(
    root: Path, run: Path, optimizer: Mapping[str, Any], *, tasks: tuple[str, ...] = tiny.TASKS,
    hook: TrainingHook | None = None, **training: Any,
) -> RunFolder:  # fmt: skip
    found = settings(root, run, optimizer, **training)
    found["tasks"] = {task: found["tasks"][task] for task in tasks}
    found["sources"] = {task: source for task, source in found["sources"].items() if task in tasks}
    return RunFolder(train(configuration.parse(found), console=QUIET, hook=hook))


def last(run: RunFolder) -> dict[str, Tensor]:
    return load_file(run.saved()[-1] / "tensors.safetensors")


# --- factors ------------------------------------------------------------------------------------------------------


def test_factors_are_the_formula() -> None:
    rates, norms = {"a": 1.0, "b": 4.0, "c": 2.0}, {"a": [3.0, 5.0, 1.0], "b": [0.5, 0.25, 0.125]}
    equal, by_rate = (
        NormScale(rates, by_rate=by_rate, device=torch.device("cpu")) for by_rate in (False, True)
    )  # fmt: skip
    for place in range(3):
        for task, given in norms.items():
            for scale in (equal, by_rate):
                scale.factor(task, torch.tensor(given[place]))
    weights = [DECAY**age for age in (2, 1, 0)]
    mean = {
        task: sum(w * n for w, n in zip(weights, given, strict=True)) / sum(weights) for task, given in norms.items()
    }
    level = math.sqrt(mean["a"] * 4 * mean["b"])
    assert equal.factors().tolist() == pytest.approx([level / mean["a"], level / mean["b"], 2.0])
    level = math.sqrt(mean["a"] * mean["b"])
    assert by_rate.factors().tolist() == pytest.approx([level / mean["a"], 4 * level / mean["b"], 2.0])


@pytest.mark.parametrize("norm", [math.inf, math.nan, 0.0])
def test_a_norm_that_says_nothing_changes_no_mean(norm: float) -> None:
    scale = NormScale({"a": 1.0, "b": 2.0}, by_rate=False, device=torch.device("cpu"))
    assert float(scale.factor("b", torch.tensor(norm))) == 2.0
    scale.factor("a", torch.tensor(3.0))
    before = scale.factors()
    assert torch.equal(scale.factors()[0], scale.factor("a", torch.tensor(norm))) and torch.equal(
        scale.factors(), before
    )
    with pytest.raises(CheckpointError, match="the checkpoint scales a, b, the run a"):
        NormScale({"a": 1.0}, by_rate=False, device=torch.device("cpu")).load_state_dict(scale.state_dict())


class Norms:
    """Notes the norm of every gradient of the trunk, and of the update's."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}
        self.steps = 0

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        norm = float(torch.stack([each.norm() for each in gradients.values()]).norm())
        self.found.setdefault(task, []).append(norm)

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        self.steps += 1

    def after_step(self, iteration: int, optimizer: Optimizer) -> None: ...


@pytest.mark.parametrize("accumulate", [1, 2])
def test_tasks_press_equally(root: Path, tmp_path: Path, accumulate: int) -> None:
    """In the first iteration, in which every norm is its own mean, all are as large as the mean so far."""
    hook, plain = Norms(), Norms()
    run = trained(
        root, tmp_path / "a", {"task_scale": "norm", "accumulate": accumulate, "update": "iteration"}, hook=hook
    )
    trained(root, tmp_path / "b", {"accumulate": accumulate, "update": "iteration"}, hook=plain)
    level, ours, expected = 1.0, [], []
    for place, task in enumerate(tiny.TASKS, start=1):
        level *= plain.found[task][0]
        ours.append(hook.found[task][0])
        expected.append(level ** (1 / place))
    assert ours == pytest.approx(expected, rel=1e-4)
    ratio, without = (
        max(late) / min(late) for late in ([sum(each[1:]) for each in h.found.values()] for h in (hook, plain))
    )
    assert ratio < 0.7 * without
    assert hook.steps == 8 // accumulate
    told = [line["scales"] for line in run.logged() if line["kind"] == "step"]
    assert len(told) == 8 and all(set(scales) == set(tiny.TASKS) for scales in told)


def test_one_task_trains_as_without(root: Path, tmp_path: Path) -> None:
    """Every factor is 1, and the moments and updates of a task are all there are."""
    runs = [
        last(trained(root, tmp_path / str(place), way, tasks=("vqa",)))
        for place, way in enumerate(({}, {"task_scale": "norm"}, {"task_scale": "lr_norm", "update": "iteration"}))
    ]
    for run in runs[1:]:
        assert all(torch.equal(tensor, run[name]) for name, tensor in runs[0].items())


# --- every way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_resuming_is_exact(root: Path, tmp_path: Path, way: str) -> None:
    """From a checkpoint in the middle, where gradients may wait."""
    length = {"iterations": 6, "save_every": 3, "eval_every": 6}
    run = trained(root, tmp_path / "run", WAYS[way], **length)
    expected, state = last(run), (run.saved()[-1] / "state.json").read_text()
    for file in run.saved()[-1].iterdir():
        file.unlink()
    run.saved()[-1].rmdir()
    train(configuration.parse(settings(root, run.path, WAYS[way], **length)), resume=True, console=QUIET)
    found = last(run)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert ("task scale" in state) == ("norm" in way)


@pytest.mark.parametrize("sharding", [False, True], ids=["whole models", "shared model"])
@pytest.mark.parametrize("way", ["lr_norm, accumulated", "own moments", "iteration"])
def test_two_processes_are_one(root: Path, tmp_path: Path, way: str, sharding: bool) -> None:
    alone = trained(root, tmp_path / "alone", WAYS[way])
    run = together(settings(root, tmp_path / "run", WAYS[way], sharding=sharding))
    assert trace(run)[0] == pytest.approx(trace(alone.path)[0], abs=2e-5)
    for name, value in weights(run).items():
        if name.endswith("key.bias") or name == "heads.alignment.bias":
            continue  # no loss depends on them: Adam makes steps of the rounding of a gradient that is zero
        assert torch.allclose(value, weights(alone.path)[name], atol=2e-4), name


def test_an_update_of_an_iteration_is_of_the_sum(root: Path, tmp_path: Path) -> None:
    """In the first iteration, with the rate at which the original begins, which is zero, nothing moves in between."""

    class Sums(Norms):
        def __init__(self) -> None:
            super().__init__()
            self.sums: dict[str, Tensor] = {}

        def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
            for name, gradient in gradients.items():
                self.sums[name] = self.sums.get(name, torch.zeros(())) + gradient

        def before_step(self, iteration: int, optimizer: Optimizer) -> None:
            self.steps += 1
            for group in optimizer.param_groups:
                for name, parameter in zip(group["param_names"], group["params"], strict=True):
                    if name in self.sums:
                        torch.testing.assert_close(parameter.grad, self.sums[name])
            self.sums.clear()

    hook = Sums()
    run = trained(root, tmp_path / "run", {"update": "iteration"}, hook=hook, iterations=3)
    assert hook.steps == 3
    assert [line["lr"] for line in run.logged() if line["kind"] == "step"][-1] == 0.0  # one step an iteration


# --- own moments --------------------------------------------------------------------------------------------------


def test_moments_of_a_task_are_those_of_its_gradients() -> None:
    """Two tasks whose gradients alternate move as two optimizers would, one after the other."""
    both, apart = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = AdamW([{"params": [("p", both)], "lr": 0.1}], tasks=("a", "b"))
    single = {task: AdamW([{"params": [("p", apart)], "lr": 0.1}]) for task in ("a", "b")}
    for step in range(6):
        for task, size in (("a", 1.0), ("b", 100.0)):
            both.grad = torch.full((3,), size * (step - 1.5))
            apart.grad = both.grad.clone()
            optimizer.use(task)
            optimizer.step()
            single[task].step()
    assert torch.equal(both, apart)
    resumed = AdamW([{"params": [("p", both)], "lr": 0.1}], tasks=("a", "b"))
    resumed.load_state_dict(optimizer.state_dict())
    for task, own in single.items():
        resumed.use(task)
        assert torch.equal(resumed.state[both]["exp_avg"], own.state[apart]["exp_avg"])
    with pytest.raises(CheckpointError, match="of the tasks a, b, expected together"):
        AdamW([{"params": [("p", both)], "lr": 0.1}]).load_state_dict(optimizer.state_dict())


def test_a_task_keeps_moments_of_what_it_uses(root: Path, tmp_path: Path) -> None:
    run = trained(root, tmp_path / "run", {"states": "task"}, iterations=2, save_every=2, eval_every=2)
    names = [name for name in last(run) if name.startswith("optimizer/tasks/") and name.endswith("exp_avg")]
    heads = {task: sum(name.startswith(f"optimizer/tasks/{task}/") for name in names) for task in tiny.TASKS}
    model = [name for name in last(run) if name.startswith("model/")]
    assert all(0.5 * len(model) < count < len(model) for count in heads.values())


@pytest.mark.parametrize("mixing", [{"update": "iteration"}, {"accumulate": 2}])
def test_moments_of_a_task_need_steps_of_a_task(root: Path, tmp_path: Path, mixing: dict[str, Any]) -> None:
    key = next(iter(mixing))
    with pytest.raises(ConfigError, match=rf"optimizer.{key}\]: a step mixes gradients .* --set optimizer.{key}="):
        configuration.parse(settings(root, tmp_path / "run", {"states": "task"} | mixing))
