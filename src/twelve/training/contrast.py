"""Training of the contrast head: with the tasks that match captions with images, or alone in a frozen model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from twelve.data.batch import Collator
from twelve.data.prepare import TaskData
from twelve.errors import ConfigError
from twelve.model.network import Network
from twelve.model.vectors import image_vectors, text_vectors
from twelve.outputs.base import Output
from twelve.outputs.parts.contrast import belonging, contrast_loss
from twelve.settings import ContrastSettings
from twelve.training.prefixes import under
from twelve.types.batch import CONTRAST, Batch
from twelve.types.examples import Example


class ContrastTraining:
    """What the contrast head adds to the steps of a run. With several processes, each contrasts its own part of the
    batch.

    Args:
        settings: None without the head.
        model: the model, frozen as configured.

    Attributes:
        alone: whether everything but the head is frozen; then the tasks' own losses are left out.

    Raises:
        ConfigError: the head trains alone, and a task does not train it.
    """

    def __init__(self, settings: ContrastSettings | None, model: Network, tasks: Mapping[str, TaskData]) -> None:
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


def recall_at_1(model: Network, collator: Collator, examples: Sequence[Example]) -> float:
    """Share, 0..1, of the examples' captions whose closest image, among those of all examples, is one of their own."""
    images = list(dict.fromkeys(example.images[0] for example in examples))
    texts = [example.text for example in examples]
    similar = text_vectors(model, collator, texts) @ image_vectors(model, collator, images).T
    own = belonging(texts, images, examples, None)
    return float(own[torch.arange(len(texts)), similar.argmax(1)].float().mean())
