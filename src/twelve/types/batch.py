"""The input of one forward pass.

Axes: T distinct texts, I distinct images, P pairs, E examples, L text length, R regions (0 global), F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from twelve.types.examples import Example
from twelve.types.regions import Regions

CONTRAST = "contrast"
"""Name of the contrast head among the model's outputs."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of one forward pass, with the examples it was built from.

    Attributes:
        input_ids: (T, L) int64 word-piece ids, padded with 0.
        text_mask: (T, L) bool, True at word pieces; None if no text is padded.
        task_rows: (T,) int64 rows of the task-token table; None if there is none.
        features: (I, R, F) float16 or bfloat16, zero in padding.
        boxes: (I, R, 5) float32 x1/W, y1/H, x2/W, y2/H, area fraction.
        region_mask: (I, R) bool, True at regions; None if no image is padded.
        pair_text, pair_image: (P,) int64 rows of texts and images; None if pair i is row i.
        targets: what the output needs to compute loss and score.
        everywhere: number of examples in the batch over all processes of the run.
        hidden_words, hidden_regions: (T, L) and (I, R - 1) bool, True at masked positions to predict; None without
            masking.
        belonging: (T, I) bool, whether a text is a caption of an image; None unless the contrast head is trained.
    """

    task: str
    output: str
    examples: Sequence[Example]
    regions: Sequence[Regions]
    input_ids: Tensor
    text_mask: Tensor | None
    task_rows: Tensor | None
    features: Tensor
    boxes: Tensor
    region_mask: Tensor | None
    pair_text: Tensor | None
    pair_image: Tensor | None
    targets: Mapping[str, Tensor]
    everywhere: int
    hidden_words: Tensor | None = None
    hidden_regions: Tensor | None = None
    belonging: Tensor | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The model's outputs that training on the batch needs."""
        return (self.output,) if self.belonging is None else (self.output, CONTRAST)

    def inputs(self, device: torch.device | str = "cpu") -> dict[str, Tensor | None]:
        """Keyword arguments of the model's forward pass, on ``device``."""
        names = ("input_ids", "text_mask", "task_rows", "features", "boxes", "region_mask", "pair_text", "pair_image")
        asked = () if self.hidden_words is None else ("hidden_words", "hidden_regions")
        tensors = ((name, getattr(self, name)) for name in (*names, *asked))
        return {name: None if tensor is None else tensor.to(device, non_blocking=True) for name, tensor in tensors}

    def targets_on(self, device: torch.device | str) -> dict[str, Tensor]:
        """The targets, on ``device``."""
        return {name: tensor.to(device, non_blocking=True) for name, tensor in self.targets.items()}

    def pinned(self) -> Batch:
        """The same batch in page-locked memory."""
        moved: dict[str, Any] = {"targets": {name: target.pin_memory() for name, target in self.targets.items()}}
        for item in fields(self):
            if isinstance(value := getattr(self, item.name), Tensor):
                moved[item.name] = value.pin_memory()
        return replace(self, **moved)

    @property
    def pairs(self) -> int:
        return len(self.input_ids) if self.pair_text is None else len(self.pair_text)
