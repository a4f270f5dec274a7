"""Three-way accuracy for SNLI-VE: all classes together and each alone (there is no official program)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLASSES = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True, slots=True)
class Scores:
    """In 0..1; ``per_class`` over the examples whose label is that class, classes without any left out."""

    accuracy: float
    per_class: Mapping[str, float]
    correct: Sequence[bool]


def evaluate(labels: Sequence[str], predictions: Sequence[str]) -> Scores:
    """Accuracy of class names against class names."""
    correct = [label == prediction for label, prediction in zip(labels, predictions, strict=True)]
    per_class = {}
    for name in CLASSES:
        among = [right for label, right in zip(labels, correct, strict=True) if label == name]
        if among:
            per_class[name] = sum(among) / len(among)
    return Scores(sum(correct) / len(correct), per_class, correct)
