"""Initialization of the text layers from a pretrained encoder of BERT's architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from twelve.errors import CheckpointError
from twelve.io.hub import inside, resolve
from twelve.io.json_file import read_object
from twelve.model.names import released_name
from twelve.model.weights import load_weights, plain

if TYPE_CHECKING:
    from twelve.model.vilbert import Twelve

_ENCODER_FILES = ("config.json", "model.safetensors", "pytorch_model.bin")
_ENCODER_SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size"),
)
_ENCODER_FIXED: Mapping[str, Any] = {
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "is_decoder": False,
}
_COMPLETE = "use the encoder's complete config.json"


def text_config_from(source: str | Path) -> dict[str, Any]:
    """Text fields of :class:`TwelveConfig` from an encoder (a folder, ``package:MODULE``, or a hub name).

    Raises:
        CheckpointError: it does not have BERT's architecture, or lacks a size.
    """
    file = inside(resolve(source, *_ENCODER_FILES), "config.json")
    tree = read_object(file, remedy=_COMPLETE)
    if tree.get("model_type") != "bert":
        raise CheckpointError(
            f"expected a text encoder of type 'bert', found {tree.get('model_type')!r}",
            file=file,
            remedy="choose an encoder of BERT's architecture",
        )
    for key, wanted in _ENCODER_FIXED.items():
        if tree.get(key, wanted) not in (wanted, None):
            raise CheckpointError(
                f"expected a text encoder with {key} {wanted!r}, found {tree[key]!r}",
                file=file,
                remedy="choose an encoder of BERT's architecture",
            )
    missing = [key for key in _ENCODER_SIZES if key not in tree]
    if missing:
        raise CheckpointError(f"lacks {', '.join(missing)}", file=file, remedy=_COMPLETE)
    return {key: tree[key] for key in _ENCODER_SIZES}


def load_text_encoder(model: Twelve, source: str | Path) -> None:
    """Initialize the text stream from an encoder of BERT's architecture, leaving the rest of the model unchanged.

    If the encoder has more layers or positions than the text stream, the first ones are used.

    Raises:
        CheckpointError: its type, sizes or weights do not fit; the error names both values.
    """
    folder = resolve(source, *_ENCODER_FILES)
    sizes = text_config_from(source)
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "hidden_act"):
        _must_fit(folder, key, sizes[key], getattr(model.config, key), sizes[key] == getattr(model.config, key))
    for key in ("num_hidden_layers", "max_position_embeddings", "type_vocab_size"):
        _must_fit(folder, key, sizes[key], getattr(model.config, key), sizes[key] >= getattr(model.config, key))
    name = next((name for name in _ENCODER_FILES[1:] if (folder / name).is_file()), _ENCODER_FILES[1])
    file = inside(folder, name)
    state = plain(load_weights(file))
    state = {name if name.startswith("bert.") else f"bert.{name}": value for name, value in state.items()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            role = model.trunk.counterpart(name)
            if not role.startswith("text.") or name.startswith(f"{model.trunk.tokens}."):
                continue
            theirs = released_name(role)
            if theirs not in state:
                raise CheckpointError(f"the encoder lacks {theirs}", file=file, remedy="use its complete weights")
            value = state[theirs]
            if name in ("text.embedding.positions.weight", "text.embedding.segments.weight"):
                value = value[: len(parameter)]
            _must_fit(file, theirs, tuple(value.shape), tuple(parameter.shape), value.shape == parameter.shape)
            parameter.copy_(value)


def _must_fit(file: Path, what: str, theirs: object, ours: object, fits: bool) -> None:
    if not fits:
        raise CheckpointError(
            f"the encoder's {what} is {theirs}, but the text stream's is {ours}",
            file=file,
            remedy="set the model's sizes to those of its text encoder",
        )
