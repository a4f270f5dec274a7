"""Whether an image entails a statement, contradicts it, or leaves it open (SNLI-VE: Xie et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

from twelve.outputs.base import register
from twelve.outputs.classes import Classes


@register
class Entailment(Classes):
    """``Example.target`` is a class name, or None if it is unknown."""

    kind = "entailment"
    skill = "verification"
    classes = ("contradiction", "neutral", "entailment")
    asks = "Say whether an image proves a statement, contradicts it or leaves it open."
    metrics: ClassVar = {
        "accuracy": "Share of the statements put into the correct class of three; guessing gives about 33."
    }
    methods = ("entails",)
    examples: ClassVar = {"entails": 'scene.entails("a boat is red")'}
