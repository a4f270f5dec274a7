"""The two streams, their connections, and the plan of which layers a batch needs.

Axes: P pairs, L text length (task token included), R regions, H text width, V visual width.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from twelve.model.attention import Block, Gates
from twelve.model.embeddings import ImageEmbedding, TextEmbedding
from twelve.model.sequences import Sequences
from twelve.model.settings import Settings, Step


class Need(enum.IntEnum):
    """Which positions of a stream are read."""

    NONE = 0
    FIRST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Planned:
    """A step that must run, and the positions it must compute in each stream."""

    kind: Literal["text", "image", "connection"]
    index: int
    text: Need = Need.NONE
    image: Need = Need.NONE


def plan(steps: Iterable[Step], text: Need, image: Need, *, dynamic: bool = False) -> list[Planned]:
    """Steps whose results are read, in forward order, found by walking backward from the final needs.

    A layer computes queries for the positions that are read and keys for all; a connection runs only the directions
    that are read. With ``dynamic``, visual layers also read the whole text stream.
    """
    planned: list[Planned] = []
    for kind, index in reversed(list(steps)):
        if kind == "text":
            if text:
                planned.append(Planned(kind, index, text=text))
                text = Need.ALL
        elif kind == "image":
            if image:
                planned.append(Planned(kind, index, image=image))
                image = Need.ALL
                text = Need.ALL if dynamic else text
        elif text or image:
            planned.append(Planned(kind, index, text=text, image=image))
            text, image = Need.ALL if image else text, Need.ALL if text else image
    return planned[::-1]


class ImageLayer(Block):
    """A visual layer, whose queries and keys the text can gate (``dynamic_attention``)."""

    def __init__(self, config: Settings) -> None:
        super().__init__(**_image_sizes(config))
        dynamic, sizes = config.dynamic_attention, (config.hidden_size, config.v_hidden_size)
        self.query_gate = nn.Linear(*sizes) if dynamic else None
        self.key_gate = nn.Linear(*sizes) if dynamic else None

    def gates(self, text: Sequences, queries: Sequences, keys: Sequences) -> Gates | None:
        """1 + sigmoid of projections of the mean word, for each query and each key; None without
        ``dynamic_attention``."""
        if self.query_gate is None or self.key_gate is None:
            return None
        text = text.padded()
        if text.mask is None:
            mean = text.states.mean(1)
        else:
            weights = text.mask.to(text.states.dtype)
            mean = (text.states * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
        query, key = 1 + self.query_gate(mean).sigmoid(), 1 + self.key_gate(mean).sigmoid()
        return queries.spread(query), keys.spread(key)


class Connection(nn.Module):
    """Co-attention in both directions from the same inputs: words over regions and regions over words.

    Attention dropout is that of the stream attended to, as in the original.
    """

    def __init__(self, config: Settings) -> None:
        super().__init__()
        shared = {"size": config.bi_hidden_size, "heads": config.bi_num_attention_heads}
        self.text = Block(
            query_size=config.hidden_size,
            key_size=config.v_hidden_size,
            intermediate=config.intermediate_size,
            activation=config.hidden_act,
            attention_dropout=config.v_attention_probs_dropout_prob,
            dropout=config.hidden_dropout_prob,
            **shared,
        )
        self.image = Block(
            query_size=config.v_hidden_size,
            key_size=config.hidden_size,
            intermediate=config.v_intermediate_size,
            activation=config.v_hidden_act,
            attention_dropout=config.attention_probs_dropout_prob,
            dropout=config.v_hidden_dropout_prob,
            **shared,
        )


def _image_sizes(config: Settings) -> dict[str, Any]:
    return {
        "query_size": config.v_hidden_size,
        "key_size": config.v_hidden_size,
        "size": config.v_hidden_size,
        "heads": config.v_num_attention_heads,
        "intermediate": config.v_intermediate_size,
        "activation": config.v_hidden_act,
        "attention_dropout": config.v_attention_probs_dropout_prob,
        "dropout": config.v_hidden_dropout_prob,
    }


def image_layer(config: Settings) -> Block:
    """A visual layer without gates."""
    return Block(**_image_sizes(config))


def text_layer(config: Settings) -> Block:
    return Block(
        query_size=config.hidden_size,
        key_size=config.hidden_size,
        size=config.hidden_size,
        heads=config.num_attention_heads,
        intermediate=config.intermediate_size,
        activation=config.hidden_act,
        attention_dropout=config.attention_probs_dropout_prob,
        dropout=config.hidden_dropout_prob,
    )


@dataclass
class Trace:
    """States and attention probabilities by step, recorded on request.

    ``text.3`` is text layer 3, ``connection.0.text`` the words after connection 0 (attention of words over regions).
    """

    remember: bool = False
    explain: bool = False
    states: dict[str, Tensor] = field(default_factory=dict)
    attentions: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, name: str, states: Tensor, probabilities: Tensor | None = None) -> None:
        if self.remember:
            self.states[name] = states
        if probabilities is not None:
            self.attentions[name] = probabilities

    def take(self, other: Trace, rows: Tensor | None) -> None:
        """Add the entries of ``other``, gathered to one row per pair."""
        self.states.update({name: gather(states, rows) for name, states in other.states.items()})
        self.attentions.update({name: gather(states, rows) for name, states in other.attentions.items()})


class TextStream(nn.Module):
    """Embedding and layers of the text."""

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.embedding = TextEmbedding(config)
        self.layers = nn.ModuleList(text_layer(config) for _ in range(config.num_hidden_layers))


class ImageStream(nn.Module):
    """Embedding and layers of the regions."""

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.embedding = ImageEmbedding(config, config.v_hidden_size)
        self.layers = nn.ModuleList(ImageLayer(config) for _ in range(config.v_num_hidden_layers))


class Layers(NamedTuple):
    """The modules that steps refer to by index."""

    text: nn.ModuleList
    image: nn.ModuleList
    connections: nn.ModuleList

    def run(
        self, steps: Iterable[Planned], text: Sequences, image: Sequences, trace: Trace | None = None
    ) -> tuple[Sequences, Sequences]:
        """Words and regions after ``steps``, or the first position of each if only that is read."""
        trace = trace or Trace()
        layer: Any

        def attend(layer: Any, queries: Sequences, keys: Sequences, name: str, gates: Gates | None = None) -> Sequences:
            states, seen = layer(queries.states, keys.states, queries.over(keys), gates, trace.explain)
            trace.keep(name, states, seen)
            return queries.new(states)

        for step in steps:
            name = f"{step.kind}.{step.index}"
            if step.kind == "text":
                text = attend(self.text[step.index], _read(text, step.text), text, name)
            elif step.kind == "image":
                layer, regions = self.image[step.index], _read(image, step.image)
                image = attend(layer, regions, image, name, layer.gates(text, regions, image))
            else:
                layer, words, regions = self.connections[step.index], text, image
                if step.text:
                    text = attend(layer.text, _read(words, step.text), regions, f"{name}.text")
                if step.image:
                    image = attend(layer.image, _read(regions, step.image), words, f"{name}.image")
        return text, image


def _read(sequences: Sequences, need: Need) -> Sequences:
    return sequences if need is Need.ALL else sequences.first()


def gather(states: Tensor, rows: Tensor | None) -> Tensor:
    """``states[rows]``; no copy if ``rows`` is None."""
    return states if rows is None else states.index_select(0, rows)


def identity_as_none(rows: Tensor | None, count: int) -> Tensor | None:
    """None if ``rows`` is 0, 1, .. count - 1. Checked only on the CPU; elsewhere this would synchronize."""
    if rows is not None and rows.device.type == "cpu" and torch.equal(rows, torch.arange(count)):
        return None
    return rows
