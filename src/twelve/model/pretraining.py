"""Pretraining: the heads for masked words, masked regions and alignment, and their losses.

Axes: P pairs, L text length, R regions (region 0 global), H text width, V visual width, B fused width, C region classes
(or feature size), M masked positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twelve.errors import ConfigError
from twelve.model.attention import ACTIVATION, LAYER_NORM_EPS
from twelve.model.settings import Settings
from twelve.outputs.pretraining import PretrainingLogits, PretrainingLosses, losses_of

if TYPE_CHECKING:
    from twelve.model.model_outputs import TwelveOutput

PRETRAINING_STATES = ("words", "regions", "pretraining.alignment")
"""What a forward pass must be asked for before :func:`pretraining_losses`."""


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

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.transform = Transform(config.hidden_size, config.hidden_act)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, words: Tensor, embedding: Tensor) -> Tensor:
        """(..., vocabulary) from words (..., H) and the embedding (vocabulary, H)."""
        return F.linear(self.transform(words), embedding, self.bias)


class RegionHead(nn.Module):
    """What a region shows: class scores or its feature, (..., C) from regions (..., V)."""

    def __init__(self, config: Settings, width: int) -> None:
        super().__init__()
        self.transform = Transform(width, config.hidden_act)  # the text's activation, as in the original
        self.decoder = nn.Linear(width, config.v_target_size)

    def forward(self, regions: Tensor) -> Tensor:
        scores: Tensor = self.decoder(self.transform(regions))
        return scores


class PretrainingHeads(nn.Module):
    """Masked words, masked regions (V: ``visual_size``), alignment (P, 2): column 0 says that text and image belong
    together."""

    def __init__(self, config: Settings, visual_size: int) -> None:
        super().__init__()
        self.words = WordHead(config)
        self.regions = RegionHead(config, visual_size)
        self.alignment = nn.Linear(config.bi_hidden_size, 2)
        self.visual_target, self.has_task = config.visual_target, config.task_specific_tokens

    def forward(
        self,
        words: Tensor,
        regions: Tensor,
        fused: Tensor,
        embedding: Tensor,
        hidden_words: Tensor | None,
        hidden_regions: Tensor | None,
    ) -> PretrainingLogits:
        """Logits at hidden positions alone; the largest matrices of the model are not run on the others.

        Args:
            words, regions, fused: final states (P, L, H), (P, R, V), and dropped-out (P, B).
            embedding: (vocabulary, H) of words.
            hidden_words, hidden_regions: (P, L) and (P, R - 1) bool; None: nothing is hidden.
        """
        words = without_task(words) if self.has_task else words
        return PretrainingLogits(
            words=self.words(words[:, 0][:0] if hidden_words is None else words[hidden_words], embedding),
            regions=self.regions(regions[:, 0][:0] if hidden_regions is None else regions[:, 1:][hidden_regions]),
            alignment=self.alignment(fused),
            visual_target=self.visual_target,
        )


def pretraining_losses(
    heads: PretrainingHeads | None,
    output: TwelveOutput,
    *,
    embedding: Tensor,
    has_task: bool,
    word_labels: Tensor,
    region_labels: Tensor,
    region_targets: Tensor,
    mismatched: Tensor,
    only_alignment_when_mismatched: bool = True,
) -> PretrainingLosses:
    """Losses of a batch of pairs; the large heads run on masked positions alone.

    Args:
        heads: of the model that was called.
        output: of a call with ``outputs=PRETRAINING_STATES``.
        embedding: (vocabulary, H) of words.
        has_task: whether a task token follows the first one.
        word_labels: (P, L) int64 hidden word pieces, -1 where nothing is hidden; a task token is not counted.
        region_labels: (P, R - 1) int64, 1 where a region is hidden; the global region is left out.
        region_targets: (P, R - 1, C) class distribution, or feature, of each region.
        mismatched: (P,) int64, 1 where text and image do not belong together, -1 where it is not asked.
        only_alignment_when_mismatched: as in the paper; otherwise hidden parts of mismatched pairs count too.

    Raises:
        ConfigError: the model has no pretraining heads, or was made for a contrastive region loss.
    """
    words, regions = output.words, output.regions
    if heads is None:
        raise ConfigError("the model has no pretraining heads", remedy="set pretraining: true in its configuration")
    if words is None or regions is None or "pretraining.alignment" not in output.logits:
        raise ValueError("the forward pass must be asked for outputs=PRETRAINING_STATES")
    if only_alignment_when_mismatched:
        word_labels, region_labels = drop_mismatched(word_labels, region_labels, mismatched)
    if has_task:
        words = without_task(words)
    hidden, shown = word_labels >= 0, region_labels == 1
    logits = PretrainingLogits(
        words=heads.words(words[hidden], embedding),
        regions=heads.regions(regions[:, 1:][shown]),
        alignment=output.logits["pretraining.alignment"],
        visual_target=heads.visual_target,
    )
    return losses_of(logits, words=word_labels[hidden], regions=region_targets[shown], mismatched=mismatched)


def drop_mismatched(word_labels: Tensor, region_labels: Tensor, mismatched: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (P, L) and (P, R - 1) with nothing hidden (-1) in the mismatched pairs (P,)."""
    drop = (mismatched == 1)[:, None]
    return word_labels.masked_fill(drop, -1), region_labels.masked_fill(drop, -1)


def without_task(words: Tensor) -> Tensor:
    """(P, L - 1, H): words (P, L, H) without the task's token, which follows the first one."""
    return torch.cat([words[:, :1], words[:, 2:]], dim=1)
