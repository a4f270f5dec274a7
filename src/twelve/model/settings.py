"""The model's settings: sizes, layer pattern, heads. Field names are those of the released configurations.

Unknown keys, values of the wrong type and sizes that do not fit raise ConfigError.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from twelve.errors import ConfigError, nearest

Step = tuple[Literal["text", "image", "connection"], int]
"""(kind, index) of a layer of one stream or of a connection between both."""

ACTIVATIONS = ("gelu", "relu", "swish")
_NO_HEADS = ("words", "regions", "word_logit", "contrast")
_HEAD_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

_HEAD = 'write heads as {"answer": {"kind": "answer", "size": 3129}}'
_DTYPES = ("float64", "float32", "float16", "bfloat16")
WRITTEN_BY_TRANSFORMERS: Mapping[str, Callable[[Any], bool]] = {
    "architectures": lambda value: value is None or value in (["Twelve"], ("Twelve",)),
    "model_type": lambda value: value == "twelve",
    **dict.fromkeys(("dtype", "torch_dtype"), lambda value: str(value).removeprefix("torch.") in (*_DTYPES, "None")),
    **dict.fromkeys(("attn_implementation", "_attn_implementation"), lambda value: value in (None, "eager", "sdpa")),
    **dict.fromkeys(
        ("transformers_version", "name_or_path", "_name_or_path", "_commit_hash"),
        lambda value: value is None or isinstance(value, str | Path),
    ),
}
"""Keys of the library and their allowed values. With other values, some versions import or fetch code."""

_WIDTHS, _ROWS = 1 << 15, 1 << 21
_SIZES: Mapping[str, int] = {
    **dict.fromkeys(("num_hidden_layers", "v_num_hidden_layers"), 256),
    **dict.fromkeys(("num_attention_heads", "v_num_attention_heads", "bi_num_attention_heads"), 1024),
    **dict.fromkeys(("hidden_size", "v_hidden_size", "bi_hidden_size", "v_feature_size"), _WIDTHS),
    **dict.fromkeys(("intermediate_size", "v_intermediate_size"), 4 * _WIDTHS),
    **dict.fromkeys(("vocab_size", "v_target_size"), _ROWS),
    **{"max_position_embeddings": 1 << 16, "type_vocab_size": 1024, "num_task_tokens": 1 << 14},
}
"""Upper bounds of sizes in a file, over ten times those of the largest models of this kind."""
MOST_HEADS = 1024
WIDEST_CONTRAST = 4096
"""Upper bound of the width of the contrast head's vectors."""
MOST_PARAMETERS = 4_000_000_000
"""15 times the paper's model."""
_RATES = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "v_hidden_dropout_prob"),
    *("v_attention_probs_dropout_prob", "pooled_dropout"),
)
_SWITCHES = ("task_specific_tokens", "dynamic_attention", "pretraining", "word_logit")
_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ACTIVATIONS,
    "v_hidden_act": ACTIVATIONS,
    "fusion_method": ("mul", "sum"),
    "visual_target": (0, 1, 2),
}


@dataclass(init=False, eq=False, repr=False)
class Settings:
    """Sizes and switches of a model; the defaults are the paper's. Needs no library: :class:`twelve.TwelveConfig` adds
    transformers' methods.

    Attributes:
        trunk: name in :data:`twelve.model.trunk.TRUNKS`. Streams and connections below refer to "two_stream".
        vocab_size, max_position_embeddings, type_vocab_size: rows of the text embedding tables.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act: of the text stream.
        v_feature_size: width of the detector's region features.
        v_hidden_size, v_num_hidden_layers, v_num_attention_heads, v_intermediate_size, v_hidden_act: of the visual
            stream.
        bi_hidden_size, bi_num_attention_heads: of the connections; pooled and fused vectors are bi_hidden_size wide.
        t_biattention_id, v_biattention_id: connection c sits before text layer ``t_biattention_id[c]`` and before
            visual layer ``v_biattention_id[c]``.
        task_specific_tokens: insert a row of the task-token table after [CLS]; ``num_task_tokens`` rows.
        fusion_method: whether the fused vector is the product ("mul") or sum ("sum") of the pooled ones.
        dynamic_attention: gate visual self-attention by the mean of the text stream.
        visual_target, v_target_size: what the pretraining head predicts for a masked region: 0 its class distribution,
            1 its feature (squared error), 2 its feature (among negatives); and the size of that target.
        pooled_dropout: dropout before the heads.
        heads: key -> {"kind": kind of output, "size": number of classes}.
        pretraining: whether there are heads for masked words, masked regions and alignment.
        word_logit: whether there is a head that scores each word.
        contrast: width of the vectors of the contrast head (model/contrast.py); 0 for none.
    """

    trunk: str = "two_stream"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    v_feature_size: int = 2048
    v_target_size: int = 1601
    v_hidden_size: int = 1024
    v_num_hidden_layers: int = 6
    v_num_attention_heads: int = 8
    v_intermediate_size: int = 1024
    v_hidden_act: str = "gelu"
    v_hidden_dropout_prob: float = 0.1
    v_attention_probs_dropout_prob: float = 0.1
    bi_hidden_size: int = 1024
    bi_num_attention_heads: int = 8
    t_biattention_id: list[int] = field(default_factory=lambda: [6, 7, 8, 9, 10, 11])
    v_biattention_id: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4, 5])
    task_specific_tokens: bool = True
    num_task_tokens: int = 20
    fusion_method: str = "mul"
    dynamic_attention: bool = False
    visual_target: int = 0
    pooled_dropout: float = 0.1
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    pretraining: bool = False
    word_logit: bool = False
    contrast: int = 0

    if TYPE_CHECKING:  # not a setting, but a property of transformers' class
        name_or_path: str = ""
        """The folder that the settings were read from, if any."""

    def __init__(self, **settings: Any) -> None:
        if unknown := [key for key in settings if key not in defaults()]:
            raise unknown_setting(unknown[0], settings[unknown[0]])
        self.name_or_path = ""
        self._take(settings)

    def _take(self, given: Mapping[str, Any]) -> None:
        """Set the given values and defaults for the rest."""
        for key, value in {**defaults(), **given}.items():
            setattr(self, key, _copied(value))
        self.check()

    def check(self) -> None:
        """Raise ConfigError if a value is invalid or two do not fit; the error shows them."""
        values = {key: getattr(self, key) for key in defaults()}
        _check_types(values)
        for width, heads in (
            ("hidden_size", "num_attention_heads"),
            ("v_hidden_size", "v_num_attention_heads"),
            ("bi_hidden_size", "bi_num_attention_heads"),
        ):
            if values[width] % values[heads]:
                raise ConfigError(
                    f"{width} must be a multiple of {heads} {values[heads]}, found {values[width]}",
                    remedy="choose a multiple",
                )
        if values["trunk"] == "two_stream":
            _check_pattern(values)
        _check_heads(values["heads"])
        if (count := _parameters(values)) > MOST_PARAMETERS:
            raise ConfigError(
                f"expected at most {MOST_PARAMETERS:,} parameters, found {count:,}",
                remedy="choose smaller sizes",
            )

    @property
    def steps(self) -> list[Step]:
        """Layers and connections in the original's order: for each connection, the text layers up to it, the visual
        layers up to it, and the connection; finally the remaining visual layers, then the remaining text layers."""
        steps: list[Step] = []
        text = image = 0
        for connection, (t, v) in enumerate(zip(self.t_biattention_id, self.v_biattention_id, strict=True)):
            steps += [("text", layer) for layer in range(text, t)]
            steps += [("image", layer) for layer in range(image, v)]
            steps.append(("connection", connection))
            text, image = t, v
        steps += [("image", layer) for layer in range(image, self.v_num_hidden_layers)]
        steps += [("text", layer) for layer in range(text, self.num_hidden_layers)]
        return steps


@functools.cache
def defaults() -> Mapping[str, Any]:
    """All settings at their defaults."""
    return {
        each.name: each.default if each.default_factory is MISSING else each.default_factory()
        for each in fields(Settings)
    }


def _copied(value: Any) -> Any:
    """Copy lists and dictionaries so that configurations do not share them."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def no_contrast(file: Path | None = None, remedy: str | None = None) -> ConfigError:
    """The error to raise where a model has no contrast head; ``remedy``: by default for any run."""
    remedy = remedy or "add one: twelve train configs/contrast.yaml --set init=RUN --set tasks=[TASK]"
    return ConfigError("the model has no contrast head", file=file, remedy=remedy)


def unknown_setting(key: str, value: object) -> ConfigError:
    """The error to raise for an unknown setting."""
    return ConfigError(
        f"unknown setting {key!r} (value {value!r}){nearest(key, defaults())}",
        remedy="remove it or correct its name",
    )


def check_library_key(key: str, value: Any) -> None:
    """Raise ConfigError for an invalid value of a key in :data:`WRITTEN_BY_TRANSFORMERS`."""
    if not WRITTEN_BY_TRANSFORMERS[key](value):
        raise ConfigError(f"{key} cannot be {value!r}", remedy="restore the value saved with the model")


def _check_types(values: Mapping[str, Any]) -> None:
    def refuse(key: str, wanted: str) -> None:
        raise ConfigError(f"{key} must be {wanted}, found {values[key]!r}", remedy=f"set {key} to {wanted}")

    if not isinstance(values["trunk"], str):
        refuse("trunk", "a name")
    for key, most in _SIZES.items():
        if type(values[key]) is not int or values[key] < 1:
            refuse(key, "an integer of at least 1")
        if values[key] > most:
            refuse(key, f"an integer of at most {most}")
    if type(values["contrast"]) is not int or not 0 <= values["contrast"] <= WIDEST_CONTRAST:
        refuse("contrast", f"an integer from 0 to {WIDEST_CONTRAST}")
    for key in _RATES:
        if type(values[key]) not in (int, float) or not 0 <= values[key] < 1:
            refuse(key, "a number from 0 up to, but not including, 1")
    for key in _SWITCHES:
        if type(values[key]) is not bool:
            refuse(key, "true or false")
    for key, choices in _CHOICES.items():
        if values[key] not in choices or isinstance(values[key], bool):
            refuse(key, f"one of {', '.join(map(str, choices))}")
    if type(values["initializer_range"]) not in (int, float) or not 0 < values["initializer_range"] <= 1e3:
        refuse("initializer_range", "a number above 0 and at most 1000")
    for key in ("t_biattention_id", "v_biattention_id"):
        if not isinstance(values[key], list) or any(type(layer) is not int for layer in values[key]):
            refuse(key, "a list of integers")
        if len(values[key]) > _SIZES["num_hidden_layers"]:
            refuse(key, f"a list of at most {_SIZES['num_hidden_layers']} integers")


def _check_pattern(values: Mapping[str, Any]) -> None:
    text, image = values["t_biattention_id"], values["v_biattention_id"]
    if len(text) != len(image):
        raise ConfigError(
            f"expected equally many connections, found t_biattention_id {text} and v_biattention_id {image}",
            remedy="make both lists equally long",
        )
    for key, layers in (("t_biattention_id", "num_hidden_layers"), ("v_biattention_id", "v_num_hidden_layers")):
        if any(later < earlier for earlier, later in zip(values[key], values[key][1:], strict=False)):
            raise ConfigError(f"{key} must be in increasing order, found {values[key]}", remedy="sort its layers")
        for layer in values[key]:
            if not 0 <= layer <= values[layers]:
                raise ConfigError(
                    f"{key} must name layers from 0 to {layers} {values[layers]}, found {layer}",
                    remedy=f"choose layers from 0 to {values[layers]}",
                )


def _parameters(values: Mapping[str, Any]) -> int:
    """Approximate number of parameters in layers, connections, embeddings and heads."""

    def block(query: str, key: str, size: str, intermediate: str) -> int:
        return int(2 * values[size] * (values[query] + values[key]) + 2 * values[query] * values[intermediate])

    text, image, fused = values["hidden_size"], values["v_hidden_size"], values["bi_hidden_size"]
    rows = ["vocab_size", "max_position_embeddings", "type_vocab_size", "num_task_tokens"]
    count = sum(text * values[row] for row in rows) + image * (values["v_feature_size"] + values["v_target_size"])
    count += values["num_hidden_layers"] * block("hidden_size", "hidden_size", "hidden_size", "intermediate_size")
    one = block("v_hidden_size", "v_hidden_size", "v_hidden_size", "v_intermediate_size")
    count += values["v_num_hidden_layers"] * (one + 2 * text * image * values["dynamic_attention"])
    both = block("hidden_size", "v_hidden_size", "bi_hidden_size", "intermediate_size")
    both += block("v_hidden_size", "hidden_size", "bi_hidden_size", "v_intermediate_size")
    count += len(values["t_biattention_id"]) * both
    heads: int = sum(fused + head["size"] for head in values["heads"].values())
    if values["contrast"]:  # two layers for each side
        count += 2 * one + 2 * block("hidden_size", "hidden_size", "hidden_size", "intermediate_size")
        count += values["contrast"] * (text + image)
    return int(count + fused * (text + image) + 2 * fused * heads)


def _check_heads(heads: Any) -> None:
    """Check the form of the table; the model checks that kinds exist."""
    if not isinstance(heads, dict):
        raise ConfigError(f"heads must map keys to kind and size, found {heads!r}", remedy=_HEAD)
    if len(heads) > MOST_HEADS:
        raise ConfigError(f"expected at most {MOST_HEADS} heads, found {len(heads)}", remedy="leave some out")
    for key, head in heads.items():
        if not isinstance(key, str) or not _HEAD_KEY.fullmatch(key) or key in _NO_HEADS:
            raise ConfigError(f"{key!r} cannot name a head", remedy="use letters, digits, _ and - only")
        if not isinstance(head, dict) or set(head) != {"kind", "size"}:
            raise ConfigError(f"head {key!r} must have a kind and a size, found {head!r}", remedy=_HEAD)
        if not isinstance(head["kind"], str) or type(head["size"]) is not int or head["size"] < 1:
            raise ConfigError(
                f"head {key!r}: expected a kind and a size of at least 1, found {head['kind']!r} and {head['size']!r}",
                remedy=_HEAD,
            )
        if head["size"] > _ROWS:
            raise ConfigError(
                f"head {key!r}: expected a size of at most {_ROWS}, found {head['size']}", remedy="choose a smaller one"
            )
