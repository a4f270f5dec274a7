"""A single-stream trunk: one BERT over words and regions (UNITER, Chen et al. 2020).

``v_feature_size`` and ``bi_hidden_size`` (the fused width) apply as in two streams; other settings of the visual stream
and of connections have no effect. Text and image meet in the first layer, so encoding either alone stops at the
embedding.

Axes: T texts, I images, P pairs, L text length (task token included), R regions (region 0 global), F feature size,
H width, B fused width, N heads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from twelve.model.embeddings import ImageEmbedding, Poolers, TextEmbedding
from twelve.model.sequences import Sequences
from twelve.model.settings import Settings
from twelve.model.streams import Need, Trace, text_layer

_LAYER = re.compile(r"layers\.(\d+)\.")


class SingleStream(nn.Module):
    """See :class:`twelve.model.trunk.Trunk`. The region embedding's bias marks positions as regions."""

    tokens: ClassVar[str] = "text.embedding.tasks"
    released: ClassVar[bool] = False

    def __init__(self, config: Settings) -> None:
        super().__init__()
        width = config.hidden_size
        self.visual_size, self.fused_size = width, config.bi_hidden_size
        self.text = nn.ModuleDict({"embedding": TextEmbedding(config)})
        self.image = nn.ModuleDict({"embedding": ImageEmbedding(config, width)})
        self.layers = nn.ModuleList(text_layer(config) for _ in range(config.num_hidden_layers))
        self.poolers = Poolers(width, width, config.bi_hidden_size)

    @property
    def words(self) -> Tensor:
        return cast(TextEmbedding, self.text["embedding"]).words.weight

    # --- forward pass ------------------------------------------------------------------------------------------
    def encode_texts(
        self, ids: Tensor, mask: Tensor | None, segments: Tensor | None, tasks: Tensor | None, pack: bool, trace: Trace
    ) -> Sequences:
        text: Sequences = self.text["embedding"](ids, mask, segments, tasks, pack)
        trace.keep("text.embedding", text.states)
        return text

    def encode_images(
        self, features: Tensor, boxes: Tensor, mask: Tensor | None, pack: bool, trace: Trace
    ) -> Sequences:
        image: Sequences = self.image["embedding"](features, boxes, mask, pack)
        trace.keep("image.embedding", image.states)
        return image

    def fuse(
        self, text: Sequences, image: Sequences, text_need: Need, image_need: Need, trace: Trace
    ) -> tuple[Sequences, Sequences]:
        """Run all positions through all layers; the last layer computes only those that are read."""
        both, length = text.beside(image), text.states.shape[1]
        *lower, last = enumerate(self.layers)
        for place, layer in lower:
            both = self._run(place, layer, both, both, length, trace)
        place, layer = last
        words, regions = both.apart(text, image)
        words, regions = _read(words, text_need), _read(regions, image_need)
        return self._run(place, layer, words.beside(regions), both, length, trace).apart(words, regions)

    def _run(
        self, place: int, layer: nn.Module, queries: Sequences, keys: Sequences, length: int, trace: Trace
    ) -> Sequences:
        states, seen = layer(queries.states, keys.states, queries.over(keys), None, trace.explain)
        trace.keep(f"layers.{place}", states, seen)
        if seen is not None:  # each side's share of the other, (P, N, L, R) and (P, N, R, L)
            trace.attentions[f"layers.{place}.text"] = _shares(seen[:, :, :length, length:])
            trace.attentions[f"layers.{place}.image"] = _shares(seen[:, :, length:, :length])
        return queries.new(states)

    def pool(self, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        pooled: tuple[Tensor, Tensor] = self.poolers(words, regions)
        return pooled

    def standardise_regions(self, mean: Tensor, std: Tensor) -> None:
        cast(ImageEmbedding, self.image["embedding"]).standardise(mean, std)

    # --- description of a configuration ------------------------------------------------------------------------
    @classmethod
    def layer(cls, stream: str, config: Settings) -> nn.Module:
        return text_layer(config)

    @classmethod
    def layers_before_fusion(cls, config: Settings) -> Mapping[str, int]:
        return {"text": 0, "image": 0}

    @classmethod
    def depth(cls, name: str, config: Settings) -> int:
        """1 for the last layer; both embeddings lie below all layers."""
        if layer := _LAYER.match(name):
            return config.num_hidden_layers - int(layer[1])
        embedded = name.startswith(("text.embedding.", "image.embedding."))
        return config.num_hidden_layers + 1 if embedded and not name.startswith(f"{cls.tokens}.") else 0

    @classmethod
    def stream_layers(cls, config: Settings) -> Mapping[str, int]:
        """All layers count as text layers, since a text encoder can initialize them."""
        return {"text": config.num_hidden_layers, "image": 0}

    @classmethod
    def lowest(cls, stream: str, count: int) -> Sequence[str]:
        return [f"{stream}.embedding", *(f"layers.{layer}" for layer in range(count))]

    @classmethod
    def counterpart(cls, name: str) -> str:
        return f"text.{name}" if _LAYER.match(name) else name

    @classmethod
    def sizes(cls, config: Settings) -> Mapping[str, str]:
        stream = f"{config.num_hidden_layers} layers of {config.hidden_size}, {config.num_attention_heads} heads"
        return {"text": stream, "image": "the same layers"}


def _read(sequences: Sequences, need: Need) -> Sequences:
    if need is Need.ALL:
        return sequences
    first = sequences.first()
    # Packed sequences have at least one position; of padded ones, dropout must not draw for a position more.
    return first if need or first.packing else first.new(first.states[:, :0])


def _shares(probabilities: Tensor) -> Tensor:
    """Renormalize attention over a part of the keys."""
    return probabilities / probabilities.sum(-1, keepdim=True).clamp_min(torch.finfo(probabilities.dtype).tiny)
