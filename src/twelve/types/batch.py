"""What one forward pass reads.

Axes: T distinct texts, I distinct images, P pairs, E examples, L text length, R regions (0 global), F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from twelve.types.examples import Example
from twelve.types.regions import Regions


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass reads, with the examples it came from.

    Attributes:
        input_ids: (T, L) int64 word pieces, 0 beyond a text's end.
        text_mask: (T, L) bool, True at word pieces; None when no text is shorter than L.
        task_rows: (T,) int64 rows of the task-token table.
        features: (I, R, F) float16, zero beyond an image's regions.
        boxes: (I, R, 5) float32 x1/W, y1/H, x2/W, y2/H, area fraction.
        region_mask: (I, R) bool, True at regions; None when every image has R.
        pair_text, pair_image: (P,) int64 rows of texts and images; None where pair i is row i.
        targets: what the output's loss and score read.
        everywhere: examples of the batch in all processes of the run.
        hidden_words, hidden_regions: (T, L) and (I, R - 1) bool, True where the model is asked what it cannot see; None
            where it is asked for nothing of the kind.
    """

    task: str
    output: str
    examples: Sequence[Example]
    regions: Sequence[Regions]
    input_ids: Tensor
    text_mask: Tensor | None
    task_rows: Tensor
    features: Tensor
    boxes: Tensor
    region_mask: Tensor | None
    pair_text: Tensor | None
    pair_image: Tensor | None
    targets: Mapping[str, Tensor]
    everywhere: int
    hidden_words: Tensor | None = None
    hidden_regions: Tensor | None = None

    def inputs(self, device: torch.device | str = "cpu") -> dict[str, Tensor | None]:
        """Arguments of the model's forward pass, on ``device``."""
        names = ("input_ids", "text_mask", "task_rows", "features", "boxes", "region_mask", "pair_text", "pair_image")
        asked = () if self.hidden_words is None else ("hidden_words", "hidden_regions")
        tensors = ((name, getattr(self, name)) for name in (*names, *asked))
        return {name: None if tensor is None else tensor.to(device, non_blocking=True) for name, tensor in tensors}

    def targets_on(self, device: torch.device | str) -> dict[str, Tensor]:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in self.targets.items()}

    @property
    def pairs(self) -> int:
        return len(self.input_ids) if self.pair_text is None else len(self.pair_text)
