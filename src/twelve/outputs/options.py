"""Which of several texts belongs to a text and an image: the answer among choices, its reason, the next turn.

Each option makes a pair of its own: the text followed by the option, and the image. The loss is one softmax over the
options' alignment logits, as the original trains VCR and Visual Dialog (vilbert-multi-task). Of many options, training
uses the right one and a few others, drawn each time; evaluation uses all.
Axes: E examples, P pairs, O options of an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from twelve.outputs.alignment import Alignment
from twelve.outputs.base import Examples, Labels, Output, Prospects, RegionSets, Rng, TextImagePairs, register
from twelve.outputs.classes import rank
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.parts.losses import precise
from twelve.types.examples import SEPARATOR, Example
from twelve.types.predictions import Card, Prediction, RecordedPrediction

TRAINED = 4
"""Options in a training step: the right one and at most three others (the original's number)."""


_PAIRS = Alignment()
"""Its head and loss are used."""


@register
class Options(Output):
    """One of ``Example.options``; ``Example.target`` is the index of the right one, None if it is unknown.

    The pairs of an example have the right option first, then the others in their order; :meth:`decode` puts them back.
    """

    kind = "options"
    skill = "answering"
    image_free = "options"
    values = (int,)
    index_of = "options"
    asks = "Choose among several texts: the correct answer to a question about an image, its reason, the next turn."
    validated = f"choices of the right one among at most {TRAINED} texts, not among all of an example"
    legend = "Bars: the texts the model finds likeliest; ✓ marks what is correct."
    metrics: ClassVar = {
        "R@1": "Recall at 1: share of the examples whose correct text is ranked first.",
        "R@5": "Recall at 5: share of the examples whose correct text is among the first five.",
        "R@10": "Recall at 10: share of the examples whose correct text is among the first ten.",
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
        """(E,) 1 if the right option's logit is above all others, else 0; a tie is wrong."""
        rows = precise(logits).reshape(targets["target"].shape[0], -1)
        return (rows[:, :1] > rows[:, 1:]).all(1).to(torch.float32)

    def pairs(self, examples: Examples, rng: Rng | None = None, pool: Any = None) -> TextImagePairs:
        """All options of every example, the right one first; in training (with ``rng``), :data:`TRAINED` of them."""
        found = []
        for example in examples:
            order = _order(example)
            if rng is not None and len(order) > TRAINED:
                others = rng.choice(len(order) - 1, TRAINED - 1, replace=False)
                order = [order[0], *(order[1 + int(other)] for other in others)]
            found.append([(_joined(example, option), example.images[0]) for option in order])
        return found

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """``target``: (E,) int64 zeros: the first pair of an example is the right one."""
        return _PAIRS.targets(examples, regions, vocabulary)

    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        """Those of an option drawn uniformly."""
        return Prospects(np.array([1 / len(example.options) for example in examples]), np.ones(len(examples)))

    def decode(self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The index of each example's best option with its probability; ``alternatives`` ranks all options."""
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
        raise TypeError(f"{example.id}: expected an option's index as target, found {example.target!r}")
    if example.target not in indices:
        raise ValueError(f"{example.id}: expected an option from 0 to {len(indices) - 1}, found {example.target}")
    indices.remove(example.target)
    return [example.target, *indices]


def _joined(example: Example, option: int) -> str:
    text = example.options[option]
    return f"{example.text}{SEPARATOR}{text}" if example.text else text
