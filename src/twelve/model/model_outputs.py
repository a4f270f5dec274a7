"""What the model finds: states of each stream before they meet, and what a forward pass returns.

Axes: T texts, I images, P pairs, L text length (one more inside, with a task token), R regions (region 0 global),
H text width, V visual width, B fused width, A answers, C region classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from twelve.model.streams import Trace


@dataclass
class TextStates:
    """Distinct texts, as far as no image decides them: ``states`` (T, L, H), ``mask`` (T, L) bool or None."""

    states: Tensor
    mask: Tensor | None
    trace: Trace = field(default_factory=Trace)


@dataclass
class ImageStates:
    """Distinct images, as far as no text decides them: ``states`` (I, R, V), ``mask`` (I, R) bool or None."""

    states: Tensor
    mask: Tensor | None
    trace: Trace = field(default_factory=Trace)


@dataclass
class TwelveOutput:
    """What a forward pass found; what was not asked for is None or absent.

    Attributes:
        logits: by head: whatever the output's head returns, e.g. "answer" (P, A), "region" (P, R); "word_logit" (P, L);
            "pretraining.words" (P, L, vocabulary), "pretraining.regions" (P, R, C), "pretraining.alignment" (P, 2), and
            "pretraining", a :class:`twelve.outputs.pretraining.PretrainingLogits`.
        words, regions: final states (P, L, H) and (P, R, V).
        pooled_text, pooled_image, fused: (P, B), before dropout.
        text_mask, region_mask: (P, L) and (P, R) bool or None; with a task token, L counts it.
        attentions: (P, N, Q, K) by step, see :class:`twelve.model.streams.Trace`.
        states: by step, and "text.embedding", "image.embedding".
    """

    logits: dict[str, Any] = field(default_factory=dict)
    words: Tensor | None = None
    regions: Tensor | None = None
    pooled_text: Tensor | None = None
    pooled_image: Tensor | None = None
    fused: Tensor | None = None
    text_mask: Tensor | None = None
    region_mask: Tensor | None = None
    attentions: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, Tensor] = field(default_factory=dict)
