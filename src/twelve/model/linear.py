"""Linear layers that run at the processor's speed in float32 where torch's own do not.

torch multiplies in float32 with MKL, which uses AVX-512 on Intel's processors only. On a Zen 5, layers of the paper's
sizes, forward and backward, reach 100 GFLOP/s per core with it, and 190 with oneDNN, which comes with torch too
(benchmarks/results/linear.json). There, these layers use oneDNN.

Axes: S rows, K inputs, N outputs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 64
"""Fewer rows take longer to prepare than to multiply."""
STEPS = 4
"""oneDNN compiles a product anew for each new number of rows, which takes as long as a small product. So rows of zeros
are added, up to the next of 2 ** (STEPS - 1) numbers between two powers of two."""


class Linear(nn.Linear):
    """torch's Linear: (..., K) -> (..., N)."""

    def forward(self, states: Tensor) -> Tensor:
        rows = states.shape[:-1]
        if rows.numel() < FEW or not self._in_onednn(states):
            return F.linear(states, self.weight, self.bias)
        flat = states.reshape(-1, states.shape[-1])
        if torch.is_grad_enabled():
            found: Tensor = _Product.apply(flat, self.weight, self.bias)  # type: ignore[no-untyped-call]
        else:
            found = multiply(flat, self.weight, self.bias)
        return found.view(*rows, -1)

    def _in_onednn(self, states: Tensor) -> bool:
        """Whether the product is one of float32 on a CPU on which oneDNN is faster, and computed now."""
        return (
            states.device.type == "cpu"
            and states.dtype == torch.float32 == self.weight.dtype
            and type(self.weight) is nn.Parameter  # not sharded
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and not torch.onnx.is_in_onnx_export()
            and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            and onednn_is_faster()  # last: what it tries out must not be recorded
        )


@lru_cache
def onednn_is_faster() -> bool:
    """Whether MKL leaves this processor's AVX-512 unused. Decided by its maker, as MKL does, and not by measuring, so
    that a resumed run computes what the interrupted one would have."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    try:
        intel = "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    return not intel and _right()


def _right() -> bool:
    """Whether torch's products in oneDNN, which are not part of its documented interface, are there and right."""
    states, weight, bias = torch.ones(FEW, 16), torch.eye(32, 16), torch.arange(32.0)
    try:
        return torch.equal(multiply(states, weight, bias), F.linear(states, weight, bias))
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False


def multiply(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """states (S, K), weight (N, K), bias (N,) -> (S, N)."""
    return product(_filled(states), weight, bias)[: len(states)]


def product(states: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """oneDNN's product of states (..., K) and a weight (N, K), which may be packed for it -> (..., N).

    Args:
        gelu: followed by the exact GELU.
    """
    activation, variant = ("gelu", "none") if gelu else ("none", "")
    found: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, activation, [], variant)
    return found


def _filled(states: Tensor) -> Tensor:
    """(S, K), and rows of zeros up to a number that occurs more often."""
    rows = len(states)
    rest = -rows % max(16, 1 << rows.bit_length() >> STEPS)
    return F.pad(states, (0, 0, 0, rest)) if rest else states


class _Product(torch.autograd.Function):
    """See :func:`multiply`."""

    @staticmethod
    def forward(ctx, states, weight, bias):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(states, weight)
        return multiply(states, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        states, weight = ctx.saved_tensors
        needs_states, needs_weight, needs_bias = ctx.needs_input_grad
        filled = _filled(gradient)
        return (
            product(filled, weight.t())[: len(states)] if needs_states else None,
            product(filled.t(), _filled(states).t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )
