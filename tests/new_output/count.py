"""How many things an image shows: a new kind of output in one file, as CONTRIBUTING.md describes it.

``tests/test_new_output.py`` puts this file into ``twelve/outputs/`` and uses it, with nothing else changed.
Axes: E examples, P pairs, A counts (from 0), B fused width.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from twelve.outputs.base import Output, Prospects, register
from twelve.outputs.classes import rank
from twelve.outputs.parts.later import F, Tensor, nn, torch
from twelve.outputs.parts.losses import precise
from twelve.outputs.parts.result import Context, Result, percent
from twelve.types.examples import Example
from twelve.types.predictions import Prediction
from twelve.types.regions import Regions

MOST = 3


@dataclass(frozen=True, kw_only=True)
class Counted(Result):
    """How many things an image shows."""

    count: int

    @property
    def words(self) -> str:
        return f"{self.count} things ({percent(self.confidence)})"


@register
class Count(Output):
    """A number from 0 to :data:`MOST`. ``Example.target`` is the number, or None if it is unknown."""

    kind = "count"
    skill = "answering"
    shown_as = "softmax"
    values = (int,)
    asks = "Count the things in an image."
    legend = "Bars: how likely the model finds each number."
    metrics: ClassVar = {"accuracy": "Share of the images whose things were counted exactly."}
    methods = ("count",)
    examples: ClassVar = {"count": 'scene.count("how many boats?")'}

    def name(self, value: object) -> str:
        return f"{value} things"

    def labels(self, vocabulary: Sequence[str]) -> Sequence[str | bool]:
        return [self.name(count) for count in range(1 + MOST)]

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P, A)."""
        return nn.Linear(fused_size, 1 + MOST)

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return F.cross_entropy(precise(logits), targets["target"].to(logits.device))

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return (logits.argmax(1) == targets["target"].to(logits.device)).to(torch.float32)

    def label(self, example: Example) -> Hashable:
        return example.target  # type: ignore[return-value]

    def targets(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> dict[str, Tensor]:
        """``target``: (E,) int64, -1 if it is unknown."""
        counts = [-1 if example.target is None else example.target for example in examples]
        return {"target": torch.tensor(counts, dtype=torch.int64)}

    def prospects(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> Prospects:
        return Prospects(chance=np.full(len(examples), 1 / (1 + MOST)), best=np.ones(len(examples)))

    def decode(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> list[Prediction]:
        return rank(range(1 + MOST), logits)

    def result(self, found: Prediction, context: Context) -> Counted:
        return Counted(count=found.value, **context.fields)
