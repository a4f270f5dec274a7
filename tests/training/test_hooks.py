"""Observing training: what a hook is told, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from twelve import config as configuration
from twelve.errors import CheckpointError
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.training.state import TrainerState

TASKS = ("vqa", "snli_ve")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=6, val=2)


def parsed(root: Path, run: Path, accumulate: int) -> RunConfig:
    tree = tiny.tree(root, run)
    tree |= {"tasks": {task: tree["tasks"][task] for task in TASKS}, "sources": {}}
    tree["optimizer"] = tree.get("optimizer", {}) | {"accumulate": accumulate}
    tree["training"] |= {"iterations": 4, "save_every": 4, "eval_every": 4}
    return configuration.parse(tree)


class Recording:
    """Notes every call, and sums up the gradients of the batches between two updates."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []
        self.sums: dict[str, Tensor] = {}
        self.moved: list[float] = []
        self._before: dict[str, Tensor] = {}

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        self.calls.append((iteration, task))
        assert gradients and not any(name.startswith("heads") for name in gradients)
        for name, gradient in gradients.items():
            self.sums[name] = self.sums.get(name, torch.zeros(())) + gradient

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        self.calls.append((iteration, "before"))
        named = parameters(optimizer)
        for name, total in self.sums.items():
            torch.testing.assert_close(total, named[name].grad, rtol=1e-4, atol=1e-6)
        self.sums.clear()
        self._before = {name: parameter.detach().clone() for name, parameter in named.items()}

    def after_step(self, iteration: int, optimizer: Optimizer) -> None:
        self.calls.append((iteration, "after"))
        moved = [(now.detach() - self._before[name]).abs().sum() for name, now in parameters(optimizer).items()]
        self.moved.append(float(sum(moved)))


def parameters(optimizer: Optimizer) -> dict[str, Tensor]:
    groups = optimizer.param_groups
    return {name: each for group in groups for name, each in zip(group["param_names"], group["params"], strict=True)}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_hook_is_told_everything_and_changes_nothing(root: Path, tmp_path: Path, accumulate: int) -> None:
    hook, quiet = Recording(), Console(quiet=True)
    runs = []
    for name, given in (("without", None), ("with", hook)):
        run = RunFolder(train(parsed(root, tmp_path / name, accumulate), console=quiet, hook=given))
        steps = [line["losses"] for line in run.logged() if line["kind"] == "step"]
        runs.append((load_file(run.saved()[-1] / "tensors.safetensors"), steps))
    (plain, losses), (observed, others) = runs
    assert losses == others and plain.keys() == observed.keys()
    assert all(torch.equal(plain[name], observed[name]) for name in plain)
    expected: list[tuple[int, str]] = []
    for iteration in range(4):
        for task in TASKS:
            expected.append((iteration, task))
            if (iteration + 1) % accumulate == 0:
                expected += [(iteration, "before"), (iteration, "after")]
    assert hook.calls == expected and any(hook.moved)


class Seldom(Recording):
    """Wants the gradients of every second iteration."""

    def watches(self, iteration: int) -> bool:
        return iteration % 2 == 1

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        self.sums.clear()
        super().before_step(iteration, optimizer)


def test_a_selective_hook_is_told_the_gradients_that_it_wants(root: Path, tmp_path: Path) -> None:
    hook = Seldom()
    train(parsed(root, tmp_path / "run", 1), console=Console(quiet=True), hook=hook)
    assert [call for call in hook.calls if call[1] in TASKS] == [(each, task) for each in (1, 3) for task in TASKS]
    assert sum(call[1] == "after" for call in hook.calls) == 4 * len(TASKS)


def test_the_state_comes_back(root: Path) -> None:
    state, other = TrainerState(iteration=3, scores={"vqa": 0.5}, kept={"vqa": 0.25}), TrainerState(best=0.5)
    other.load_state_dict(state.state_dict())
    assert other == state and other.best == -float("inf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iteration": -1}, r"\[trainer.iteration\]: expected at least 0, found int -1"),
        ({"iteration": "3"}, r"\[trainer.iteration\]: expected an integer, found str '3'"),
        ({"best": float("nan")}, r"\[trainer.best\]"),
        ({"scores": {"vqa": float("inf")}}, r"\[trainer.scores.vqa\]: expected a finite number"),
        ({"extra": 1}, r"\[trainer\]: extra is unknown"),
        ({"kept": ...}, r"\[trainer\]: kept is missing"),
    ],
)
def test_a_damaged_state_is_named(change: dict[str, Any], words: str) -> None:
    saved = {key: value for key, value in (TrainerState().state_dict() | change).items() if value is not ...}
    with pytest.raises(CheckpointError, match=words):
        TrainerState(iteration=7).load_state_dict(saved)
