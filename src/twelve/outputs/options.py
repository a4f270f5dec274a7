"""Which of several given texts belongs to a text and an image: the answer among choices, its reason, the next turn.

Each option is a pair of its own, the text before it and the image, and the alignment logit says how well the three go
together: one softmax over the options, as the original trains VCR and Visual Dialog (vilbert-multi-task). Where there
are many options, training sees the right one and a few others, drawn anew each time, and measuring sees all.
Axes: E examples, P pairs, O options of an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from twelve.outputs.alignment import Alignment
from twelve.outputs.base import Output, Prospects, register
from twelve.outputs.classes import rank
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.parts.losses import precise
from twelve.types.examples import SEPARATOR, Example
from twelve.types.predictions import Card, Prediction, RecordedPrediction
from twelve.types.regions import Regions

TRAINED = 4
"""Options that a training step sees: the right one and, of more than three others, three (the original's number)."""


_PAIRS = Alignment()
"""Whose head and loss these are."""


@register
class Options(Output):
    """One of ``Example.options``; ``Example.target`` is the index of the right one, None where it is not known.

    The pairs of an example have the right option first, then the others in their order; :meth:`decode` puts them back.
    """

    kind = "options"
    skill = "answering"
    image_free = "options"
    values = (int,)
    index_of = "options"
    asks = "Choose among texts that are given with the image: the right answer, its reason, the next turn."
    legend = "Bars: the texts the model finds likeliest; ✓ marks what is right."
    metrics: ClassVar = {
        "R@1": "Recall at 1: share of the examples whose right text is ranked first.",
        "R@5": "Recall at 5: share of the examples whose right text is among the first five.",
        "R@10": "Recall at 10: share of the examples whose right text is among the first ten.",
    }

    @property
    def head_kind(self) -> str:
        return _PAIRS.kind

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P, 1), the alignment head."""
        return _PAIRS.head(fused_size=fused_size, visual_size=visual_size, size=size)

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of (P, 1) logits over each example's options, averaged over the examples."""
        return _PAIRS.loss(logits, targets)

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 where the right option's logit is above all others, else 0: a tie is not right."""
        rows = precise(logits).reshape(targets["target"].shape[0], -1)
        return (rows[:, :1] > rows[:, 1:]).all(1).to(torch.float32)

    def pairs(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, pool: Any = None
    ) -> list[list[tuple[str, str]]]:
        """Of every example the right option first: all of them, or :data:`TRAINED` while training (``rng`` given)."""
        found = []
        for example in examples:
            order = _order(example)
            if rng is not None and len(order) > TRAINED:
                others = rng.choice(len(order) - 1, TRAINED - 1, replace=False)
                order = [order[0], *(order[1 + int(other)] for other in others)]
            found.append([(_joined(example, option), example.images[0]) for option in order])
        return found

    def targets(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> dict[str, Tensor]:
        """``target``: (E,) int64 zeros: the first pair of an example is the right one."""
        return _PAIRS.targets(examples, regions, vocabulary)

    def prospects(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> Prospects:
        """One of the options, whichever."""
        return Prospects(np.array([1 / len(example.options) for example in examples]), np.ones(len(examples)))

    def decode(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> list[Prediction]:
        """For each example the best option's index with its softmax share; ``alternatives`` ranks all options."""
        rows = logits.detach().reshape(len(examples), -1)
        order = torch.tensor([_order(example) for example in examples], device=rows.device)
        own = torch.empty_like(rows).scatter_(1, order, rows)
        return rank(range(own.shape[1]), own)

    def card(self, record: RecordedPrediction) -> Card:
        def text(index: Any) -> Any:
            return record.options[index] if index in range(len(record.options)) else index

        named = replace(
            record,
            text=record.text.replace(SEPARATOR, " / "),
            value=text(record.value),
            target=text(record.target),
            alternatives=tuple((text(index), share) for index, share in record.alternatives),
        )
        return super().card(named)


def _order(example: Example) -> list[int]:
    """Indices of an example's options, the right one first."""
    indices = list(range(len(example.options)))
    if example.target is None:
        return indices
    if isinstance(example.target, bool) or not isinstance(example.target, int):
        raise TypeError(f"{example.id}: the target is an option's index, not {example.target!r}")
    if example.target not in indices:
        raise ValueError(f"{example.id}: option {example.target} of {len(indices)}")
    indices.remove(example.target)
    return [example.target, *indices]


def _joined(example: Example, option: int) -> str:
    text = example.options[option]
    return f"{example.text}{SEPARATOR}{text}" if example.text else text
