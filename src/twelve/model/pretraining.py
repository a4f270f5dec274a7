"""Pretraining: the heads for masked words, masked regions and alignment, and their losses (MODEL.md sections 1 and 3).

Axes: P pairs, L text length, R regions (region 0 global), H text width, V visual width, B fused width, C region classes
(or feature size), M masked positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twelve.model.attention import ACTIVATION, LAYER_NORM_EPS
from twelve.model.config import TwelveConfig


class Transform(nn.Module):
    """Linear, the text stream's activation, LayerNorm."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATION[activation]
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(self, states: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.activation(self.dense(states)))
        return normed


class WordHead(nn.Module):
    """Scores of the vocabulary; its matrix is the word embedding's, given with each call, so that it exists once."""

    def __init__(self, config: TwelveConfig) -> None:
        super().__init__()
        self.transform = Transform(config.hidden_size, config.hidden_act)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, words: Tensor, embedding: Tensor) -> Tensor:
        """(..., vocabulary) from words (..., H) and the embedding (vocabulary, H)."""
        return F.linear(self.transform(words), embedding, self.bias)


class RegionHead(nn.Module):
    """What a region shows: class scores or its feature, (..., C) from regions (..., V)."""

    def __init__(self, config: TwelveConfig) -> None:
        super().__init__()
        self.transform = Transform(config.v_hidden_size, config.hidden_act)  # the text's activation, as in the original
        self.decoder = nn.Linear(config.v_hidden_size, config.v_target_size)

    def forward(self, regions: Tensor) -> Tensor:
        scores: Tensor = self.decoder(self.transform(regions))
        return scores


class PretrainingHeads(nn.Module):
    """Masked words, masked regions, alignment (P, 2): column 0 says that text and picture belong together."""

    def __init__(self, config: TwelveConfig) -> None:
        super().__init__()
        self.words = WordHead(config)
        self.regions = RegionHead(config)
        self.alignment = nn.Linear(config.bi_hidden_size, 2)
