"""Is a statement true of two images (NLVR2: Suhr et al. 2019)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from twelve.errors import DataError
from twelve.outputs.base import Output, Prediction, Prospects
from twelve.outputs.classes import rank
from twelve.outputs.heads import PairClassifier
from twelve.outputs.losses import as_rows, label_at_best, mean_over_classes
from twelve.types.examples import Example
from twelve.types.regions import Regions

CLASSES = (False, True)


class Pair(Output):
    """False (0) or True (1). ``Example.target`` is a bool, or None where it is not known."""

    kind: ClassVar[str] = "pair"
    skill: ClassVar[str] = "verification"
    reads: ClassVar[Literal["fused", "regions"]] = "fused"
    shown_as: ClassVar[Literal["sigmoid", "softmax"]] = "softmax"

    def labels(self, vocabulary: Sequence[str]) -> Sequence[str | bool]:
        return CLASSES

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P/2, 2): the rows of an example's two images stand side by side."""
        return PairClassifier(fused_size, len(CLASSES))

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Mean binary cross-entropy of (E, 2) logits against one-hot rows."""
        return mean_over_classes(logits, targets["target"])

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 where the highest logit is the right class, else 0."""
        return label_at_best(logits, as_rows(targets["target"], len(CLASSES)))

    def pairs(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, pool: Any = None
    ) -> list[list[tuple[str, str]]]:
        """Two pairs an example: the text with the first image, the text with the second."""
        for example in examples:
            if len(example.images) != 2:
                raise DataError(f"two images are needed, {len(example.images)} given", record=example.id)
        return [[(example.text, image) for image in example.images] for example in examples]

    def label(self, example: Example) -> Hashable | None:
        return bool(example.target)

    def targets(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> dict[str, Tensor]:
        """``target``: (E,) int64, 0 False, 1 True, -1 where there is no label."""
        classes = [-1 if example.target is None else int(bool(example.target)) for example in examples]
        return {"target": torch.tensor(classes, dtype=torch.int64)}

    def prospects(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> Prospects:
        return Prospects(chance=np.full(len(examples), 1 / len(CLASSES)), best=np.ones(len(examples)))

    def decode(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> list[Prediction]:
        """True or False with its softmax share."""
        return rank(CLASSES, logits)
