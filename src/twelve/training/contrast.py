"""Training of the contrast head: with the tasks that match captions with images, or alone in a frozen model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.data.batch import Collator
from twelve.data.loader import TaskBatches
from twelve.data.prepare import TaskData
from twelve.errors import ConfigError
from twelve.model.network import Network
from twelve.model.vectors import VectorSets, image_vectors, similarities, text_vectors
from twelve.outputs.base import Output
from twelve.outputs.parts.contrast import belonging, contrast_loss
from twelve.outputs.parts.neighbours import NEIGHBOURS, HardPool, HardRows
from twelve.settings import ContrastSettings
from twelve.training.prefixes import under
from twelve.types.batch import CONTRAST, Batch
from twelve.types.examples import Example

BLOCK = 256
"""Images that are compared with all captions at once."""


class ContrastTraining:
    """What the contrast head adds to the steps of a run. With several processes, each contrasts its own part of the
    batch.

    Args:
        settings: None without the head.
        model: the model, frozen as configured.
        sharded: whether processes share its parameters.

    Attributes:
        alone: whether everything but the head is frozen; then the tasks' own losses are left out.

    Raises:
        ConfigError: the head trains alone, and a task does not train it; or it needs vectors outside a step, which a
            sharded model does not compute.
    """

    def __init__(
        self, settings: ContrastSettings | None, model: Network, tasks: Mapping[str, TaskData], *, sharded: bool = False
    ) -> None:
        self.settings = settings
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.alone = settings is not None and all(under(name, CONTRAST) for name in trained)
        idle = [name for name, task in tasks.items() if not task.output.contrasts]
        if self.alone and idle:
            raise ConfigError(
                f"everything but the contrast head is frozen, and {idle[0]} does not train it",
                record="freeze",
                remedy=f"leave the task out (--set tasks.{idle[0]}=null), or freeze less",
            )
        if sharded and settings is not None and (self.alone or settings.hard_negatives):
            raise ConfigError(
                "a sharded model computes no vectors outside a step, which the contrast head needs here",
                record="training.sharding",
                remedy="--set training.sharding=false",
            )

    def outputs(self, batch: Batch) -> tuple[str, ...]:
        """The model's outputs that a step on ``batch`` needs."""
        teaches = self.settings is not None and self.settings.distill > 0
        return (CONTRAST,) if self.alone and not teaches else batch.outputs

    def loss(self, logits: Mapping[str, Any], batch: Batch, output: Output) -> Tensor | None:
        """The weighted loss of the head, from the outputs of a step; None where the batch does not train it."""
        if self.settings is None or batch.belonging is None:
            return None
        vectors, scored = logits[CONTRAST], logits.get(batch.output)
        device = vectors.text.device
        pairs = {
            name: None if rows is None else rows.to(device, non_blocking=True)
            for name, rows in (("pair_text", batch.pair_text), ("pair_image", batch.pair_image))
        }
        return self.settings.weight * contrast_loss(
            vectors,
            batch.belonging.to(device, non_blocking=True),
            matching=None if scored is None else output.matching(scored),
            pairs=pairs,
            examples=len(batch.examples),
            distill=self.settings.distill,
        )


class HardNegatives:
    """The hard negatives that the head chooses for the tasks it is trained with: of each training image the
    :data:`twelve.outputs.parts.neighbours.NEIGHBOURS` others whose captions are, on average, most similar to it.

    Part of every checkpoint, since they are chosen with weights of the past.
    """

    def __init__(self, settings: ContrastSettings | None, model: Network, streams: Mapping[str, TaskBatches]) -> None:
        self.settings, self.model = settings, model
        able = settings is not None and settings.hard_negatives > 0
        self.streams = {name: each for name, each in streams.items() if able and each.collator.contrast}

    def refresh(self, iteration: int) -> None:
        """Choose again, if that is due before an iteration."""
        if self.settings is None or not self.streams or iteration == 0 or iteration % self.settings.refresh:
            return
        self.model.train(False)
        for stream in self.streams.values():
            self._use(stream, *hard_rows(self.model, stream.collator))

    def _use(self, stream: TaskBatches, rows: NDArray[np.int32], shares: NDArray[np.float64]) -> None:
        assert self.settings is not None
        hard = HardRows(rows, shares, self.settings.hard_negatives)
        stream.use(replace(stream.collator, pool=replace(stream.collator.pool, hard=hard)))

    def state_dict(self) -> dict[str, Any]:
        chosen = {name: stream.collator.pool.hard for name, stream in self.streams.items()}
        return {
            name: {"rows": torch.from_numpy(hard.rows), "shares": torch.from_numpy(hard.shares)}
            for name, hard in chosen.items()
            if hard is not None
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, chosen in state.items():
            self._use(self.streams[name], chosen["rows"].numpy(), chosen["shares"].numpy())


def hard_rows(model: Network, collator: Collator) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(I, K) rows of the images whose captions are most similar to each image of a task's pool, and their shares."""
    pool: HardPool = collator.pool
    count = min(NEIGHBOURS, len(pool.images) - 1)
    own = [len(pool.captions[row]) for row in range(len(pool.images))]
    texts = [text for row in range(len(pool.images)) for text in pool.captions[row]]
    of_texts, of_images = text_vectors(model, collator, texts), image_vectors(model, collator, pool.images).rows()
    of = torch.repeat_interleave(torch.tensor(own))  # the image of each caption
    rows, shares = np.empty((len(own), count), np.int32), np.empty((len(own), count))
    for start in range(0, len(own), BLOCK):
        of_captions = similarities(of_texts, VectorSets.joined(of_images[start : start + BLOCK])).double()
        totals = torch.zeros(len(own), of_captions.shape[1], dtype=torch.float64).index_add_(0, of, of_captions)
        similar = model.similarity_scale * (totals / torch.tensor(own)[:, None]).T
        places = torch.arange(len(similar))
        similar[places, start + places] = -torch.inf
        best = similar.topk(count, dim=1)
        rows[start : start + BLOCK] = best.indices.numpy()
        # No share is 0, so that each image can be drawn in the end.
        shares[start : start + BLOCK] = ((best.values.softmax(1) + 1e-9) / (1 + count * 1e-9)).numpy()
    return rows, shares / shares.sum(1, keepdims=True)


def recall_at_1(model: Network, collator: Collator, examples: Sequence[Example]) -> float:
    """Share, 0..1, of the examples' captions whose closest image, among those of all examples, is one of their own."""
    images = list(dict.fromkeys(example.images[0] for example in examples))
    texts = [example.text for example in examples]
    similar = similarities(text_vectors(model, collator, texts), image_vectors(model, collator, images))
    own = belonging(texts, images, examples, None)
    return float(own[torch.arange(len(texts)), similar.argmax(1)].float().mean())
