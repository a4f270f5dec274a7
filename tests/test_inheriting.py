"""Configurations that go on from a run: what they take from it, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelve import config
from twelve.errors import ConfigError
from twelve.runs.train import beginning

FINETUNE = "configs/finetune.yaml"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run on three tasks."""
    tree = {
        "run": "/r",
        "data": "/d",
        "sources": {"refcoco": "flickr30k"},
        "val_fraction": 0.2,
        "seed": 7,
        "tasks": {
            "vqa": {"batch_size": 5, "learning_rate": 0.003, "test_split": "val"},
            "refcoco": {"batch_size": 6, "test_split": "val"},
            "snli_ve": {"test_split": "dev"},
        },
        "optimizer": {"head_learning_rate": 0.01, "bias_correction": True},
        "training": {"iterations": 12},
    }
    config.parse(tree).write(tmp_path / "run" / "config.yaml")
    return tmp_path / "run"


@pytest.mark.parametrize("key", ["init", "model.init"])
def test_fine_tuning_needs_a_run_and_a_task_alone(run: Path, key: str) -> None:
    found = config.load(FINETUNE, [f"{key}={run}", "tasks=[vqa]"])
    assert found.model.init == str(run) and list(found.tasks) == ["vqa"]
    assert (found.data, found.seed, found.val_fraction, found.sources) == ("/d", 7, 0.2, {"refcoco": "flickr30k"})
    assert found.tasks["vqa"].batch_size == 5 and found.tasks["vqa"].test_split == "val"
    assert found.optimizer.head_learning_rate == 0.01 and found.optimizer.bias_correction
    assert found.optimizer.layer_decay == 0.9  # of the file
    assert found.training.iterations is None and found.run == "runs/finetuned"


def test_the_model_in_a_run_stands_for_the_run(run: Path) -> None:
    assert config.load(FINETUNE, [f"init={run / 'model'}"]).data == "/d"


def test_what_is_set_counts(run: Path) -> None:
    found = config.load(FINETUNE, [f"init={run}", "tasks={vqa: {batch_size: 2}, gqa: {}}", "seed=1", "data=e"])
    assert (found.data, found.seed, found.val_fraction) == (
        "e",
        1,
        config.RunConfig.model_fields["val_fraction"].default,
    )
    found = config.load(FINETUNE, [f"init={run}", "tasks={vqa: {batch_size: 2}, gqa: {}}", "seed=1"])
    assert (found.data, found.seed, found.val_fraction) == ("/d", 1, 0.2)
    assert found.tasks["vqa"].batch_size == 2 and found.tasks["vqa"].learning_rate == 0.003
    assert found.tasks["gqa"].batch_size is None


def test_growing_replays_every_task_of_the_run(run: Path) -> None:
    found = config.load("configs/grow.yaml", [f"init={run}", "tasks=[nlvr2]"])
    assert list(found.tasks) == ["vqa", "refcoco", "snli_ve", "nlvr2"]
    assert found.replay == ("vqa", "refcoco", "snli_ve") and found.tasks["refcoco"].batch_size == 6
    found = config.load("configs/grow.yaml", [f"init={run}", "tasks=[nlvr2]", "replay=[snli_ve]"])
    assert list(found.tasks) == ["snli_ve", "nlvr2"] and found.replay == ("snli_ve",)


def test_what_was_inherited_is_written_and_needs_the_run_no_more(run: Path, tmp_path: Path) -> None:
    found = config.load("configs/grow.yaml", [f"init={run}", "tasks=[nlvr2]"])
    found.write(tmp_path / "config.yaml")
    (run / "config.yaml").unlink()
    assert config.load(tmp_path / "config.yaml").absolute() == found.absolute()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["init=nowhere"], r"nowhere \[model\.init\]: no such folder"),
        (["init={run}n"], r'no such folder \(did you mean ".*/run"\?\)'),
        (["init={run}", "replay=[vqa]"], r"\[replay\]: every task is replayed"),
        (["init={run}", "replay=[vqaa]"], r"\[tasks\.vqaa\]: unknown name"),
        (["init={run}", "tasks=3"], r"\[tasks\]"),
        (["init={run}", "freeze.text_layers=-1"], r"freeze\.text_layers"),
        (["init={run}", "optimizer.layer_decay=2"], r"optimizer\.layer_decay"),
        (["model.init=null", "data=d", "replay=[snli_ve]"], r"\[replay\]: a new model has nothing to replay"),
    ],
)
def test_mistakes(run: Path, settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.load(FINETUNE, [setting.format(run=run) for setting in settings])


def test_a_missing_start_is_told_the_folder_beside_it(run: Path) -> None:
    begun = config.load(FINETUNE, [f"init={run}s", "data=d", "tasks=[vqa]"])
    with pytest.raises(ConfigError, match=rf'no such folder \(did you mean "{run}"\?\)'):
        beginning(begun)
