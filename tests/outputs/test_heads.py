"""The heads' shapes, names and formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from twelve.outputs import OUTPUTS

SIZES = {"fused_size": 6, "visual_size": 5, "size": 11}


def run(kind: str, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    head = OUTPUTS[kind].head(**SIZES).double()
    return head, head(inputs)


@pytest.mark.parametrize(
    ("kind", "rows", "shape", "parameters"),
    [
        ("answer", (4, 6), (4, 11), 12 * 6 + 12 + 12 + 12 + 11 * 12 + 11),
        ("alignment", (4, 6), (4, 1), 6 + 1),
        ("pair", (4, 6), (2, 2), 12 * 12 + 12 + 12 + 12 + 2 * 12 + 2),
        ("entailment", (4, 6), (4, 3), 3 * 6 + 3),
        ("region", (4, 7, 5), (4, 7), 5 + 1),
        ("truth", (4, 6), (4, 2), 2 * 6 + 2),
        ("reply", (4, 7, 5), (4, 7, 3), 3 * 5 + 3),
    ],
)
def test_shapes(kind: str, rows: tuple[int, ...], shape: tuple[int, ...], parameters: int) -> None:
    assert OUTPUTS[kind].reads == ("regions" if kind in ("region", "reply") else "fused")
    head, logits = run(kind, torch.randn(rows, dtype=torch.float64))
    assert logits.shape == shape
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters


@pytest.mark.parametrize("kind", ["answer", "pair"])
def test_classifier_formula(kind: str) -> None:
    """Linear, x * (1 + erf(x / sqrt 2)) / 2, layer normalisation with 1e-12, Linear; names as in the released files."""
    fused = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    head, logits = run(kind, fused)
    weights = head.state_dict()
    assert list(weights) == [f"{place}.{what}" for place in (0, 2, 3) for what in ("weight", "bias")]
    x = fused if kind == "answer" else torch.cat([fused[0::2], fused[1::2]], dim=1)
    x = x @ weights["0.weight"].T + weights["0.bias"]
    x = x * (1 + torch.erf(x / math.sqrt(2))) / 2
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-12).sqrt()
    x = x * weights["2.weight"] + weights["2.bias"]
    torch.testing.assert_close(logits, x @ weights["3.weight"].T + weights["3.bias"], rtol=0, atol=1e-12)


def test_a_lone_image_is_refused() -> None:
    with pytest.raises(ValueError, match="even number"):
        run("pair", torch.zeros(3, 6, dtype=torch.float64))
