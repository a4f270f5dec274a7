"""Reading and writing released checkpoints: weights and configurations.

Checkpoints contain ``biOutput.q_dense1`` and ``.q_dense2``, which nothing uses. They are dropped when reading and
written as zeros, so that the original classes can load files from :func:`write_released`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twelve.errors import CheckpointError, ConfigError, found_in, nearest
from twelve.io.json_file import read_object
from twelve.model.config import TwelveConfig
from twelve.model.encoder import load_text_encoder, text_config_from
from twelve.model.names import HEADS, is_kind, own_name, released_name
from twelve.model.settings import defaults
from twelve.model.vilbert import Twelve
from twelve.model.weights import load_weights, plain

__all__ = [
    "load_released",
    "load_text_encoder",
    "load_weights",
    "own_name",
    "read_released",
    "read_released_config",
    "released_name",
    "text_config_from",
    "write_released",
]

_OWN = "use the configuration released with the checkpoint"
TIED, WORDS = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"
_UNUSED = re.compile(r"bert\.encoder\.c_layer\.\d+\.biOutput\.q_dense[12]\.(weight|bias)")

# Keys of the original's configuration: those without effect on the model, those supported only at their default, and
# the defaults of keys that a file omits.
_IGNORED = frozenset(
    {"pooling_method", "v_initializer_range", "num_labels", "num_negative", "bi_intermediate_size", "bi_attention_type"}
)
_UNSUPPORTED: Mapping[str, Any] = {
    **{"fast_mode": False, "in_batch_pairs": False, "with_coattention": True, "visualization": False},
    **{"fixed_v_layer": 0, "fixed_t_layer": 0, "objective": 0, "model": "bert"},
}
_DEFAULTS: Mapping[str, Any] = {
    **{"v_hidden_size": 768, "v_num_hidden_layers": 3, "v_num_attention_heads": 12, "v_intermediate_size": 3072},
    **{"bi_num_attention_heads": 16, "v_biattention_id": [0, 1], "t_biattention_id": [10, 11]},
    **{"task_specific_tokens": False},
}


def read_released(source: Mapping[str, Tensor] | str | Path, config: TwelveConfig) -> dict[str, Tensor]:
    """Convert a released checkpoint (or its tensors) to a state dict for a :class:`Twelve` with ``config``.

    Raises:
        CheckpointError: a weight is missing, unknown or of another shape (the error names it), or the word decoder is
            not tied to the word embedding.
    """
    file = source if isinstance(source, str | Path) else None
    state = plain(load_weights(source) if isinstance(source, str | Path) else source)
    if TIED in state and WORDS in state and not torch.equal(state[TIED], state[WORDS]):
        raise CheckpointError(f"{TIED} differs from {WORDS}", file=file, remedy="use a checkpoint with tied weights")
    with torch.device("meta"):
        wanted = Twelve(config).state_dict()
    found: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        if name == TIED or _UNUSED.fullmatch(name):
            continue
        ours = own_name(name)
        if ours is None or ours not in wanted:
            unknown.append(name)
        elif value.shape != wanted[ours].shape:
            raise CheckpointError(
                f"expected {name} of shape {tuple(wanted[ours].shape)}, found {tuple(value.shape)}",
                file=file,
                remedy="use the configuration that belongs to the checkpoint",
            )
        else:
            found[ours] = value
    missing = [released_name(name, kinds_of(config)) for name in wanted if name not in found]
    for what, names in (("lacks {} weights", missing), ("has {} unknown weights", unknown)):
        if names:
            raise CheckpointError(
                f"the checkpoint {what.format(len(names))}: {', '.join(sorted(names)[:5])}",
                file=file,
                remedy="use the configuration that belongs to the checkpoint (heads, task tokens, dynamic attention)",
            )
    return found


def write_released(model: Twelve) -> dict[str, Tensor]:
    """The model's weights under the released names, including the tied decoder and the unused projections.

    Raises:
        CheckpointError: the released format has no place for a head or for the trunk.
    """
    if not model.trunk.released:
        raise CheckpointError(
            f"the released format has no place for trunk {model.config.trunk!r}",
            remedy='use a model with trunk "two_stream"',
        )
    if model.contrast is not None:
        raise CheckpointError(
            "the released format has no place for the contrast head",
            remedy="use the run that the head was added to, or continue from this one without contrast",
        )
    kinds = kinds_of(model.config)
    for key, kind in kinds.items():
        if not is_kind(key, kind):
            raise CheckpointError(
                f"the released format has no place for head {key!r} of kind {kind!r}",
                remedy=f"rename it to {kind} or {kind}_SUFFIX",
            )
    state = {released_name(name, kinds): value.detach().clone() for name, value in model.state_dict().items()}
    if model.pretraining is not None:
        state[TIED] = state[WORDS].clone()  # safetensors rejects two names for one storage
    for index in range(len(model.config.t_biattention_id)):
        for side in (1, 2):
            prefix = f"bert.encoder.c_layer.{index}.biOutput"
            for part in ("weight", "bias"):
                state[f"{prefix}.q_dense{side}.{part}"] = torch.zeros_like(state[f"{prefix}.dense{side}.{part}"])
    return state


def kinds_of(config: TwelveConfig) -> dict[str, str]:
    """Kind of each head by its key."""
    return {key: head["kind"] for key, head in config.heads.items()}


# --- configurations ---------------------------------------------------------------------------------------------
def read_released_config(
    source: Mapping[str, Any] | str | Path, state: Mapping[str, Tensor] | None = None, **changes: Any
) -> TwelveConfig:
    """Read the configuration of a released model.

    Args:
        source: the released JSON file or its content.
        state: the checkpoint's tensors, which determine the heads, their sizes, and whether there are task tokens (a
            command-line switch in the original).
        changes: fields to override.

    Raises:
        ConfigError: a key is unknown, or a switch is unsupported.
    """
    file = source if isinstance(source, str | Path) else None
    tree = dict(read_object(Path(source), ConfigError, remedy=_OWN) if isinstance(source, str | Path) else source)
    ours = set(TwelveConfig().to_dict()) & _fields()
    fields: dict[str, Any] = dict(_DEFAULTS)
    for key, value in tree.items():
        if key in ours:
            fields[key] = value
        elif key in _UNSUPPORTED:
            if value != _UNSUPPORTED[key]:
                raise ConfigError(
                    f"expected {key} {_UNSUPPORTED[key]!r}, the only supported value, found {value!r}",
                    file=file,
                    remedy="use a checkpoint trained with that value",
                )
        elif key not in _IGNORED:
            known = ours | set(_UNSUPPORTED) | _IGNORED
            raise ConfigError(f"unknown setting {key!r}{nearest(key, known)}", file=file, remedy="correct its name")
    if state is not None:
        with found_in(file) if file is not None else nullcontext():
            TwelveConfig(**fields)  # before the checkpoint's values hide wrong ones
        shown = _fields_from_state(plain(state))
        if fields["task_specific_tokens"] and not shown["task_specific_tokens"]:
            raise CheckpointError(
                "the configuration has task tokens, but the checkpoint has none",
                file=file,
                remedy=_OWN,
            )
        fields |= shown
    return TwelveConfig(**(fields | changes))


def _fields() -> set[str]:
    return set(defaults()) - {"heads", "pretraining"}


def _fields_from_state(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Heads and task tokens according to the checkpoint's tensors."""
    heads: dict[str, dict[str, Any]] = {}
    for name, value in state.items():
        match = re.fullmatch(r"heads\.(([a-z]+)(?:_\w+)?)(?:\.(\d+))?\.bias", own_name(name) or "")
        if match and match[2] in HEADS and (match[3] is None or match[3] == "3"):
            heads[match[1]] = {"kind": match[2], "size": len(value)}
    tokens = state.get("bert.embeddings.task_embeddings.weight")
    return {
        "heads": heads,
        "pretraining": "cls.predictions.bias" in state,
        "word_logit": "linguisic_logit.weight" in state,
        "task_specific_tokens": tokens is not None,
        "num_task_tokens": TwelveConfig().num_task_tokens if tokens is None else len(tokens),
    }


def load_released(weights: str | Path, config: str | Path) -> Twelve:
    """Load a released checkpoint and its JSON configuration as a model.

    Raises:
        CheckpointError, ConfigError: the two do not match, or need an unsupported feature.
    """
    state = load_weights(weights)
    built = Twelve(read_released_config(config, state))
    with found_in(weights):
        built.load_state_dict(read_released(state, built.config))
    built.eval()  # type: ignore[no-untyped-call, unused-ignore]
    return built
