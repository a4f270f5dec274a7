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
from twelve.report.next_steps import next_steps
from twelve.report.reading import read_run
from twelve.run_folder import RunFolder, model_folder
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
    with pytest.raises(CheckpointError, match="training stopped because a loss was not a number") as caught:
        model_folder(run.path)
    again = str(caught.value.remedy).removeprefix("train it with a lower learning rate: ")
    where = "" if iteration == 0 else f" --set run={run.path}-2"
    assert again == f"twelve train {run.config} --set tasks.vqa.learning_rate={setting}{where}"
    assert [step.commands for step in next_steps(read_run(run.path), [])] == [[again.replace(f"{tmp_path}/", "")]]
    trained = CliRunner().invoke(cli.app, shlex.split(again)[1:])
    assert trained.exit_code == 0, trained.exception
    other = RunFolder(f"{run.path}-2") if where else run
    assert model_folder(other.path) == other.model and other.diverged() is None
