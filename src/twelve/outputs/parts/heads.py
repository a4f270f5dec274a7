"""Modules that the outputs' heads are made of.

Parameter names follow the released classifiers (``logit_fc.0``, ``.2``, ``.3``): the position in the sequence.
Axes: P pairs, B fused width, N positions, W their width.
"""

from __future__ import annotations

from torch import Tensor, nn

LAYER_NORM_EPS = 1e-12


def classifier_layers(inputs: int, hidden: int, classes: int) -> tuple[nn.Module, ...]:
    """Linear, exact-erf GELU, LayerNorm, Linear: the original's two-layer classifier."""
    return (
        nn.Linear(inputs, hidden),
        nn.GELU(),
        nn.LayerNorm(hidden, eps=LAYER_NORM_EPS),
        nn.Linear(hidden, classes),
    )


class Classifier(nn.Sequential):
    """(P, B) fused -> (P, classes) logits through a hidden layer of 2B."""

    def __init__(self, fused_size: int, classes: int) -> None:
        super().__init__(*classifier_layers(fused_size, 2 * fused_size, classes))


class PairClassifier(nn.Sequential):
    """(P, B) fused -> (P/2, classes) logits: rows 2i and 2i+1 are the two images of one statement."""

    def __init__(self, fused_size: int, classes: int) -> None:
        super().__init__(*classifier_layers(2 * fused_size, 2 * fused_size, classes))

    def forward(self, fused: Tensor) -> Tensor:
        if fused.shape[0] % 2:
            raise ValueError(f"expected an even number of rows, two images each, found {fused.shape[0]}")
        logits: Tensor = super().forward(fused.reshape(fused.shape[0] // 2, 2 * fused.shape[1]))  # type: ignore[no-untyped-call]
        return logits


class PositionScorer(nn.Linear):
    """(P, N, W) states of regions or words -> (P, N) logits, one for each position."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states).squeeze(-1)
