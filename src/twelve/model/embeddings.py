"""What enters and leaves a trunk: embeddings of words and of regions, and the pooled first positions.

Axes: T texts, I images, P pairs, L text length, R regions (region 0 global), F feature size, H text width,
V visual width, B fused width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twelve.errors import DataError
from twelve.model.attention import LAYER_NORM_EPS
from twelve.model.settings import Settings


class TextEmbedding(nn.Module):
    """Word + position + segment; a task's row is inserted after [CLS], without a position or segment of its own."""

    def __init__(self, config: Settings) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.segments = nn.Embedding(config.type_vocab_size, width)
        self.tasks = nn.Embedding(config.num_task_tokens, width) if config.task_specific_tokens else None
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor, mask: Tensor | None, segment_ids: Tensor | None, task_rows: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Embedding (T, L', H) and mask (T, L') of texts (T, L); L' is L + 1 with task tokens, else L.

        Args:
            input_ids: (T, L) int64.
            mask: (T, L) bool or None.
            segment_ids: (T, L) int64; None is segment 0 everywhere.
            task_rows: (T,) int64 rows of the task-token table; required exactly when there is one.

        Raises:
            DataError: a text is longer than the positions that the model has.
        """
        length = input_ids.shape[1]
        if length > self.positions.num_embeddings:
            raise DataError(
                f"a text of {length} word pieces, but the model has {self.positions.num_embeddings} positions",
                remedy="cut texts to the model's length (max_position_embeddings)",
            )
        summed = self.words(input_ids) + self.positions.weight[:length]
        summed = summed + (self.segments.weight[0] if segment_ids is None else self.segments(segment_ids))
        if (self.tasks is None) != (task_rows is None):
            have = "has no task tokens but rows were given" if self.tasks is None else "has task tokens but no rows"
            raise ValueError(f"the model {have}: task_rows must be given exactly when task_specific_tokens is on")
        if self.tasks is not None and task_rows is not None:
            summed = torch.cat([summed[:, :1], self.tasks(task_rows)[:, None], summed[:, 1:]], dim=1)
            if mask is not None:
                mask = torch.cat([mask[:, :1], torch.ones_like(mask[:, :1]), mask[:, 1:]], dim=1)
        return self.dropout(self.norm(summed)), mask


class ImageEmbedding(nn.Module):
    """Projected region features + projected box numbers, ``width`` (V) wide."""

    def __init__(self, config: Settings, width: int) -> None:
        super().__init__()
        self.features = nn.Linear(config.v_feature_size, width)
        self.boxes = nn.Linear(5, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)  # the text stream's rate, as in the original

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(I, R, V) from features (I, R, F) of any float type and boxes (I, R, 5) x1/W y1/H x2/W y2/H area share."""
        features, boxes = features.to(self.features.weight.dtype), boxes.to(self.boxes.weight.dtype)
        embedding: Tensor = self.dropout(self.norm(self.features(features) + self.boxes(boxes)))
        return embedding

    @torch.no_grad()
    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Fold (feature - mean) / std into the projection: its weight becomes W / std, its bias b - W mean / std.

        Args:
            mean, std: (F,) of the region features that training will see; a constant feature (std 0) is only centred.
        """
        weight = self.features.weight
        if mean.shape != (weight.shape[1],) or std.shape != (weight.shape[1],):
            raise ValueError(f"mean {tuple(mean.shape)} and std {tuple(std.shape)} must be ({weight.shape[1]},)")
        scale = torch.where(std > 0, std, 1).to(weight)
        weight.div_(scale)
        self.features.bias.sub_(weight @ mean.to(weight))


class Poolers(nn.Module):
    """First position of the words (H) and of the regions (V) -> Linear -> ReLU, (P, B)."""

    def __init__(self, text: int, image: int, fused: int) -> None:
        super().__init__()
        self.text = nn.Linear(text, fused)
        self.image = nn.Linear(image, fused)

    def forward(self, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        return self.text(words[:, 0]).relu(), self.image(regions[:, 0]).relu()
