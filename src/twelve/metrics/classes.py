"""Accuracy over all examples and over those of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Accuracies in 0..1; ``per_class`` covers the examples labelled with that class and omits classes without any.

    Attributes:
        counts: class -> number of examples labelled with it.
        correct: one entry per example, in order.
    """

    accuracy: float
    per_class: Mapping[str, float]
    counts: Mapping[str, int]
    correct: Sequence[bool]


def evaluate(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> ClassScores:
    """Compare predicted class names with the labels (at least one); ``classes`` sets the order of ``per_class``."""
    correct = [label == prediction for label, prediction in zip(labels, predictions, strict=True)]
    per_class, counts = {}, {}
    for name in classes:
        among = [right for label, right in zip(labels, correct, strict=True) if label == name]
        if among:
            per_class[name], counts[name] = sum(among) / len(among), len(among)
    return ClassScores(sum(correct) / len(correct), per_class, counts, correct)
