"""Released checkpoints: every name both ways, every misfit named, saved and loaded bit for bit."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from twelve.errors import CheckpointError, ConfigError
from twelve.model.checkpoints import (
    load_released,
    load_weights,
    own_name,
    read_released,
    read_released_config,
    released_name,
    write_released,
)
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.model.weights import check_finite

PAPER_HEADS = {
    "answer": {"kind": "answer", "size": 3129},
    "answer_gqa": {"kind": "answer", "size": 1533},
    "pair": {"kind": "pair", "size": 2},
    "alignment": {"kind": "alignment", "size": 1},
    "entailment": {"kind": "entailment", "size": 3},
    "region": {"kind": "region", "size": 1},
}


@pytest.fixture(scope="module", params=["public_multitask", "public_pretraining"])
def recording(request: pytest.FixtureRequest, goldens: Path) -> Path:
    return goldens / "model" / str(request.param)


def state_of(recording: Path) -> dict[str, Tensor]:
    return load_file(recording / "state.safetensors")


def config_of(recording: Path) -> dict[str, Any]:
    return dict(json.loads((recording / "meta.json").read_text())["config"])


def unused(name: str) -> bool:
    return ".q_dense" in name


def test_round_trip(recording: Path) -> None:
    state = state_of(recording)
    model = Twelve(read_released_config(config_of(recording), state))
    model.load_state_dict(read_released(state, model.config))
    written = write_released(model)
    assert written.keys() == state.keys()
    for name, value in state.items():
        assert written[name].shape == value.shape
        assert torch.equal(written[name], torch.zeros_like(value) if unused(name) else value), name
    wrapped = {f"module.{name}": value for name, value in state.items()}
    again = read_released(wrapped, model.config)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.items())


def test_every_released_name_is_ours_and_back(recording: Path) -> None:
    names = [name for name in state_of(recording) if not unused(name) and not name.endswith("decoder.weight")]
    ours = [own_name(name) for name in names]
    assert None not in ours and len(set(ours)) == len(names)
    assert [released_name(str(name)) for name in ours] == names


def test_paper_size_counts() -> None:
    """268,028,859 parameters; 560 names; 246,742,016 of them in the trunk, 11,020,800 of those unused."""
    with torch.device("meta"):
        model = Twelve(TwelveConfig(heads=PAPER_HEADS, pretraining=True, word_logit=True))
    written = {n: v for n, v in write_released(model).items() if n != "cls.predictions.decoder.weight"}
    assert len(written) + 1 == 560
    assert sum(value.numel() for value in written.values()) == 268_028_859
    assert sum(value.numel() for name, value in written.items() if name.startswith("bert.")) == 246_742_016
    assert sum(value.numel() for name, value in written.items() if unused(name)) == 11_020_800
    assert sum(parameter.numel() for parameter in model.parameters()) == 268_028_859 - 11_020_800


def test_names_of_the_optimizers_rules() -> None:
    assert released_name("heads.alignment.bias") == "vil_logit.bias"
    assert released_name("heads.answer_gqa.2.weight") == "vil_prediction_gqa.logit_fc.2.weight"
    assert released_name("connections.3.image.attention_output.norm.weight") == (
        "bert.encoder.c_layer.3.biOutput.LayerNorm1.weight"
    )
    assert released_name("heads.own.0.weight") == "vil_own.0.weight"
    assert released_name("heads.own.weight", {"own": "region"}) == "vision_own.weight"
    assert released_name("heads.region_b.weight", {"region_b": "region"}) == "vision_logit_b.weight"
    assert own_name("bert.pooler.dense.weight") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bert.t_pooler.dense.weight"), r"lacks 1 weights: bert\.t_pooler\.dense\.weight"),
        (lambda s: s.update({"bert.extra.weight": torch.zeros(1)}), r"1 unknown weights: bert\.extra\.weight"),
        (
            lambda s: s.update({"cls.predictions.bias": torch.zeros(3)}),
            r"cls\.predictions\.bias of shape .*, found \(3,\)",
        ),
        (
            lambda s: s.update({"cls.predictions.decoder.weight": s["cls.predictions.decoder.weight"] + 1}),
            "differs from bert.embeddings.word_embeddings",
        ),
    ],
)
def test_misfits_are_named(goldens: Path, change: Any, message: str) -> None:
    recording = goldens / "model" / "public_pretraining"
    state = state_of(recording)
    config = read_released_config(config_of(recording), state)
    change(state)
    with pytest.raises(CheckpointError, match=message):
        read_released(state, config)


def test_heads_the_configuration_does_not_have_are_refused(goldens: Path) -> None:
    recording = goldens / "model" / "public_multitask"
    state = state_of(recording)
    config = read_released_config(config_of(recording), state)
    config.heads.pop("answer_gqa")
    with pytest.raises(CheckpointError, match=r"6 unknown weights: vil_prediction_gqa"):
        read_released(state, config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("fast_mode", True), ("in_batch_pairs", True), ("with_coattention", False), ("visualization", True)],
        *[("fixed_v_layer", 2), ("fixed_t_layer", 1), ("objective", 1), ("model", "roberta")],
    ],
)
def test_switches_that_are_not_offered(goldens: Path, key: str, value: Any) -> None:
    tree = json.loads((goldens / "model" / "public_multitask" / "meta.json").read_text())["effective_config"]
    read_released_config(tree)
    with pytest.raises(ConfigError, match=f"expected {key} .*, the only supported value, found {value!r}"):
        read_released_config(tree | {key: value})
    with pytest.raises(ConfigError, match=r"fusion_metod.*fusion_method"):
        read_released_config(tree | {"fusion_metod": "sum"})


def test_left_out_keys_are_the_originals_defaults() -> None:
    config = read_released_config({"vocab_size": 30522, "pooling_method": "mul", "v_initializer_range": 0.02})
    assert (config.v_hidden_size, config.v_num_hidden_layers, config.bi_num_attention_heads) == (768, 3, 16)
    assert (config.t_biattention_id, config.v_biattention_id) == ([10, 11], [0, 1])
    assert not config.task_specific_tokens and config.fusion_method == "mul"


@pytest.mark.parametrize(
    ("key", "value"), [("task_specific_tokens", "no"), ("task_specific_tokens", 0), ("num_task_tokens", "x")]
)
def test_a_wrong_value_is_not_hidden_by_the_checkpoint(goldens: Path, tmp_path: Path, key: str, value: object) -> None:
    recording = goldens / "model" / "public_multitask"
    (tmp_path / "config.json").write_text(json.dumps(config_of(recording) | {key: value}))
    with pytest.raises(ConfigError, match=rf"config\.json: {key} must be"):
        read_released_config(tmp_path / "config.json", state_of(recording))


def test_released_files_become_a_model_folder(goldens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = goldens / "model" / "public_multitask"
    (tmp_path / "config.json").write_text(json.dumps(config_of(recording)))
    torch.save({f"module.{k}": v for k, v in state_of(recording).items()}, tmp_path / "pytorch_model.bin")
    model = load_released(tmp_path / "pytorch_model.bin", tmp_path / "config.json")
    assert (
        not model.training
        and model.config.heads == {key: PAPER_HEADS[key] for key in model.config.heads}
        and len(model.config.heads) == 6
    )
    model.save_pretrained(tmp_path / "saved")
    for opened in (Twelve.from_pretrained(tmp_path / "saved"), AutoModel.from_pretrained(tmp_path / "saved")):
        assert isinstance(opened, Twelve)
        state = opened.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    kept = (tmp_path / "saved" / "config.json").read_text()
    (tmp_path / "saved" / "config.json").write_text("{}")
    with monkeypatch.context() as patched:
        patched.setattr(PreTrainedModel, "from_pretrained", None)  # refused before a model of that size is built
        with pytest.raises(CheckpointError, match=r"lacks \d+ weights: .* -> use the configuration saved"):
            Twelve.from_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text(kept)

    damaged = load_file(tmp_path / "saved" / "model.safetensors")
    damaged["text.layers.0.intermediate.weigth"] = damaged.pop("text.layers.0.intermediate.weight")
    save_file(damaged, tmp_path / "saved" / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights: text\.layers\.0\.intermediate\.weight"):
        Twelve.from_pretrained(tmp_path / "saved")
    damaged["text.layers.0.intermediate.weight"] = damaged.pop("text.layers.0.intermediate.weigth")[:-1].clone()
    save_file(damaged, tmp_path / "saved" / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="another size for 1 weights"):
        Twelve.from_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        Twelve.from_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Twelve.from_pretrained(tmp_path / "saved")


def test_only_tensors_are_trusted(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "weights": torch.zeros(2)}, tmp_path / "a.bin")
    with pytest.raises(CheckpointError, match="expected only tensors"):
        load_weights(tmp_path / "a.bin")
    (tmp_path / "c.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "d.bin").write_bytes(b"")
    (tmp_path / "e.bin").write_bytes(b"junk" * 40)
    torch.save({"a": torch.zeros(300)}, tmp_path / "f.bin")
    (tmp_path / "f.bin").write_bytes((tmp_path / "f.bin").read_bytes()[:900])
    for name in ("c.safetensors", "d.bin", "e.bin", "f.bin"):
        with pytest.raises(CheckpointError, match="not a weights file"):
            load_weights(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such file"):
        load_weights(tmp_path / "g.bin")


class Program:
    """What a hostile pickle does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_a_program_is_not_run_and_nobody_is_told_to_trust_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": torch.zeros(2), "more": Program()}, "a.bin")
    Path("b.bin").write_bytes(pickle.dumps(Program()))
    Path("c.bin").write_bytes(b"cpathlib\nPath.touch\n(tR.")
    for name in ("a.bin", "b.bin", "c.bin"):
        with pytest.raises(CheckpointError) as caught:
            load_weights(name)
        assert "weights_only" not in str(caught.value) and str(caught.value).startswith(name)
    with pytest.raises(CheckpointError, match=r"found a reference to \S+, which could run code; nothing was run"):
        load_weights("a.bin")
    assert not Path("ran").exists()


def test_weights_are_finite(tmp_path: Path) -> None:
    check_finite({"large": torch.full((4,), 3e38), "row": torch.tensor(3)}, "x")  # finite, though their sum is not
    for number in (float("nan"), float("inf"), -float("inf")):
        torch.save({"good": torch.zeros(2), "bad": torch.tensor([0, number])}, tmp_path / "a.bin")
        with pytest.raises(CheckpointError, match=r"a\.bin \[bad\] contains numbers that are not finite"):
            load_weights(tmp_path / "a.bin")


def test_damaged_model_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_model.make(tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    name = next(iter(state))
    state[name].view(-1)[0] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"model \[{re.escape(name)}\] contains numbers that are not finite"):
        Twelve.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Program()))
    for opens in (Twelve, AutoModel):
        with pytest.raises(CheckpointError, match=r"no file named model\.safetensors"):
            opens.from_pretrained(folder)
    assert not Path("ran").exists()
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config\.json: expected a JSON object"):
        Twelve.from_pretrained(folder)


def test_heads_without_a_place_cannot_be_written() -> None:
    with torch.device("meta"):
        model = Twelve(TwelveConfig(heads={"mine": {"kind": "answer", "size": 3}}))
    with pytest.raises(CheckpointError, match="no place for head 'mine'"):
        write_released(model)


def test_initial_weights() -> None:
    """N(0, initializer_range) for Linear and Embedding, the padding row too; LayerNorm 1 and 0; biases 0."""
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 1, "v_num_hidden_layers": 1, "t_biattention_id": [0], "v_biattention_id": [0]}
    model = Twelve(TwelveConfig(**sizes, vocab_size=500, v_feature_size=64, heads=PAPER_HEADS, pretraining=True))
    for name, value in write_released(model).items():
        if unused(name):
            continue
        if name.endswith("bias"):
            assert not value.any(), name
        elif "LayerNorm" in name or "logit_fc.2" in name:
            assert torch.equal(value, torch.ones_like(value)), name
        elif value.numel() > 5000:
            assert abs(float(value.std()) / 0.02 - 1) < 0.05 and abs(float(value.mean())) < 0.001, name
    assert 0.01 < float(model.text.embedding.words.weight[0].detach().std()) < 0.03
