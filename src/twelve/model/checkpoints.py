"""The released checkpoints' names and ours, in one table read both ways; and BERT encoders for the text stream.

Names and shapes as in facebookresearch/vilbert-multi-task (MODEL.md section 2). ``biOutput.q_dense1`` and ``.q_dense2``
exist there but nothing ever reads them: they are dropped when reading and written as zeros, so that the original
classes load what :func:`write_released` writes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from twelve.errors import CheckpointError, ConfigError, nearest
from twelve.model.config import TwelveConfig
from twelve.model.sources import read_json, resolve
from twelve.model.vilbert import Twelve

_STREAM = (
    *((f"attention.self.{part}", f"attention.{part}") for part in ("query", "key", "value")),
    ("attention.output.dense", "attention_output.dense"),
    ("attention.output.LayerNorm", "attention_output.norm"),
    ("intermediate.dense", "intermediate"),
    ("output.dense", "output.dense"),
    ("output.LayerNorm", "output.norm"),
)
_DIRECTIONS = tuple(
    pair
    # Released: 1 is the visual stream, 2 the text; each query meets the other stream's keys and values.
    for stream, letter, own, other in (("text", "t", 2, 1), ("image", "v", 1, 2))
    for pair in (
        (f"biattention.query{own}", f"{stream}.attention.query"),
        (f"biattention.key{other}", f"{stream}.attention.key"),
        (f"biattention.value{other}", f"{stream}.attention.value"),
        (f"biOutput.dense{own}", f"{stream}.attention_output.dense"),
        (f"biOutput.LayerNorm{own}", f"{stream}.attention_output.norm"),
        (f"{letter}_intermediate.dense", f"{stream}.intermediate"),
        (f"{letter}_output.dense", f"{stream}.output.dense"),
        (f"{letter}_output.LayerNorm", f"{stream}.output.norm"),
    )
)
HEADS: Mapping[str, tuple[str, str]] = {
    "answer": ("vil_prediction@", "logit_fc"),
    "pair": ("vil_binary_prediction@", "logit_fc"),
    "alignment": ("vil_logit@", ""),
    "entailment": ("vil_tri_prediction@", ""),
    "region": ("vision_logit@", ""),
}
"""Kind of a head -> name in the released files, and what stands between it and its layers."""

TABLE: tuple[tuple[str, str], ...] = (
    ("bert.embeddings.word_embeddings", "text.embedding.words"),
    ("bert.embeddings.position_embeddings", "text.embedding.positions"),
    ("bert.embeddings.token_type_embeddings", "text.embedding.segments"),
    ("bert.embeddings.task_embeddings", "text.embedding.tasks"),
    ("bert.embeddings.LayerNorm", "text.embedding.norm"),
    ("bert.v_embeddings.image_embeddings", "image.embedding.features"),
    ("bert.v_embeddings.image_location_embeddings", "image.embedding.boxes"),
    ("bert.v_embeddings.LayerNorm", "image.embedding.norm"),
    *((f"bert.encoder.layer.#.{theirs}", f"text.layers.#.{ours}") for theirs, ours in _STREAM),
    *((f"bert.encoder.v_layer.#.{theirs}", f"image.layers.#.{ours}") for theirs, ours in _STREAM),
    ("bert.encoder.v_layer.#.attention.self.dyLinear_q", "image.layers.#.query_gate"),
    ("bert.encoder.v_layer.#.attention.self.dyLinear_k", "image.layers.#.key_gate"),
    *((f"bert.encoder.c_layer.#.{theirs}", f"connections.#.{ours}") for theirs, ours in _DIRECTIONS),
    ("bert.t_pooler.dense", "poolers.text"),
    ("bert.v_pooler.dense", "poolers.image"),
    ("cls.predictions.transform.dense", "pretraining.words.transform.dense"),
    ("cls.predictions.transform.LayerNorm", "pretraining.words.transform.norm"),
    ("cls.predictions", "pretraining.words"),
    ("cls.imagePredictions.transform.dense", "pretraining.regions.transform.dense"),
    ("cls.imagePredictions.transform.LayerNorm", "pretraining.regions.transform.norm"),
    ("cls.imagePredictions.decoder", "pretraining.regions.decoder"),
    ("cls.bi_seq_relationship", "pretraining.alignment"),
    *((f"{name}.{inside}".rstrip("."), f"heads.{kind}@") for kind, (name, inside) in HEADS.items()),
    ("linguisic_logit", "word_logit"),
)
"""Module there <-> module here: ``#`` is a layer's number, ``@`` what follows a head's kind in its key, as ``_gqa``."""

TIED, WORDS = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"
_UNUSED = re.compile(r"bert\.encoder\.c_layer\.\d+\.biOutput\.q_dense[12]\.(weight|bias)")

# Of the original's configuration: what has no effect on the model; what only its default leaves as it is here; and the
# defaults that stand for keys a file leaves out.
_IGNORED = frozenset({"pooling_method", "v_initializer_range", "num_labels", "num_negative"})
_UNSUPPORTED: Mapping[str, Any] = {
    **{"fast_mode": False, "in_batch_pairs": False, "with_coattention": True, "visualization": False},
    **{"fixed_v_layer": 0, "fixed_t_layer": 0, "objective": 0, "model": "bert"},
}
_DEFAULTS: Mapping[str, Any] = {
    **{"v_hidden_size": 768, "v_num_hidden_layers": 3, "v_num_attention_heads": 12, "v_intermediate_size": 3072},
    **{"bi_num_attention_heads": 16, "v_biattention_id": [0, 1], "t_biattention_id": [10, 11]},
    **{"task_specific_tokens": False},
}


# --- names -----------------------------------------------------------------------------------------------------
def released_name(name: str, kinds: Mapping[str, str] | None = None) -> str:
    """What the released files call one of the model's parameters (its learning rate and decay depend on it).

    A head whose key is not a kind, alone or with a suffix, gets a name of the same family: ``vision_KEY`` if ``kinds``
    (key -> kind of head) says that it scores regions, else ``vil_KEY``.

    Raises:
        CheckpointError: the model has no such parameter.
    """
    head = re.fullmatch(r"heads\.([^.]+)(\..+)", name)
    kind = None if head is None or kinds is None else kinds.get(head[1])
    if head is not None and kind is not None and not _is_kind(head[1], kind):
        return f"{'vision' if kind == 'region' else 'vil'}_{head[1]}{head[2]}"
    found = _translate(name, _rules(False))
    if found is not None:
        return found
    if head is not None:
        return f"vil_{head[1]}{head[2]}"
    raise CheckpointError(f"the model has no parameter {name!r}", remedy="name one of model.named_parameters()")


def own_name(name: str) -> str | None:
    """Our name of a parameter in the released files; None for one that is not ours."""
    return _translate(name, _rules(True))


def _is_kind(key: str, kind: str) -> bool:
    return key == kind or key.startswith(f"{kind}_")


@functools.cache
def _rules(reading: bool) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of one side of the table with the replacement that gives the other side."""
    rules = []
    for theirs, ours in TABLE:
        source, target = (theirs, ours) if reading else (ours, theirs)
        pattern = re.escape(source).replace(r"\#", r"(\d+)").replace("@", r"((?:_\w+)?)")
        groups = pattern.count("(\\d+)") + pattern.count("((?:")
        target = target.replace("#", r"\1").replace("@", r"\1") + rf"\{groups + 1}"
        rules.append((re.compile(pattern + r"((?:\.\d+)?\.(?:weight|bias))"), target))
    return tuple(rules)


def _translate(name: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, target in rules:
        if match := pattern.fullmatch(name):
            return match.expand(target)
    return None


# --- weights ---------------------------------------------------------------------------------------------------
def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors file or a torch file of nothing but tensors and plain containers.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", file=path, remedy="name a file of weights")
    try:
        tree: Any
        if path.suffix == ".safetensors":
            tree = load_file(path)
        else:
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as problem:
        raise _damaged(path, problem) from None
    except Exception as problem:  # pickle.UnpicklingError, zipfile.BadZipFile and others that torch lets through
        raise _damaged(path, problem) from None
    if not isinstance(tree, Mapping) or not all(isinstance(value, Tensor) for value in tree.values()):
        raise CheckpointError("holds more than tensors by name", file=path, remedy="save model.state_dict() alone")
    return {str(name): value for name, value in tree.items()}


def _damaged(path: Path, problem: Exception) -> CheckpointError:
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return CheckpointError(f"not a readable file of weights: {first}", file=path, remedy="fetch or save it again")


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of a data-parallel wrapper and with today's names of LayerNorm's parameters."""
    wrapped = bool(state) and all(name.startswith("module.") for name in state)
    plain = {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}
    today = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for old, new in today.items():
        plain = {re.sub(rf"{re.escape(old)}$", new, name): value for name, value in plain.items()}
    return plain


def read_released(source: Mapping[str, Tensor] | str | Path, config: TwelveConfig) -> dict[str, Tensor]:
    """The state dict of a :class:`Twelve` of ``config`` from a released checkpoint (or its tensors).

    Raises:
        CheckpointError: a weight is missing, unknown, or of another shape, each named; the word decoder is not the word
            embedding.
    """
    file = source if isinstance(source, str | Path) else None
    state = _plain(load_weights(source) if isinstance(source, str | Path) else source)
    if TIED in state and WORDS in state and not torch.equal(state[TIED], state[WORDS]):
        raise CheckpointError(
            f"{TIED} differs from {WORDS}", file=file, remedy="use a checkpoint in which they are tied"
        )
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
                f"{name} is {tuple(value.shape)}, the configuration makes it {tuple(wanted[ours].shape)}",
                file=file,
                remedy="use the configuration that belongs to the checkpoint",
            )
        else:
            found[ours] = value
    missing = [released_name(name, kinds_of(config)) for name in wanted if name not in found]
    for what, names in (("lacks", missing), ("has, unknown to this configuration,", unknown)):
        if names:
            raise CheckpointError(
                f"the checkpoint {what} {len(names)} weights: {', '.join(sorted(names)[:5])}",
                file=file,
                remedy="use the configuration that belongs to the checkpoint (heads, task tokens, dynamic attention)",
            )
    return found


def write_released(model: Twelve) -> dict[str, Tensor]:
    """The model's weights under the released names, complete with the tied decoder and the unused projections.

    Raises:
        CheckpointError: a head has no place in the released files.
    """
    kinds = kinds_of(model.config)
    for key, kind in kinds.items():
        if not _is_kind(key, kind):
            raise CheckpointError(
                f"the released files have no place for head {key!r} of kind {kind!r}",
                remedy=f"call it {kind} or {kind}_SOMETHING",
            )
    state = {released_name(name, kinds): value.detach().clone() for name, value in model.state_dict().items()}
    if model.pretraining is not None:
        state[TIED] = state[WORDS]
    for index in range(len(model.connections)):
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
    """The configuration of a released model.

    Args:
        source: the released JSON file, or its content.
        state: the checkpoint's tensors; they say which heads exist, how large they are, and whether there are task
            tokens (which the released files leave to a command-line switch).
        changes: fields to set in any case.

    Raises:
        ConfigError: an unknown key; a switch that changes the model in a way that is not offered.
    """
    file = source if isinstance(source, str | Path) else None
    tree = dict(read_json(Path(source), ConfigError) if isinstance(source, str | Path) else source)
    ours = set(TwelveConfig().to_dict()) & _fields()
    fields: dict[str, Any] = dict(_DEFAULTS)
    for key, value in tree.items():
        if key in ours:
            fields[key] = value
        elif key in _UNSUPPORTED:
            if value != _UNSUPPORTED[key] or type(value) is not type(_UNSUPPORTED[key]):
                raise ConfigError(
                    f"{key} {value!r} is not offered, only {_UNSUPPORTED[key]!r}",
                    file=file,
                    remedy="use a checkpoint that was trained without it",
                )
        elif key not in _IGNORED:
            known = ours | set(_UNSUPPORTED) | _IGNORED
            raise ConfigError(f"unknown setting {key!r}{nearest(key, known)}", file=file, remedy="correct its name")
    if state is not None:
        fields |= _fields_from_state(_plain(state))
    return TwelveConfig(**(fields | changes))


def _fields() -> set[str]:
    return {name for name in TwelveConfig.__annotations__ if name != "model_type"} - {"heads", "pretraining"}


def _fields_from_state(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Heads and task tokens that the checkpoint's tensors show."""
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
    """A released checkpoint and its JSON configuration as a model, ready to be used or saved.

    Raises:
        CheckpointError, ConfigError: the two do not fit, or need something that is not offered.
    """
    state = load_weights(weights)
    built = Twelve(read_released_config(config, state))
    built.load_state_dict(read_released(state, built.config))
    built.eval()  # type: ignore[no-untyped-call, unused-ignore]
    return built


# --- the text stream from a BERT encoder -------------------------------------------------------------------------
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


def text_config_from(source: str | Path) -> dict[str, Any]:
    """The text stream's fields of :class:`TwelveConfig` from an encoder (a folder, ``package:MODULE``, a hub name).

    Raises:
        CheckpointError: it is not of BERT's architecture, or lacks a size.
    """
    file = resolve(source, *_ENCODER_FILES) / "config.json"
    tree = read_json(file)
    if tree.get("model_type") != "bert":
        raise CheckpointError(
            f"the text encoder is of type {tree.get('model_type')!r}, not 'bert'",
            file=file,
            remedy="choose an encoder of BERT's architecture",
        )
    for key, wanted in _ENCODER_FIXED.items():
        if tree.get(key, wanted) not in (wanted, None):
            raise CheckpointError(
                f"the text encoder has {key} {tree[key]!r}, the text stream {wanted!r}",
                file=file,
                remedy="choose an encoder of BERT's architecture",
            )
    missing = [key for key in _ENCODER_SIZES if key not in tree]
    if missing:
        raise CheckpointError(f"lacks {', '.join(missing)}", file=file, remedy="use the encoder's complete config.json")
    return {key: tree[key] for key in _ENCODER_SIZES}


def load_text_encoder(model: Twelve, source: str | Path) -> None:
    """Start the text stream from an encoder of BERT's architecture; everything else of the model stays as it is.

    The encoder may have more layers or positions than the text stream: the first ones are taken.

    Raises:
        CheckpointError: its type, sizes or weights do not fit; both values are named.
    """
    folder = resolve(source, *_ENCODER_FILES)
    sizes = text_config_from(source)
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "hidden_act"):
        _must_fit(folder, key, sizes[key], getattr(model.config, key), sizes[key] == getattr(model.config, key))
    for key in ("num_hidden_layers", "max_position_embeddings", "type_vocab_size"):
        _must_fit(folder, key, sizes[key], getattr(model.config, key), sizes[key] >= getattr(model.config, key))
    file = next((folder / name for name in _ENCODER_FILES[1:] if (folder / name).is_file()), folder / _ENCODER_FILES[1])
    state = _plain(load_weights(file))
    state = {name if name.startswith("bert.") else f"bert.{name}": value for name, value in state.items()}
    wanted = {name: value for name, value in model.text.named_parameters() if name != "embedding.tasks.weight"}
    with torch.no_grad():
        for name, parameter in wanted.items():
            theirs = released_name(f"text.{name}")
            if theirs not in state:
                raise CheckpointError(f"the encoder lacks {theirs}", file=file, remedy="use its complete weights")
            value = state[theirs]
            if name in ("embedding.positions.weight", "embedding.segments.weight"):
                value = value[: len(parameter)]
            _must_fit(file, theirs, tuple(value.shape), tuple(parameter.shape), value.shape == parameter.shape)
            parameter.copy_(value)


def _must_fit(file: Path, what: str, theirs: object, ours: object, fits: bool) -> None:
    if not fits:
        raise CheckpointError(
            f"the encoder's {what} is {theirs}, the text stream's {ours}",
            file=file,
            remedy="give the model the sizes of its text encoder",
        )
