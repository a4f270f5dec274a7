"""Baselines: scores that a model must beat to show that it uses the images.

majority    the best constant answer, chosen with hindsight: the most frequent one of the split itself
image-free  a TRAINED model without images: bag of words for classes; box_prior.py for boxes
chance      a value drawn uniformly from all possible ones (Output.prospects); of a task of one's own, an answer drawn
            from those of its training examples
shuffled    the model itself with every image replaced by another one of the split
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from twelve.types.examples import Example
from twelve.types.predictions import Prediction

PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Weights of the squared norm; the best one on held-back training examples is chosen."""


def majority(labels: Sequence[Hashable]) -> Hashable:
    """The most frequent label; the first of equals in sorted order, whatever the file's order."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], str(label)))


def answers_of(examples: Iterable[Example], vocabulary: Sequence[str]) -> list[str]:
    """The answers in the vocabulary that are right, fully or in part, for some of these examples."""
    right = {
        answer
        for example in examples
        if isinstance(example.target, Mapping)
        for answer, score in example.target.items()
        if score > 0
    }
    return [answer for answer in vocabulary if answer in right]


def bag_of_words(
    train: Sequence[tuple[str, Hashable]], choose: Sequence[tuple[str, Hashable]], test: Sequence[str]
) -> list[Prediction]:
    """Multinomial logistic regression on words and word pairs, trained on ``train``.

    Args:
        train: texts with their classes.
        choose: further labelled texts on which the penalty is chosen.
        test: texts to classify.
    """
    classes = sorted({label for _, label in train}, key=str)
    index = {label: i for i, label in enumerate(classes)}
    words = rows_of(terms(text) for text, _ in train)
    gold = torch.tensor([index[label] for _, label in train])
    parts = ([text for text, _ in train], [text for text, _ in choose], test)
    bags, held, tested = (bags_of(map(terms, texts), words) for texts in parts)
    held_gold = torch.tensor([index.get(label, -1) for _, label in choose])

    def fitted(penalty: float) -> _BagModel:
        model = _BagModel(len(words), len(classes))
        minimise(
            model.parameters(),
            lambda: nn.functional.cross_entropy(model(*bags), gold) + penalty / 2 * model.weights.weight.square().sum(),
        )
        return model

    @torch.no_grad()
    def accuracy(model: _BagModel) -> float:
        return float((model(*held).argmax(1) == held_gold).double().mean()) if len(choose) else 0.0

    best = max(map(fitted, PENALTIES), key=accuracy)
    with torch.no_grad():
        shares, rows = best(*tested).softmax(1).max(1)
    return [Prediction(classes[int(row)], float(share)) for row, share in zip(rows, shares, strict=True)]


def derangement(items: Sequence[Hashable], seed: int) -> Mapping[Hashable, Hashable]:
    """A fixed permutation of the distinct items without fixed points (a single item stays)."""
    distinct = sorted(set(items), key=str)
    order = np.random.default_rng(seed).permutation(len(distinct))
    # A cycle: every item is replaced by the next one in random order.
    return {distinct[order[i]]: distinct[order[(i + 1) % len(order)]] for i in range(len(order))}


def rows_of(texts: Iterable[Iterable[str]]) -> dict[str, int]:
    """Row of every term that at least two texts have."""
    counts = Counter(term for text in texts for term in set(text))
    return {term: row for row, term in enumerate(sorted(term for term, count in counts.items() if count >= 2))}


def terms(text: str) -> list[str]:
    """Words and pairs of adjacent words, in lower case."""
    words = re.findall(r"[\w']+", text.lower())
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


def bags_of(texts: Iterable[Iterable[str]], rows: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """Rows of the terms of all texts, concatenated, and the start of each text (as for nn.EmbeddingBag)."""
    bags = [sorted({rows[term] for term in text if term in rows}) for text in texts]
    starts = np.cumsum([0, *map(len, bags)], dtype=np.int64)[: len(bags)]
    return torch.tensor([row for bag in bags for row in bag], dtype=torch.int64), torch.from_numpy(starts)


class _BagModel(nn.Module):
    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(max(1, words), classes, mode="sum")
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.zeros_(self.weights.weight)

    def forward(self, flat: Tensor, starts: Tensor) -> Tensor:
        return torch.as_tensor(self.weights(flat, starts) + self.bias)


def minimise(parameters: Iterable[Tensor], loss: Callable[[], Tensor], *, steps: int = 60, history: int = 10) -> None:
    """Minimise a loss over its whole data with L-BFGS."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, history_size=history, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = loss()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(closure)  # type: ignore[no-untyped-call]
