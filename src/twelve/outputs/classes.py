"""One of a few classes that an output names: the base of entailment, truth, pair and reply.

Axes: E examples, P pairs, A classes, B fused width.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from twelve.errors import DataError, nearest
from twelve.outputs.base import Examples, Labels, Output, Prospects, RegionSets
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.parts.losses import as_rows, label_at_best, mean_over_classes
from twelve.types.examples import Example
from twelve.types.predictions import Prediction


class Classes(Output):
    """One of :attr:`classes`. ``Example.target`` is one of them, or None if it is unknown."""

    classes: ClassVar[tuple[str | bool, ...]]
    """In the order of the logits."""
    shown_as = "softmax"
    legend = "Bars: the confidence of each class; ✓ marks what is correct."

    def labels(self, vocabulary: Sequence[str]) -> Sequence[str | bool]:
        return self.classes

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P, A)."""
        return nn.Linear(fused_size, len(self.classes))

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Mean binary cross-entropy of (E, A) logits against one-hot rows."""
        return mean_over_classes(logits, targets["target"])

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 if the highest logit is the right class, else 0."""
        return label_at_best(logits, as_rows(targets["target"], len(self.classes)))

    def label(self, example: Example) -> Hashable | None:
        assert isinstance(example.target, str | bool)
        return example.target

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """``target``: (E,) int64 class index, -1 without a label.

        Raises:
            DataError: a target is not one of the classes.
        """
        return {"target": torch.tensor([self._index(example) for example in examples], dtype=torch.int64)}

    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        return Prospects(chance=np.full(len(examples), 1 / len(self.classes)), best=np.ones(len(examples)))

    def decode(self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The most probable class with its probability; ``alternatives`` ranks all classes."""
        return rank(self.classes, logits)

    def _index(self, example: Example) -> int:
        if example.target is None:
            return -1
        if example.target not in self.classes:
            names = [str(name) for name in self.classes]
            raise DataError(
                f"unknown class {example.target!r}{nearest(str(example.target), names)}",
                record=example.id,
                remedy=f"use one of {', '.join(names)}",
            )
        return self.classes.index(example.target)


def rank(values: Sequence[object], logits: Tensor) -> list[Prediction]:
    """The value of each row of (E, A) logits with the largest softmax share (the first of equals), and all values
    ranked."""
    found = []
    for shares in logits.detach().double().softmax(1).tolist():
        ranked = tuple(sorted(zip(values, shares, strict=True), key=lambda item: -item[1]))
        found.append(Prediction(*ranked[0], alternatives=ranked))
    return found
