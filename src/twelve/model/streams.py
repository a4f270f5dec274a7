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

    def gates(self, text: Tensor, mask: Tensor | None) -> Gates | None:
        """1 + sigmoid of projections of the mean word of (P, L, H), each (P, V); None without ``dynamic_attention``."""
        if self.query_gate is None or self.key_gate is None:
            return None
        if mask is None:
            mean = text.mean(1)
        else:
            weights = mask.to(text.dtype)
            mean = (text * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
        return 1 + self.query_gate(mean).sigmoid(), 1 + self.key_gate(mean).sigmoid()


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
        self,
        steps: Iterable[Planned],
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor,
        image_mask: Tensor | None,
        trace: Trace | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Both streams after ``steps``: text (P, L, H), image (P, R, V), or (P, 1, .) if only the first position is
        read."""
        trace = trace or Trace()
        explain = trace.explain
        layer: Any
        for step in steps:
            name = f"{step.kind}.{step.index}"
            if step.kind == "text":
                layer = self.text[step.index]
                text, seen = layer(_read(text, step.text), text, text_mask, None, explain)
                trace.keep(name, text, seen)
            elif step.kind == "image":
                layer = self.image[step.index]
                gates = layer.gates(text, text_mask)
                image, seen = layer(_read(image, step.image), image, image_mask, gates, explain)
                trace.keep(name, image, seen)
            else:
                layer, words, regions = self.connections[step.index], text, image
                if step.text:
                    text, seen = layer.text(_read(words, step.text), regions, image_mask, None, explain)
                    trace.keep(f"{name}.text", text, seen)
                if step.image:
                    image, seen = layer.image(_read(regions, step.image), words, text_mask, None, explain)
                    trace.keep(f"{name}.image", image, seen)
        return text, image


def _read(states: Tensor, need: Need) -> Tensor:
    return states if need is Need.ALL else states[:, :1]


def gather(states: Tensor, rows: Tensor | None) -> Tensor:
    """``states[rows]``; no copy if ``rows`` is None."""
    return states if rows is None else states.index_select(0, rows)


def identity_as_none(rows: Tensor | None, count: int) -> Tensor | None:
    """None if ``rows`` is 0, 1, .. count - 1. Checked only on the CPU; elsewhere this would synchronize."""
    if rows is not None and rows.device.type == "cpu" and torch.equal(rows, torch.arange(count)):
        return None
    return rows
