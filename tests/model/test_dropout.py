"""Dropout in half precision on a CPU is dropout; elsewhere it is torch's, number for number."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from twelve.model.dropout import Dropout, drop


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_shares_and_scale(probability: float, dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    states = torch.full((999, 1001), 2.0, dtype=dtype, requires_grad=True)
    found = drop(states, probability)
    zeros = found == 0
    deviation = (probability * (1 - probability) / zeros.numel()) ** 0.5
    assert float(zeros.float().mean()) == pytest.approx(probability, abs=5 * deviation + 2**-17)
    assert found[~zeros].unique().tolist() == pytest.approx([2 / (1 - probability)], rel=0.01)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert states.grad is not None and torch.equal(states.grad == 0, zeros)
    # Four elements share a number, and are independent all the same.
    flat = zeros.flatten()[: zeros.numel() // 4 * 4].view(-1, 4).double()
    together = torch.corrcoef(flat.T) - torch.eye(4)
    assert float(together.abs().max()) < 6 / len(flat) ** 0.5


def test_repeats_with_the_generator() -> None:
    states = torch.ones(7, 3, dtype=torch.bfloat16)
    state = torch.get_rng_state()
    first, second = drop(states, 0.5), drop(states, 0.5)
    torch.set_rng_state(state)
    assert torch.equal(drop(states, 0.5), first) and torch.equal(drop(states, 0.5), second)
    assert not torch.equal(first, second)


def test_elsewhere_it_is_torchs() -> None:
    states = torch.randn(50, 20)
    state = torch.get_rng_state()
    expected = F.dropout(states, 0.3)
    torch.set_rng_state(state)
    assert torch.equal(drop(states, 0.3), expected)
    assert torch.equal(Dropout(0.3).eval()(states.bfloat16()), states.bfloat16())
    assert torch.equal(drop(states.bfloat16(), 0.0), states.bfloat16())
