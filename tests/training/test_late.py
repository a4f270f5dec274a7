"""What only a GPU needs, on a CPU: no step waits for its loss, a loss that is not finite still changes nothing, and
layers can be compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from twelve import config as configuration
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.training.building import set_layers
from twelve.training.devices import Devices
from twelve.training.losses import NonFiniteLoss
from twelve.training.trainer import Trainer
from twelve.training.unused import unused

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=6, val=2)


def parsed(root: Path, run: Path, **training: Any) -> RunConfig:
    tree = tiny.tree(root, run)
    tree |= {"tasks": {task: tree["tasks"][task] for task in ("vqa", "snli_ve")}, "sources": {}}
    tree["training"] |= {"iterations": 6, "save_every": 2, "eval_every": 6, "log_every": 3, "threads": 1} | training
    return configuration.parse(tree)


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(train(parsed(root, tmp_path_factory.mktemp("plain") / "run"), console=QUIET))


def test_the_same_run(root: Path, plain: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Devices, "late", True)
    run = RunFolder(train(parsed(root, tmp_path / "run"), console=QUIET))
    lines = [[line for line in each.logged() if line["kind"] == "step"] for each in (plain, run)]
    assert [(line["iteration"], line["losses"]) for line in lines[0]] == [
        (line["iteration"], line["losses"]) for line in lines[1]
    ]
    ours, theirs = (load_file(each.saved()[-1] / "tensors.safetensors") for each in (run, plain))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_loss_that_is_not_finite_changes_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed before the next checkpoint, and parameters and moments are those that noticing at once leaves."""
    found: list[Trainer] = []
    loss = Trainer._loss

    def broken(self: Trainer, network: Any, name: str, batch: Any) -> Tensor:
        found[-1] = self
        right = loss(self, network, name, batch)
        return right * float("nan") if (self.state.iteration, name) == (4, "snli_ve") else right

    monkeypatch.setattr(Trainer, "_loss", broken)
    for late in (False, True):
        monkeypatch.setattr(Devices, "late", late)
        run = RunFolder(tmp_path / f"late {late}")
        found.append(None)  # type: ignore[arg-type]  # its trainer is kept here
        with pytest.raises(NonFiniteLoss, match="the loss of snli_ve is nan in iteration 4, step 9"):
            train(parsed(root, run.path, iterations=12, log_every=6), console=QUIET)
        assert found[-1].state.iteration == (6 if late else 4)
        assert run.saved()[-1].name == "step-0000004"
    at_once, late_one = (dict(trainer.model.named_parameters()) for trainer in found)
    assert all(torch.equal(at_once[name], late_one[name]) for name in at_once)
    first, second = (trainer.optimizer.state_dict()["state"] for trainer in found)
    assert all(torch.equal(first[k][moment], second[k][moment]) for k in first for moment in ("exp_avg", "exp_avg_sq"))


def built(root: Path, run: Path) -> Trainer:
    """A trainer after one iteration."""
    found, init = list[Trainer](), Trainer.__init__

    def kept(self: Trainer, *given: Any, **options: Any) -> None:
        init(self, *given, **options)
        found.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "__init__", kept)
        train(parsed(root, run, iterations=1, save_every=1), console=QUIET)
    found[0].model.train()
    return found[0]


def test_compiled_layers_train_the_same(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the last stage of torch.compile, the C++ compiler, which takes minutes; the graphs are the same."""
    trainer = built(root, tmp_path / "run")
    batch, compiled, own = trainer.streams["vqa"].typical(), list[str](), torch.nn.Module.compile

    def traced(self: torch.nn.Module, **options: Any) -> None:
        compiled.append(type(self).__name__)
        own(self, backend="aot_eager", **options)  # type: ignore[no-untyped-call]

    def gradients() -> dict[str, Tensor]:
        trainer.model.zero_grad()
        torch.manual_seed(0)
        trainer._loss(trainer.model, "vqa", batch).backward()  # type: ignore[no-untyped-call]
        return {name: each.grad for name, each in trainer.model.named_parameters() if each.grad is not None}

    before = gradients()
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    set_layers(trainer.model, trainer.config.training.model_copy(update={"compile": True}))
    after = gradients()
    assert set(compiled) == {"Block", "ImageLayer"} and before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=1e-6)


def test_what_a_step_leaves_out(root: Path, tmp_path: Path) -> None:
    """As the meta device finds it, a real step does it."""
    trainer = built(root, tmp_path / "run")
    for name, stream in trainer.streams.items():
        batch = stream.typical()
        trainer.model.zero_grad()
        trainer._loss(trainer.model, name, batch).backward()  # type: ignore[no-untyped-call]
        idle = {name for name, each in trainer.model.named_parameters() if each.requires_grad and each.grad is None}
        assert idle and unused(trainer.model, batch) == idle
