"""Results of the model: encoded texts and images, and the output of a forward pass.

Axes: T texts, I images, P pairs, L text length (one more inside, with a task token), R regions (region 0 global),
H text width, V visual width, B fused width, A answers, C region classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from twelve.model.sequences import Sequences
from twelve.model.streams import Trace


@dataclass
class EncodedStates:
    """Distinct texts or images, encoded independently of each other.

    Attributes:
        sequences: their states.
        trace: what was recorded on request.
    """

    sequences: Sequences
    trace: Trace = field(default_factory=Trace)

    @property
    def states(self) -> Tensor:
        """(T, L, H) or (I, R, V)."""
        return self.sequences.padded().states

    @property
    def mask(self) -> Tensor | None:
        """(T, L) or (I, R) bool; None without padding."""
        return self.sequences.mask


class TextStates(EncodedStates):
    """Encoded texts; their length includes the task token, if any."""


class ImageStates(EncodedStates):
    """Encoded images."""


@dataclass
class TwelveOutput:
    """Output of a forward pass; parts that were not requested are None or absent.

    Attributes:
        logits: head -> what it returns, e.g. "answer" (P, A), "region" (P, R); "word_logit" (P, L);
            "pretraining.words" (P, L, vocabulary), "pretraining.regions" (P, R, C), "pretraining.alignment" (P, 2), and
            "pretraining", a :class:`twelve.outputs.pretraining.PretrainingLogits`.
        words, regions: final states (P, L, H) and (P, R, V).
        pooled_text, pooled_image, fused: (P, B), before dropout.
        text_mask, region_mask: (P, L) and (P, R) bool or None; L includes the task token, if any.
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
