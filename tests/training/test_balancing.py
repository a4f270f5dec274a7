"""Ways of balancing tasks: known solutions, properties of every one, and runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_devices import together, trace, weights
from test_devices import tree as device_tree
from test_updates import last
from torch import Tensor
from torch.optim import Optimizer

from twelve import config as configuration
from twelve.errors import CheckpointError, ConfigError
from twelve.extras import install
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.training.balancing import BALANCINGS, GradientBalancing, LossBalancing
from twelve.training.balancing.famo import Famo
from twelve.training.hooks import TrainingHook

QUIET = Console(quiet=True)
OF_GRADIENTS = [name for name, kind in BALANCINGS.items() if issubclass(kind, GradientBalancing)]
OF_LOSSES = [name for name, kind in BALANCINGS.items() if issubclass(kind, LossBalancing)]
MODULES = {"pcgrad": "torchjd", "cagrad": "scipy", "upgrad": "quadprog", "dualproj": "quadprog"}


def made(name: str, **options: Any) -> GradientBalancing:
    kind = BALANCINGS[name]
    for module in getattr(kind, "needs", ("scipy",) if name == "cagrad" else ()):
        pytest.importorskip(module)
    found = kind(**options, tasks=("a", "b", "c"), seed=1)
    assert isinstance(found, GradientBalancing)
    return found


def direction(name: str, gradients: Tensor, **options: Any) -> Tensor:
    """The update's gradient for gradients (T, N)."""
    gramian = gradients @ gradients.T
    found = made(name, **options).weights(["a", "b", "c"][: len(gradients)], gramian / gramian.diagonal().mean())
    return found @ gradients


CONFLICT = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)


def test_pcgrad_by_hand() -> None:
    """Each of two conflicting gradients loses its part along the other."""
    one, other = CONFLICT
    expected = (one - (one @ other) / (other @ other) * other) + (other - (one @ other) / (one @ one) * one)
    torch.testing.assert_close(direction("pcgrad", CONFLICT), expected)


def test_mgda_is_the_shortest_convex_combination() -> None:
    share = torch.tensor(0.6, dtype=torch.float64)  # minimises |s (1, 0) + (1 - s) (-1, 1)|: 5 s = 3
    expected = 2 * (share * CONFLICT[0] + (1 - share) * CONFLICT[1])
    torch.testing.assert_close(direction("mgda", CONFLICT), expected, rtol=0, atol=2e-3)


def test_nash_bargaining_solution() -> None:
    gradients = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    gramian = gradients @ gradients.T
    found = made("nash-mtl").weights(["a", "b", "c"], gramian)
    torch.testing.assert_close(gramian @ found, 1 / found, rtol=1e-4, atol=1e-4)
    assert bool((found > 0).all())


def test_imtl_projects_equally_on_every_task() -> None:
    gradients = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    update = direction("imtl-g", gradients)
    projected = gradients @ update / gradients.norm(dim=1)
    torch.testing.assert_close(projected, projected[:1].expand(3))


def test_cagrad_is_best_within_its_ball() -> None:
    """No direction of a fine grid of the ball serves the worse task better."""
    gradients = torch.tensor([[2.0, 0.0], [-1.0, 0.5]], dtype=torch.float64)
    mean = gradients.mean(0)
    assert torch.allclose(direction("cagrad", gradients, c=0.0), 2 * mean)
    update = direction("cagrad", gradients, c=0.5) * (1 + 0.5**2) / 2
    assert float((update - mean).norm()) == pytest.approx(0.5 * float(mean.norm()), rel=1e-5)
    angles = torch.linspace(0, 2 * math.pi, 5000, dtype=torch.float64)
    ball = mean + 0.5 * mean.norm() * torch.stack([angles.cos(), angles.sin()], 1)
    assert float((gradients @ update).min()) >= float((ball @ gradients.T).min(1).values.max()) - 1e-5


def test_gradient_norm_makes_norms_equal() -> None:
    gradients = torch.tensor([[3.0, 0.0], [0.0, 12.0]], dtype=torch.float64)
    torch.testing.assert_close(direction("gradient-norm", gradients), torch.tensor([6.0, 6.0], dtype=torch.float64))


@settings(max_examples=40)
@given(
    st.sampled_from(OF_GRADIENTS),
    st.lists(st.lists(st.floats(-3, 3).map(lambda x: round(x, 2)), min_size=4, max_size=4), min_size=1, max_size=3),
    st.sampled_from([1e-4, 1.0, 1e5]),
)
def test_what_every_one_of_gradients_keeps_to(name: str, rows: list[list[float]], scale: float) -> None:
    """Weights are finite, one task alone counts fully, and the losses' unit does not matter."""
    gradients = torch.tensor(rows, dtype=torch.float64)
    if float(gradients.norm(dim=1).min()) < 0.1:
        return
    update = direction(name, gradients)
    assert bool(update.isfinite().all())
    torch.testing.assert_close(direction(name, scale * gradients), scale * update, rtol=1e-3, atol=1e-3 * scale)
    if len(rows) == 1:
        factor = float(update @ gradients[0] / gradients[0].square().sum())
        torch.testing.assert_close(update, factor * gradients[0])
        assert 0.5 < factor < 2


def test_gradients_that_agree_are_left_alone() -> None:
    gradients = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    for name in ("pcgrad", "upgrad", "dualproj"):
        torch.testing.assert_close(direction(name, gradients), gradients.sum(0), rtol=1e-3, atol=1e-3)


def test_famo_evens_out_how_fast_losses_fall() -> None:
    """A loss that stands still gains weight over one that falls, as long as it does."""
    famo = Famo(tasks=("a", "b"))
    assert famo.weight("a", 2.0) == famo.weight("b", 1.0) == 1.0
    famo.end_iteration()
    for step in range(1, 20):
        given = {"a": famo.weight("a", 2.0), "b": famo.weight("b", 0.95**step)}
        famo.end_iteration()
    assert famo.shares["a"] > 0.6
    assert given["a"] * 2.0 > given["b"] * 0.95**19  # weights are of the losses' logarithms
    other = Famo(tasks=("a", "b"))
    other.load_state_dict(json.loads(json.dumps(famo.state_dict())))
    assert (other.weight("a", 1.0), other.shares) == (famo.weight("a", 1.0), famo.shares)
    with pytest.raises(CheckpointError, match="resume with the tasks"):
        Famo(tasks=("a",)).load_state_dict(famo.state_dict())


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def tree(root: Path, run: Path, name: str, *, accumulate: int = 1, update: str = "iteration", **options: Any) -> Any:
    found = device_tree(root, run, iterations=4, eval_every=4, save_every=2)
    found["optimizer"] |= {"update": update, "accumulate": accumulate}
    return found | ({"balancing": {"name": name, "options": options}} if name else {})


def trained(found: Mapping[str, Any], hook: TrainingHook | None = None, *, resume: bool = False) -> RunFolder:
    return RunFolder(train(configuration.parse(found), console=QUIET, hook=hook, resume=resume))


class Trunk:
    """The trunk's gradient of the first update, and the sum of those of the tasks with given weights."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights, self.sums, self.found = weights, dict[str, Tensor](), dict[str, Tensor]()

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        if not self.found:
            for name, gradient in gradients.items():
                self.sums[name] = self.sums.get(name, torch.zeros(())) + self.weights[task] * gradient

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        if not self.found:
            pairs = [
                pair
                for group in optimizer.param_groups
                for pair in zip(group["param_names"], group["params"], strict=True)
            ]
            self.found = {name: each.grad.clone() for name, each in pairs if name in self.sums}

    def after_step(self, iteration: int, optimizer: Optimizer) -> None: ...


@pytest.mark.parametrize("update", ["task", "iteration"])
def test_static_weights_are_factors_of_the_learning_rates(root: Path, tmp_path: Path, update: str) -> None:
    """A weight of 2 is what twice the learning rate of a task is, bit for bit."""
    weighed = trained(tree(root, tmp_path / "a", "static", update=update, weights={"snli_ve": 2.0}))
    plain = tree(root, tmp_path / "b", "", update=update)
    plain["tasks"]["snli_ve"]["learning_rate"] *= 2
    expected = last(trained(plain))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in last(weighed).items() if name in expected)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_update_is_of_the_weighted_sum(root: Path, tmp_path: Path, accumulate: int, monkeypatch: Any) -> None:
    chosen = dict(zip(tiny.TASKS, (1.0, 0.5, 2.0, 0.25, 3.0), strict=True))
    seen: list[Tensor] = []

    def weights(self: Any, tasks: list[str], gramian: Tensor) -> Tensor:
        seen.append(gramian)
        return torch.tensor([chosen[task] for task in tasks], dtype=torch.float64)

    monkeypatch.setattr(BALANCINGS["gradient-norm"], "weights", weights)
    hook = Trunk(chosen)
    run = trained(tree(root, tmp_path / "run", "gradient-norm", accumulate=accumulate), hook)
    assert hook.found and hook.found.keys() == hook.sums.keys()
    for name, gradient in hook.found.items():
        torch.testing.assert_close(gradient, hook.sums[name], rtol=1e-4, atol=1e-6)
    assert len(seen) == 4 // accumulate
    for gramian in seen:
        assert gramian.shape == (5, 5) and float(gramian.diagonal().mean()) == pytest.approx(1)
        assert float(torch.linalg.eigvalsh(gramian).min()) > -1e-6
    line = [line for line in run.logged() if line["kind"] == "step"][-1]
    assert line["weights"] == chosen and line["weighing"] >= 0


@pytest.mark.parametrize(
    ("name", "accumulate"), [*((name, 1) for name in ("famo", "uncertainty", "pcgrad")), ("nash-mtl", 3)]
)
def test_resuming_is_exact(root: Path, tmp_path: Path, name: str, accumulate: int) -> None:
    """From iteration 2, where the gradients of each task wait if they accumulate."""
    if name in MODULES:
        pytest.importorskip(MODULES[name])
    found = tree(root, tmp_path / "run", name, accumulate=accumulate)
    run = trained(found)
    expected = last(run)
    for file in run.saved()[-1].iterdir():
        file.unlink()
    run.saved()[-1].rmdir()
    resumed = last(trained(found, resume=True))
    assert resumed.keys() == expected.keys() and all(torch.equal(resumed[key], expected[key]) for key in expected)


@pytest.mark.parametrize("sharding", [False, True], ids=["whole models", "shared model"])
def test_two_processes_are_one(root: Path, tmp_path: Path, sharding: bool) -> None:
    pytest.importorskip("torchjd")
    alone = trained(tree(root, tmp_path / "alone", "pcgrad"))
    found = tree(root, tmp_path / "run", "pcgrad")
    found["training"]["sharding"] = sharding
    run = together(found)
    assert trace(run)[0] == pytest.approx(trace(alone.path)[0], abs=2e-5)
    for key, value in weights(run).items():
        if not key.endswith("key.bias") and key != "heads.alignment.bias":
            assert torch.allclose(value, weights(alone.path)[key], atol=2e-4), key


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"balancing": {"name": "pcgrat"}}, r'balancing.name\]: unknown balancing .pcgrat. \(did you mean "pcgrad"'),
        (
            {"balancing": {"name": "famo", "options": {"rat": 1}}},
            r"balancing.options\]: balancing .famo. has no option",
        ),
        (
            {"balancing": {"name": "cagrad", "options": {"c": 2.0}}},
            r"balancing.options.c\]: expected less than 1, .* -> .*--set balancing\.options\.c=0\.4$",
        ),
        ({"balancing": {"name": "static", "options": {"weights": {"vqq": 1.0}}}}, r"weights.vqq\]: no task 'vqq'"),
        (
            {"balancing": {"name": "nash-mtl"}},
            r"each task has an update of its own -> --set optimizer.update=iteration",
        ),
        (
            {"balancing": {"name": "famo"}, "schedule": {"name": "uncertainty"}},
            r"the schedule 'uncertainty' weighs loss",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_data_are_read(
    root: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    found = device_tree(root, tmp_path / "run") | {"data": str(tmp_path / "nothing")} | change
    with pytest.raises(ConfigError, match=words):
        train(configuration.parse(found), console=QUIET)


def test_a_missing_package_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        made_here = BALANCINGS["pcgrad"](tasks=("a",))
        made_here.check()
    told = f"pcgrad needs torchjd, which is not installed -> {install('balance')}, or choose another one"
    assert told in str(caught.value)


def test_every_one_has_weights_of_a_whole_run_in_sight() -> None:
    """Twelve tasks, one without a gradient of its own direction: no method fails or takes seconds."""
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((12, 30)))
    rows[5] = rows[4]
    gramian = rows @ rows.T
    for name in OF_GRADIENTS:
        found = made(name).weights([str(place) for place in range(12)], gramian / gramian.diagonal().mean())
        assert found.shape == (12,) and bool(found.isfinite().all()), name
