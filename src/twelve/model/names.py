"""Parameter names in released checkpoints and in this model: one table for both directions.

Names are those of facebookresearch/vilbert-multi-task at commit f22b84a.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

from twelve.errors import CheckpointError

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
    # In released files, 1 is the visual stream and 2 the text; queries attend to the other stream's keys and values.
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
"""Kind of head -> its released name, and what separates it from its layers' names."""

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
"""Released module <-> module here; ``#`` is a layer number, ``@`` the suffix of a head's key."""


def released_name(name: str, kinds: Mapping[str, str] | None = None) -> str:
    """Released name of a parameter of this model; learning rate and weight decay depend on it.

    A head whose key is neither a kind nor a kind with a suffix is named ``vision_KEY`` if it scores regions according
    to ``kinds`` (key -> kind of head), else ``vil_KEY``.

    Raises:
        CheckpointError: the model has no such parameter.
    """
    head = re.fullmatch(r"heads\.([^.]+)(\..+)", name)
    kind = None if head is None or kinds is None else kinds.get(head[1])
    if head is not None and kind is not None and not is_kind(head[1], kind):
        return f"{'vision' if kind == 'region' else 'vil'}_{head[1]}{head[2]}"
    found = _translate(name, _rules(False))
    if found is not None:
        return found
    if name.startswith("contrast."):  # it has none, and learns as heads do
        return f"vil_{name}"
    if head is not None:
        return f"vil_{head[1]}{head[2]}"
    raise CheckpointError(f"the model has no parameter {name!r}", remedy="use a name from model.named_parameters()")


def own_name(name: str) -> str | None:
    """Name here of a parameter in released files; None if this model has no such parameter."""
    return _translate(name, _rules(True))


def is_kind(key: str, kind: str) -> bool:
    return key == kind or key.startswith(f"{kind}_")


@functools.cache
def _rules(reading: bool) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns for one side of the table, with replacements that give the other side."""
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
