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
        self, ids: Tensor, mask: Tensor | None, segments: Tensor | None, tasks: Tensor | None, trace: Trace
    ) -> tuple[Tensor, Tensor | None]:
        states, mask = self.text["embedding"](ids, mask, segments, tasks)
        trace.keep("text.embedding", states)
        return states, mask

    def encode_images(self, features: Tensor, boxes: Tensor, mask: Tensor | None, trace: Trace) -> Tensor:
        states: Tensor = self.image["embedding"](features, boxes)
        trace.keep("image.embedding", states)
        return states

    def fuse(
        self,
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor,
        image_mask: Tensor | None,
        text_need: Need,
        image_need: Need,
        trace: Trace,
    ) -> tuple[Tensor, Tensor]:
        """Run all positions through all layers; the last layer computes only those that are read."""
        length, states = text.shape[1], torch.cat([text, image], 1)
        mask = None
        if text_mask is not None or image_mask is not None:
            mask = torch.cat([_or_all(text_mask, text), _or_all(image_mask, image)], 1)
        *lower, last = enumerate(self.layers)
        for place, layer in lower:
            states = self._run(place, layer, states, states, mask, length, trace)
        place, layer = last
        words, regions = _read(states[:, :length], text_need), _read(states[:, length:], image_need)
        states = self._run(place, layer, torch.cat([words, regions], 1), states, mask, length, trace)
        return states[:, : words.shape[1]], states[:, words.shape[1] :]

    def _run(
        self,
        place: int,
        layer: nn.Module,
        queries: Tensor,
        keys: Tensor,
        mask: Tensor | None,
        length: int,
        trace: Trace,
    ) -> Tensor:
        states, seen = layer(queries, keys, mask, None, trace.explain)
        trace.keep(f"layers.{place}", states, seen)
        if seen is not None:  # each side's share of the other, (P, N, L, R) and (P, N, R, L)
            trace.attentions[f"layers.{place}.text"] = _shares(seen[:, :, :length, length:])
            trace.attentions[f"layers.{place}.image"] = _shares(seen[:, :, length:, :length])
        return cast(Tensor, states)

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


def _or_all(mask: Tensor | None, states: Tensor) -> Tensor:
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device) if mask is None else mask


def _read(states: Tensor, need: Need) -> Tensor:
    return states if need is Need.ALL else states[:, : int(need)]


def _shares(probabilities: Tensor) -> Tensor:
    """Renormalize attention over a part of the keys."""
    return probabilities / probabilities.sum(-1, keepdim=True).clamp_min(torch.finfo(probabilities.dtype).tiny)
