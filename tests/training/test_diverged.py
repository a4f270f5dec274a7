"""A run that stopped because a loss was not a number says so later, with a command that trains it again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from torch import Tensor
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import CheckpointError
from twelve.model.vilbert import Twelve
from twelve.report.next_steps import next_steps
from twelve.report.reading import read_run
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.unfinished import unfinished
from twelve.training.losses import NonFiniteLoss
from twelve.training.trainer import Trainer


@pytest.mark.parametrize(("rate", "iteration", "setting"), [(1000, 0, "4e-05"), (3e-5, 3, "3e-06")])
def test_the_remedy_trains_the_run(
    rate: float, iteration: int, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = tiny.make(tmp_path / "data", train=12, val=4), RunFolder(tmp_path / "run")
    tree = tiny.tree(root, run.path)
    tree["tasks"] = {"vqa": tree["tasks"]["vqa"] | {"learning_rate": rate}}
    tree["training"] |= {"iterations": 4, "save_every": 2, "eval_every": 4}
    tree["optimizer"] = {"head_learning_rate": 1e-5}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    loss = Trainer._loss

    def broken(self: Trainer, network: Any, name: str, batch: Any) -> Tensor:
        return loss(self, network, name, batch) * (float("nan") if self.state.iteration == iteration else 1)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_loss", broken)
        for option in ([], ["--continue"]):  # a resumed run stops for the same reason
            found = CliRunner().invoke(cli.app, ["train", str(tmp_path / "run.yaml"), *option]).exception
            assert isinstance(found, NonFiniteLoss) and sum("diverged" in str(line) for line in run.logged()) == 1
    with pytest.raises(CheckpointError, match="training stopped because a loss or a weight was not a number") as caught:
        model_folder(run.path)
    again = str(caught.value.remedy).removeprefix("train it with a lower learning rate: ")
    where = "" if iteration == 0 else f" --set run={run.path}-2"
    assert again == f"twelve train {run.config} --set tasks.vqa.learning_rate={setting}{where}"
    assert [step.commands for step in next_steps(read_run(run.path), [])] == [[again.replace(f"{tmp_path}/", "")]]
    trained = CliRunner().invoke(cli.app, shlex.split(again)[1:])
    assert trained.exit_code == 0, trained.exception
    other = RunFolder(f"{run.path}-2") if where else run
    assert model_folder(other.path) == other.model and other.diverged() is None


@pytest.mark.parametrize("iterations", [1, 4])
def test_weights_that_the_last_step_destroys_overwrite_nothing(
    iterations: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss follows that would tell. What the run has is from before: a model and a checkpoint, or neither."""
    root, run = tiny.make(tmp_path / "data", train=12, val=4), RunFolder(tmp_path / "run")
    tree = tiny.tree(root, run.path)
    tree["tasks"] = {"vqa": tree["tasks"]["vqa"] | {"learning_rate": 4e-5}}
    tree["training"] |= {"iterations": iterations, "save_every": 2, "eval_every": 2}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    update = Trainer._update

    def broken(self: Trainer, name: str) -> None:
        update(self, name)
        if self.state.iteration == iterations - 1:
            next(self.model.parameters()).data[0] = float("inf")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", broken)
        said = CliRunner().invoke(cli.app, ["train", str(tmp_path / "run.yaml")]).exception
    assert isinstance(said, NonFiniteLoss)
    assert said.problem == f"the weights are no longer finite numbers after iteration {iterations}"
    again = str(said.remedy).removeprefix("train it with a lower learning rate: ")
    assert again == run.diverged() and not run.trained.exists()
    assert [folder.name for folder in run.saved()] == [run.checkpoint(2).name] * (iterations == 4)
    assert not read_run(run.path).finished and "a lower rate: twelve train" in str(unfinished(run.path))
    if iterations == 4:
        Twelve.from_pretrained(run.model)  # refuses weights that are not finite
    else:
        assert not run.model.exists()
    trained = CliRunner().invoke(cli.app, shlex.split(again)[1:])
    assert trained.exit_code == 0, trained.exception
