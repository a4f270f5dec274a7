"""What a run says of memory and time before and in its first steps, and that saying it changes nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from torch.autograd.graph import saved_tensors_hooks

from twelve import config as configuration
from twelve.data.own_files import FEW, too_few
from twelve.errors import ConfigError
from twelve.runs import announced
from twelve.runs.new_model import new_model
from twelve.runs.train import train
from twelve.training import memory
from twelve.training.devices import Devices
from twelve.training.eta import ENOUGH, Pace
from twelve.training.memory import Need, advice, need_of
from twelve.training.trainer import Trainer
from twelve.training.validation import in_words
from twelve.types.examples import Example

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def parsed(root: Path, folder: Path, **changes: Any) -> configuration.RunConfig:
    tree = tiny.tree(root, folder)
    for key, value in changes.items():
        tree[key] = tree.get(key, {}) | value
    tree["model"]["architecture"] |= {"hidden_dropout_prob": 0.1, "v_attention_probs_dropout_prob": 0.1}
    return configuration.parse(tree)


def trainer_of(config: configuration.RunConfig, folder: Path) -> Trainer:
    model, processor, data, known = new_model(config)
    return Trainer(config, data, model, processor, folder, Devices(config.training, folder), known)


def really_kept(trainer: Trainer, name: str) -> int:
    """Bytes that autograd keeps in a forward pass that is computed."""
    batch, model = trainer.streams[name].longest(), trainer.model.train()
    fixed = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in fixed:
            held[place] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**batch.inputs(), outputs=(batch.output,))
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


@pytest.mark.parametrize("name", tiny.TASKS)
def test_activations_are_those_of_a_real_step(root: Path, tmp_path: Path, name: str) -> None:
    trainer = trainer_of(parsed(root, tmp_path), tmp_path)
    kept, recomputed = memory.activations(trainer.model, trainer.streams[name].longest())
    assert kept == pytest.approx(really_kept(trainer, name), rel=0.05)
    assert 0 < recomputed < kept


def test_what_is_frozen_needs_nothing(root: Path, tmp_path: Path) -> None:
    whole = need_of(trainer_of(parsed(root, tmp_path / "a"), tmp_path))
    heads = need_of(
        trainer_of(
            parsed(root, tmp_path / "b", freeze={"names": ["text", "image", "connections", "poolers"]}), tmp_path
        )
    )
    assert whole.gradients == whole.parameters and whole.optimizer == 2 * whole.parameters
    assert whole.parameters == heads.parameters and heads.gradients < 0.3 * whole.gradients
    assert heads.activations < 0.2 * whole.activations
    assert whole.fits and whole.task == "flickr30k"  # four pairs an example


def test_what_does_not_fit_is_told_with_what_would_help(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_of(parsed(root, tmp_path), tmp_path)
    need = need_of(trainer)
    assert advice(need, trainer) == []
    short = replace(need, free=need.lasting + need.activations // 3)
    told = "\n".join(advice(short, trainer))
    assert (
        "will probably not fit" in told
        and "training.gradient_checkpointing=true" in told
        and "training.sharding=true" in told
    )
    assert re.search(r"tasks\.flickr30k\.batch_size=2 .*optimizer\.accumulate=4", told)
    told = "\n".join(advice(replace(need, free=need.lasting // 2), trainer))
    assert "freeze.text_layers" in told and "batch_size" not in told
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    train(parsed(root, tmp_path / "run", training={"iterations": 1}), console=Console(width=200))
    shown = capsys.readouterr().out
    assert shown.count("fewer than 20 often teach nothing; compare the test score") == 1
    assert re.search(r"parameters, 1 iteration, ", shown) and re.search(r"trained 1 iteration, \d+ pairs? in", shown)
    assert "memory for the model and a step: about" in shown and "will probably not fit" in shown


def losses(folder: Path) -> list[Any]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["losses"] for line in lines if line["kind"] == "step"]


def test_saying_so_changes_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"iterations": 3, "eval_every": 3}
    train(parsed(root, tmp_path / "told", training=short), console=QUIET)
    assert len(losses(tmp_path / "told")) == 3
    monkeypatch.setattr(announced, "need_of", lambda trainer: Need(0, 0, 0, 0, 0, "", 1, 1))
    train(parsed(root, tmp_path / "silent", training=short), console=QUIET)
    assert losses(tmp_path / "told") == losses(tmp_path / "silent")


def test_free_memory_and_scores_are_told_in_few_words() -> None:
    need = Need(0, 0, 0, 0, 0, "a", 1, 22_100_000_000)
    assert str(need).endswith("; 22.1 GB are free")
    assert in_words({"drink": 2 / 3, "b": 1.0}) == "validation: drink 66.7% b 100.0%"


def test_few_training_examples_are_told_once() -> None:
    (line,) = too_few({"Drink": 12, "Food": 1, "Cars": FEW})
    assert line.startswith("Drink has 12 training examples, Food has 1 training example: fewer than 20")
    assert too_few({"Cars": FEW}) == []


def test_training_prints_how_many_images_and_examples_it_holds_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tiny.tree(root, tmp_path / "run") | {"val_fraction": 0.2}
    tree["tasks"] = {"refcoco": tree["tasks"]["refcoco"]}
    tree["training"] |= {"iterations": 1, "eval_every": 1, "save_every": 1}
    made = train(configuration.parse(tree), console=Console(width=200))
    held = json.loads((made / "validation_images.json").read_text())["validation"]
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "training examples" in line]
    assert re.match(rf"RefCOCO: \d+ training examples of \d+ images?, \d+ validation examples? of {len(held)} im", said)
    examples = [Example(str(k), "", (f"a/{min(k, 2)}",), None, "a") for k in range(4)]
    assert announced.sizes("training", examples) == "4 training examples of 3 images"
    assert announced.sizes("validation", examples[:1]) == "1 validation example of 1 image"


def test_the_pace_is_told_once_without_the_first_iteration() -> None:
    pace, said = Pace(1000, {"a": 3000.0}), []
    for iteration in range(40):
        pace.step("a", 1.0, 10)
        if found := pace.iteration(60.0 if iteration == 0 else 0.2):
            said.append((iteration, found))
    # 989 iterations of 0.2 s are left, and 3000 examples at a third of 0.1 s each
    assert said == [(ENOUGH, "0.2 s per iteration: about 4:57 left (1,000 iterations and validations)")]
    stopping = Pace(12, {}, stops=True)
    assert "validations, less if tasks stop)" in str([stopping.iteration(20.0) for _ in range(3)][-1])


def test_slow_iterations_are_told_after_two_and_short_runs_not_at_all() -> None:
    slow, short = Pace(12, {}), Pace(2 * ENOUGH, {})
    assert [bool(slow.iteration(20.0)) for _ in range(5)] == [False, False, True, False, False]
    assert not any(short.iteration(1.0) for _ in range(2 * ENOUGH))


def test_a_new_model_is_refused_where_another_one_is_named(root: Path, tmp_path: Path) -> None:
    """It would have random weights, and the sizes of a default."""
    config = parsed(root, tmp_path / "run", model={"init": "runs/base"})
    with pytest.raises(ConfigError, match=r"model.init.*starts from no other model.*train.beginning\(config\)"):
        new_model(config)
