"""Embeddings of words and regions, and pooling of a trunk's output.

Axes: T texts, I images, P pairs, L text length, R regions (region 0 global), F feature size, H text width,
V visual width, B fused width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twelve.errors import DataError
from twelve.model.attention import LAYER_NORM_EPS
from twelve.model.linear import Linear
from twelve.model.sequences import Sequences
from twelve.model.settings import Settings


class TextEmbedding(nn.Module):
    """Word + position + segment embedding; a task token after [CLS] has neither position nor segment."""

    def __init__(self, config: Settings) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.segments = nn.Embedding(config.type_vocab_size, width)
        self.tasks = nn.Embedding(config.num_task_tokens, width) if config.task_specific_tokens else None
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.dtype: torch.dtype | None = None
        """Of the embedding; None for that of the weights."""

    def forward(
        self,
        input_ids: Tensor,
        mask: Tensor | None,
        segment_ids: Tensor | None,
        task_rows: Tensor | None,
        pack: bool = False,
    ) -> Sequences:
        """Embedding (T, L', H) and mask (T, L') of texts (T, L); L' is L + 1 with task tokens, else L.

        Args:
            input_ids: (T, L) int64.
            mask: (T, L) bool or None.
            segment_ids: (T, L) int64; None means segment 0 everywhere.
            task_rows: (T,) int64 rows of the task-token table; required if and only if there is one.
            pack: leave padding out.

        Raises:
            DataError: a text has more word pieces than the model has positions.
        """
        length = input_ids.shape[1]
        if length > self.positions.num_embeddings:
            raise DataError(
                f"expected at most {self.positions.num_embeddings} word pieces per text, found {length}",
                remedy="truncate texts to max_position_embeddings",
            )
        summed = self.words(input_ids) + self.positions.weight[:length]
        summed = summed + (self.segments.weight[0] if segment_ids is None else self.segments(segment_ids))
        if (self.tasks is None) != (task_rows is None):
            have = "has no task tokens" if self.tasks is None else "has task tokens"
            raise ValueError(f"the model {have}: pass task_rows if and only if task_specific_tokens is on")
        if self.tasks is not None and task_rows is not None:
            summed = torch.cat([summed[:, :1], self.tasks(task_rows)[:, None], summed[:, 1:]], dim=1)
            if mask is not None:
                mask = torch.cat([mask[:, :1], torch.ones_like(mask[:, :1]), mask[:, 1:]], dim=1)
        text = Sequences(summed, mask)
        text = text.packed() if pack else text
        states = self.dropout(self.norm(text.states))
        return text.new(states if self.dtype is None else states.to(self.dtype))


class ImageEmbedding(nn.Module):
    """Projected region features + projected box coordinates, of size ``width`` (V)."""

    def __init__(self, config: Settings, width: int) -> None:
        super().__init__()
        self.features = Linear(config.v_feature_size, width)
        self.boxes = nn.Linear(5, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)  # the text stream's rate, as in the original

    def forward(self, features: Tensor, boxes: Tensor, mask: Tensor | None = None, pack: bool = False) -> Sequences:
        """(I, R, V) from features (I, R, F) of any float type and boxes (I, R, 5) x1/W, y1/H, x2/W, y2/H, area
        fraction.

        Args:
            mask: (I, R) bool or None.
            pack: leave padding out.
        """
        image = Sequences(features, mask)
        if pack:
            image, boxes = image.packed(), Sequences(boxes, mask).packed().states
        features, dtype = image.states, self.features.bias.dtype
        if dtype == torch.bfloat16:  # from float16, torch converts faster by way of float32
            features = features.float()
        features, boxes = features.to(dtype), boxes.to(dtype)
        return image.new(self.dropout(self.norm(self.features(features) + self.boxes(boxes))))

    @torch.no_grad()
    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Fold (feature - mean) / std into the projection: the weight becomes W / std, the bias b - W mean / std.

        Args:
            mean, std: (F,) of the training images' region features; a constant feature (std 0) is only centred.
        """
        weight = self.features.weight
        if mean.shape != (weight.shape[1],) or std.shape != (weight.shape[1],):
            raise ValueError(
                f"expected mean and std of shape ({weight.shape[1]},), found {tuple(mean.shape)} and {tuple(std.shape)}"
            )
        scale = torch.where(std > 0, std, 1).to(weight)
        weight.div_(scale)
        self.features.bias.sub_(weight @ mean.to(weight))


class Poolers(nn.Module):
    """First words (P, H) and first regions (P, V) -> Linear -> ReLU, each (P, B)."""

    def __init__(self, text: int, image: int, fused: int) -> None:
        super().__init__()
        self.text = nn.Linear(text, fused)
        self.image = nn.Linear(image, fused)

    def forward(self, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        return self.text(words).relu(), self.image(regions).relu()
