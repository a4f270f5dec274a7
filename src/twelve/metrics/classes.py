"""Accuracy of classes: of all examples, and of those of each class alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scores:
    """In 0..1; ``per_class`` over the examples whose label is that class, classes without any left out.

    Attributes:
        counts: class -> examples whose label it is.
        correct: of each example, in their order.
    """

    accuracy: float
    per_class: Mapping[str, float]
    counts: Mapping[str, int]
    correct: Sequence[bool]


def evaluate(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> Scores:
    """Accuracy of class names against class names, of at least one example; ``classes`` in the order of telling."""
    correct = [label == prediction for label, prediction in zip(labels, predictions, strict=True)]
    per_class, counts = {}, {}
    for name in classes:
        among = [right for label, right in zip(labels, correct, strict=True) if label == name]
        if among:
            per_class[name], counts[name] = sum(among) / len(among), len(among)
    return Scores(sum(correct) / len(correct), per_class, counts, correct)
