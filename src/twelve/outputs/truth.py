"""Whether a statement is true of one image (FOIL: Shekhar et al. 2017).

The original uses the head for two images (outputs/pair.py), which merges every two rows of a batch. Here the output has
a head of its own.
"""

from __future__ import annotations

from typing import ClassVar

from twelve.outputs.base import register
from twelve.outputs.classes import Classes


@register
class Truth(Classes):
    """True or False; ``Example.target`` is a bool, or None if it is unknown."""

    kind = "truth"
    skill = "verification"
    classes = (True, False)
    values = (bool,)
    asks = "Say whether a statement is true of an image."
    legend = "Bars: the confidence of true and of false; ✓ marks what is correct."
    metrics: ClassVar = {"accuracy": "Share of the statements judged correctly; guessing gives about 50."}
    methods = ("entails",)
    examples: ClassVar = {"entails": 'scene.entails("a boat is red")'}
