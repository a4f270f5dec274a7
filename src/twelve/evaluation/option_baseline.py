"""The image-free baseline of a choice among texts: a model trained on the text and the options alone.

The logit of an option is linear in its words and word pairs, its words combined with the first words of each part of
the text ("why", "how many"), its length, and the number of its words that occur in the text. One softmax over the
options.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from twelve.evaluation.baselines import PENALTIES, bags_of, minimise, rows_of, terms
from twelve.outputs.classes import rank
from twelve.progress import Track
from twelve.types.examples import SEPARATOR, Example
from twelve.types.predictions import Prediction

LEARNT, CHOSEN = 4000, 1000
"""Examples, drawn at random, for the weights and for the choice of the penalty."""
OPTIONS = 20
"""Options of an example in training: the right one and others, drawn at random."""
BLOCK = 500
"""Examples scored together."""
LONGEST, SHARED = 20, 5
"""Largest values of the length and of the number of shared words."""

_Case = tuple[str, list[str], int]
"""A text, options, and the index of the right one."""


def bag_of_options(train: Sequence[Example], choose: Sequence[Example], test: Sequence[Example]) -> list[Prediction]:
    """Predictions of the index of the best option, with all options ranked.

    Args:
        train: labelled examples.
        choose: further labelled examples, for the choice of the penalty.
        test: examples to predict; their labels are not used.
    """
    rng = np.random.default_rng(0)
    learnt = [_drawn(example, rng) for example in _some(train, LEARNT, rng)]
    held = [_drawn(example, rng) for example in _some(choose, CHOSEN, rng)]
    rows = rows_of(_features(text, option) for text, options, _ in learnt for option in options)
    best = max(
        (_fit(learnt, rows, penalty) for penalty in PENALTIES),
        key=lambda model: model.accuracy(held) if held else 0.0,
    )
    found: list[Prediction] = []
    with Track("bag of words baseline", len(test), "examples") as track:
        for start in range(0, len(test), BLOCK):
            block = [(example.text, list(example.options), 0) for example in test[start : start + BLOCK]]
            found += best.predictions(block)
            track.advance(len(block))
    return found


def _some(examples: Sequence[Example], most: int, rng: np.random.Generator) -> list[Example]:
    known = [example for example in examples if example.target is not None]
    return [known[row] for row in sorted(rng.permutation(len(known))[:most])]


def _drawn(example: Example, rng: np.random.Generator) -> _Case:
    """The right option, first, and at most :data:`OPTIONS` - 1 of the others."""
    assert isinstance(example.target, int)
    others = [option for place, option in enumerate(example.options) if place != example.target]
    chosen = sorted(rng.permutation(len(others))[: OPTIONS - 1])
    return example.text, [example.options[example.target], *(others[place] for place in chosen)], 0


def _features(text: str, option: str) -> Iterator[str]:
    words = terms(option)
    single = [word for word in words if " " not in word]
    parts = [terms(part) for part in text.split(SEPARATOR)]
    known = {word for part in parts for word in part}
    yield from words
    yield f"length={min(LONGEST, len(single))}"
    yield f"shared={min(SHARED, sum(word in known for word in single))}"
    for (place, part), word in itertools.product(enumerate(parts), single):
        if part:
            yield f"{place}:{part[0]}+{word}"


class _Weights(nn.Module):
    """A weight for every feature of an option. Axes: E examples, O options, equally many in each."""

    def __init__(self, rows: dict[str, int]) -> None:
        super().__init__()
        self.rows = rows
        self.weights = nn.EmbeddingBag(max(1, len(rows)), 1, mode="sum")
        nn.init.zeros_(self.weights.weight)

    def bags(self, choices: Sequence[_Case]) -> tuple[Tensor, Tensor]:
        """Features of all options of all choices."""
        return bags_of((_features(text, option) for text, options, _ in choices for option in options), self.rows)

    def forward(self, flat: Tensor, starts: Tensor, examples: int) -> Tensor:
        """(E, O) logits."""
        return torch.as_tensor(self.weights(flat, starts)).reshape(examples, -1)

    @torch.no_grad()
    def accuracy(self, choices: Sequence[_Case]) -> float:
        right = torch.tensor([index for _, _, index in choices])
        return float((self(*self.bags(choices), len(choices)).argmax(1) == right).double().mean())

    @torch.no_grad()
    def predictions(self, choices: Sequence[_Case]) -> list[Prediction]:
        logits = self(*self.bags(choices), len(choices))
        return rank(range(logits.shape[1]), logits)


def _fit(choices: Sequence[_Case], rows: dict[str, int], penalty: float) -> _Weights:
    """Weights of the least cross-entropy over the options plus ``penalty`` / 2 x their squared norm."""
    model = _Weights(rows)
    bags, right = model.bags(choices), torch.tensor([index for _, _, index in choices])

    def loss() -> Tensor:
        logits = model(*bags, len(choices))
        return nn.functional.cross_entropy(logits, right) + penalty / 2 * model.weights.weight.square().sum()

    minimise(model.parameters(), loss)
    return model
