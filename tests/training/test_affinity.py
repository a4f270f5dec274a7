"""Affinity of tasks, measured during a run: what it is, and that the run does not notice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tiny
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.training.affinity import Affinity, _products
from twelve.training.hooks import MeasuringHook, SelectiveHook
from twelve.training.optimizer import AdamW
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)
TASKS = ("vqa", "flickr30k", "refcoco")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=2)


def parsed(root: Path, run: Path, **training: Any) -> RunConfig:
    tree = tiny.tree(root, run)
    tree |= {"tasks": {task: tree["tasks"][task] for task in TASKS}}
    tree["model"]["architecture"] |= {"hidden_dropout_prob": 0.1, "v_hidden_dropout_prob": 0.1}
    tree["training"] |= {"iterations": 6, "save_every": 2, "eval_every": 3, "keep": 9} | training
    return configuration.parse(tree)


def measured(run: Path) -> dict[str, Any]:
    """What was measured, without the time that it took."""
    tree: dict[str, Any] = json.loads(RunFolder(run).affinity.read_text())
    return {name: value for name, value in tree.items() if name not in ("seconds", "cost")}


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(parsed(root, tmp_path_factory.mktemp("whole")), console=QUIET, hook=Affinity(every=2))


def test_the_run_does_not_notice(root: Path, whole: Path, tmp_path: Path) -> None:
    plain = train(parsed(root, tmp_path / "plain"), console=QUIET)
    losses = [[line["losses"] for line in RunFolder(run).logged() if line["kind"] == "step"] for run in (plain, whole)]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    for one, other in zip(RunFolder(plain).saved(), RunFolder(whole).saved(), strict=True):
        tensors, others = (load_file(each / "tensors.safetensors") for each in (one, other))
        assert tensors.keys() == others.keys()
        assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert not RunFolder(plain).affinity.exists()


def test_what_is_written(whole: Path) -> None:
    tree = json.loads(RunFolder(whole).affinity.read_text())
    assert tree["tasks"] == list(TASKS) and [each["iteration"] for each in tree["measured"]] == [2, 4]
    for name in ("affinity", "cosines"):
        every = np.array([each[name] for each in tree["measured"]])
        assert every.shape == (2, 3, 3) and np.isfinite(every).all()
        assert np.allclose(every.mean(0), tree[name])
    assert np.allclose(np.diagonal(tree["cosines"]), 1) and np.allclose(tree["cosines"], np.transpose(tree["cosines"]))
    assert min(tree["measured"][0]["losses"]) > 0 and np.abs(tree["affinity"]).min() > 0
    assert tree["cost"] > 0 and min(tree["norms"]) > 0


def test_a_killed_run_goes_on_without_losing_or_counting_twice(
    root: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = Trainer._step, 0

    def dies(self: Trainer, name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 3 * 5 + 2:  # in iteration 6; the last checkpoint is that of iteration 4
            raise KeyboardInterrupt
        step(self, name)

    config = parsed(root, tmp_path / "killed")
    monkeypatch.setattr(Trainer, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train(config, console=QUIET, hook=Affinity(every=2))
    with pytest.raises(ConfigError, match="expected measurements every 2 iterations, as before, found 3"):
        train(config, console=QUIET, hook=Affinity(every=3), resume=True)
    with pytest.raises(ConfigError, match="expected gradients over 1 batch, as before, found 2"):
        train(config, console=QUIET, hook=Affinity(every=2, batches=2), resume=True)
    train(config, console=QUIET, hook=Affinity(every=2), resume=True)
    assert measured(tmp_path / "killed") == measured(whole)


# --- closed forms -------------------------------------------------------------------------------------------------
class Point(nn.Module):
    """A "model" whose trunk is a point; its output is the point."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Parameter(torch.zeros(2))

    def forward(self, outputs: Any) -> Any:
        return SimpleNamespace(logits={outputs[0]: self.trunk})


def run_of(goals: Mapping[str, tuple[float, float]], count: int = 1) -> Any:
    """A run whose tasks each draw the point to a goal: loss 1 + half the squared distance."""
    model = Point()

    def output(goal: tuple[float, float]) -> Any:
        def loss(point: Tensor, _: Any) -> Tensor:
            return 1 + (point - torch.tensor(goal)).square().sum() / 2

        rate = 1.0 if goal == (0, 1) else 3.0
        return SimpleNamespace(output=SimpleNamespace(loss=loss), learning_rate=rate)

    def collate(examples: list[int], rng: np.random.Generator) -> Any:
        return SimpleNamespace(inputs=lambda device: {}, targets_on=lambda device: {}, output="head")

    stream = SimpleNamespace(seed=0, examples=[0, 1], batch_size=2, collator=collate)
    optimizer = AdamW([{"params": list(model.named_parameters())}], lr=0.1, betas=(0.9, 0.0), eps=1e-9)
    return SimpleNamespace(
        total=9, model=model, optimizer=optimizer, devices=SimpleNamespace(device="cpu", count=count),
        streams=dict.fromkeys(goals, stream),
        data=SimpleNamespace(tasks={task: output(goal) for task, goal in goals.items()}),
    )  # fmt: skip


def test_look_ahead_by_hand() -> None:
    """Loss 1.5 at the origin. A step of 0.1 towards (1, 0) leaves 1 + 0.9² / 2, away from it 1 + 1.1² / 2."""
    run = run_of({"right": (1, 0), "same": (1, 0), "left": (-1, 0), "up": (0, 1)})
    probe = Affinity()
    probe.attach(run)
    found = probe._measure(1)
    near, far, beside = (1 - loss / 1.5 for loss in (1.405, 1.605, 1.505))
    assert found["losses"] == pytest.approx([1.5] * 4)
    assert np.allclose(found["affinity"][0], [near, near, far, beside])
    assert np.allclose(found["affinity"][3], [beside, beside, beside, near])
    assert np.allclose(found["cosines"][0], [1, 1, -1, 0]) and np.allclose(found["norms"], [3, 3, 3, 1])
    assert run.model.trunk.tolist() == [0, 0] and run.model.trunk.grad is None


def test_gradients_and_losses_are_means_of_several_batches() -> None:
    """Each batch draws the point to a place of its own: the mean gradient is minus the mean of the first places."""
    run = run_of({"task": (0, 0)})
    goals = iter(torch.tensor([[1.0, 0], [0, 3], [2, 0], [0, 4]]))
    made = [SimpleNamespace(inputs=lambda device: {}, targets_on=lambda device, goal=goal: goal, output="head")
            for goal in goals]  # fmt: skip
    run.data.tasks["task"].output.loss = lambda point, goal: 1 + (point - goal).square().sum() / 2
    probe = Affinity(batches=2)
    probe.attach(run)
    probe._batch = cast(Any, lambda task, iteration, place: made[place])
    found = probe._measure(1)
    assert found["losses"] == pytest.approx([1 + (2**2 + 4**2) / 4]) and len(made) == 4
    assert probe._gradient("task", [run.model.trunk], 1).tolist() == [-0.5, -1.5]
    after = 1 + (1.9**2 + 0.1**2 + 0.1**2 + 3.9**2) / 4  # without momentum, Adam moves each coordinate by its rate, 0.1
    assert found["affinity"][0] == pytest.approx([1 - after / found["losses"][0]], rel=1e-6)


def test_the_step_is_what_a_gradient_adds_to_the_run_over_its_life() -> None:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(50))
    optimizer = AdamW([{"params": [("w", parameter)]}], lr=0.01, betas=(0.9, 0.99999), weight_decay=0.0)
    parameter.grad = torch.randn(50)
    optimizer.step()
    optimizer.state[parameter]["exp_avg"].zero_()
    before, gradient = parameter.detach().clone(), torch.randn(50)
    probe = Affinity()
    probe._run = cast(Any, SimpleNamespace(optimizer=optimizer))
    (expected,) = probe._step([parameter], [0.01], gradient)
    parameter.grad = gradient
    for _ in range(300):
        optimizer.step()
        parameter.grad = torch.zeros(50)
    torch.testing.assert_close(before - parameter.detach(), expected, rtol=1e-3, atol=1e-5)


def test_cosines_of_long_gradients_are_exact() -> None:
    vectors = torch.randn(2, 1_500_000, generator=torch.Generator().manual_seed(0))
    exact = vectors.double() @ vectors.double().T
    torch.testing.assert_close(_products(vectors), exact, rtol=1e-9, atol=1e-6)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ConfigError, match="expected at least 1 iteration between two measurements, found 0"):
        Affinity(every=0)
    with pytest.raises(ConfigError, match="expected at least 1 batch for a gradient, found 0"):
        Affinity(batches=0)
    with pytest.raises(ConfigError, match="measured in one process, found 2"):
        Affinity().attach(run_of({"one": (0, 0)}, count=2))
    assert isinstance(Affinity(), MeasuringHook) and isinstance(Affinity(), SelectiveHook)
