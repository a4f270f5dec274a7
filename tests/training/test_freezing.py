"""Fine-tuning: what lies deep learns slowly, what is frozen does not learn and costs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_model
import torch
from rich.console import Console
from safetensors.torch import load_file

from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.runs.train import train
from twelve.settings import FreezeSettings
from twelve.training.freezing import depth_of, freeze, rates_by_depth
from twelve.training.optimizer import parameter_groups
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)
SIZES: dict[str, Any] = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "v_feature_size": 8,
    "v_hidden_size": 8,
    "v_num_hidden_layers": 2,
    "v_num_attention_heads": 2,
    "v_intermediate_size": 8,
    "bi_hidden_size": 8,
    "bi_num_attention_heads": 2,
    "t_biattention_id": [2, 3],
    "v_biattention_id": [0, 1],
    "heads": {"answer": {"kind": "answer", "size": 3}, "region": {"kind": "region", "size": 1}},
}


@pytest.fixture
def model() -> Twelve:
    return Twelve(TwelveConfig(**SIZES))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=6, val=2)


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "first")
    tree["training"] |= {"iterations": 2}
    return train(configuration.parse(tree), console=QUIET)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("heads.answer.0.weight", 0),
        ("poolers.text.bias", 0),
        ("text.layers.3.attention.query.weight", 1),
        ("text.layers.0.output.norm.bias", 4),
        ("text.embedding.words.weight", 5),
        ("text.embedding.tasks.weight", 0),
        ("image.layers.1.output.dense.bias", 1),
        ("image.embedding.norm.weight", 3),
        ("connections.0.text.attention.key.weight", 2),
        ("connections.0.image.attention.key.weight", 2),
        ("connections.1.image.output.dense.weight", 1),
    ],
)
def test_depth_is_counted_from_the_heads(model: Twelve, name: str, depth: int) -> None:
    assert depth_of(name, model.config) == depth


def test_rates_fall_with_depth(model: Twelve) -> None:
    groups = parameter_groups(
        model, base_lr=1.0, head_lr=8.0, factors={"text": 0.5}, by_name=rates_by_depth(model.config, 0.5)
    )
    rates = {name: group["lr"] for group in groups for name, _ in group["params"]}
    assert set(rates) == {name for name, _ in model.named_parameters()}
    assert rates["heads.answer.0.weight"] == 8 and rates["poolers.image.weight"] == 1
    assert rates["text.layers.3.output.dense.weight"] == 0.5**2
    assert rates["text.embedding.words.weight"] == 0.5 * 0.5**5
    assert rates["image.layers.0.output.dense.weight"] == 0.5**2


def test_what_is_frozen(model: Twelve) -> None:
    settings = FreezeSettings(text_layers=1, image_layers=0, names=("connections.1",))
    count = freeze(model, settings)
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    begins = ("text.embedding.", "text.layers.0.", "image.embedding.", "connections.1.")
    assert fixed == {
        name for name, _ in model.named_parameters() if name.startswith(begins) and "embedding.tasks" not in name
    }
    assert count == sum(model.get_parameter(name).numel() for name in fixed)
    freeze(model, FreezeSettings())
    assert all(parameter.requires_grad for parameter in model.parameters())


TOKENS = "text.embedding.tasks.weight"


@pytest.mark.parametrize(
    ("settings", "new", "trains"),
    [
        ({"text_layers": 4}, False, True),
        ({"text_layers": 0, "names": ("text.embedding.tasks",)}, True, False),
        ({"names": ("text",)}, True, False),
        ({"all_but_heads": True}, True, True),
        ({"all_but_heads": True}, False, False),
        ({"all_but_heads": True, "names": ("text.embedding",)}, True, False),
    ],
)
def test_task_tokens_freeze_only_when_named(model: Twelve, settings: dict[str, Any], new: bool, trains: bool) -> None:
    freeze(model, FreezeSettings(**settings), new_tasks=new)
    assert model.get_parameter(TOKENS).requires_grad == trains
    assert not model.get_parameter("text.embedding.words.weight").requires_grad


def test_a_new_tasks_token_trains_while_the_text_stream_does_not(root: Path, trained: Path, tmp_path: Path) -> None:
    settings = [f"init={trained}", "tasks=[vqa]", f"run={tmp_path / 'frozen'}", "freeze.text_layers=2"]
    settings += ["training.iterations=3", "training.eval_every=3", "training.patience=null"]
    run = train(configuration.load("configs/finetune.yaml", settings), console=QUIET)
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (trained, run))
    assert not torch.equal(before[TOKENS], after[TOKENS])
    assert torch.equal(before["text.embedding.words.weight"], after["text.embedding.words.weight"])


@pytest.mark.parametrize("key", ["text_layers=1", "image_layers=0", "all_but_heads=true"])
def test_random_layers_are_not_frozen(root: Path, tmp_path: Path, key: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps(tiny.tree(root, tmp_path / "run")))
    with pytest.raises(ConfigError, match=r"freeze\..*random.*leave it out \(--set (.*)\), or") as caught:
        configuration.load(file, [f"freeze.{key}"])
    remedy = str(caught.value).split("(--set ")[1].split(")")[0]
    configuration.load(file, [f"freeze.{key}", remedy])
    configuration.load(file, ["freeze.names=[image]"])


def test_no_graph_is_built_below_what_trains(model: Twelve) -> None:
    inputs = {"input_ids": torch.ones(2, 5, dtype=torch.int64), "task_rows": torch.ones(2, dtype=torch.int64)}
    images = {"features": torch.rand(2, 3, 8), "boxes": tiny_model.boxes(2, 3, 5)}
    freeze(model, FreezeSettings(text_layers=2, names=("text.embedding.tasks",)))
    assert not model.encode_texts(**inputs).states.requires_grad
    assert model.encode_images(**images).states.requires_grad
    freeze(model, FreezeSettings(all_but_heads=True))
    found = model(**inputs, **images)
    assert found.fused is not None and not found.fused.requires_grad and found.logits["answer"].requires_grad


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"text_layers": 5}, r"freeze\.text_layers\]: the stream has 4 layers, not 5"),
        ({"names": ("txt",)}, r'freeze\.names\]: no parameter\'s name begins with \'txt\' \(did you mean "text"'),
        ({"but": ("head",)}, r"freeze\.but"),
        ({"all_but_heads": True, "names": ("heads",)}, r"\[freeze\]: nothing is left to train"),
    ],
)
def test_what_cannot_be_frozen(model: Twelve, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        freeze(model, FreezeSettings(**settings))


def test_frozen_parts_stay_and_have_no_states(
    root: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers: list[Trainer] = []
    fit = Trainer.fit

    def kept(self: Trainer) -> None:
        trainers.append(self)
        fit(self)

    monkeypatch.setattr(Trainer, "fit", kept)
    settings = [f"init={trained}", "tasks=[vqa, snli_ve]", f"run={tmp_path / 'tuned'}", "freeze.all_but_heads=true"]
    settings += ["training.iterations=3", "training.eval_every=1", "training.patience=null"]
    run = train(configuration.load("configs/finetune.yaml", settings), console=QUIET)
    (trainer,) = trainers
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (trained, run))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith(("heads.answer", "heads.entailment")) for name in moved)
    assert all(p.grad is None for name, p in trainer.model.named_parameters() if not name.startswith("heads."))
    named = {p: name for name, p in trainer.model.named_parameters()}
    assert all(named[p].startswith("heads.") for p in trainer.optimizer.state)
    assert all(named[p].startswith("heads.") for group in trainer.optimizer.param_groups for p in group["params"])
