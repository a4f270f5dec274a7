"""Attention without the fused operator gives what the fused one gives."""

import pytest
import torch
import torch.nn.functional as F

from twelve.model.attention import Attention


def _attention(dropout: float = 0.0) -> Attention:
    torch.manual_seed(0)
    return Attention(query_size=32, key_size=48, size=64, heads=4, dropout=dropout)


def _inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(7)[None] < torch.tensor([[7], [3], [1]])
    return torch.randn(3, 5, 32, generator=generator), torch.randn(3, 7, 48, generator=generator), mask


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_cpu_agrees_with_full_precision(dtype: torch.dtype) -> None:
    attention, (queries, keys, mask) = _attention(), _inputs()
    wanted, none = attention(queries, keys, mask)
    found, probabilities = attention.to(dtype)(queries.to(dtype), keys.to(dtype), mask)
    assert none is None and probabilities is None
    torch.testing.assert_close(found.float(), wanted, atol=2e-2, rtol=2e-2)


def test_half_precision_on_a_cpu_leaves_out_the_fused_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(a) or fused(*a, **k))
    attention, (queries, keys, mask) = _attention(), _inputs()
    attention(queries, keys, mask)
    assert len(calls) == 1
    with torch.autocast("cpu", torch.bfloat16):
        attention(queries, keys, mask)
    assert len(calls) == 1


def test_dropout_of_the_probabilities_is_there_in_half_precision() -> None:
    attention, (queries, keys, mask) = _attention(dropout=0.5).bfloat16(), _inputs()
    run = lambda: attention(queries.bfloat16(), keys.bfloat16(), mask)[0]  # noqa: E731
    torch.manual_seed(3)
    first, second = run(), run()
    assert not torch.equal(first, second)
    attention.eval()
    assert torch.equal(run(), run())
