"""Weights that are the solution of a bargaining game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from twelve.training.balancing.base import GradientBalancing, register

if TYPE_CHECKING:
    from torch import Tensor

RIDGE = 1e-6
"""Added to the diagonal, so that gradients that cancel each other have a solution."""


@register
class NashMtl(GradientBalancing):
    """ "Multi-Task Learning as a Bargaining Game" (Navon et al. 2022): weights a with G a = 1 / a.

    The authors approach them by a sequence of convex problems. They are the minimum of the convex function
    a' G a / 2 - sum_t log a_t, which a damped Newton method finds in a few steps.
    """

    name: ClassVar[str] = "nash-mtl"

    def weights(self, tasks: Sequence[str], gramian: Tensor) -> Tensor:
        import torch

        matrix = gramian + RIDGE * torch.eye(len(gramian), dtype=gramian.dtype)
        found: Tensor = matrix.diagonal().rsqrt() / len(matrix) ** 0.5
        for _ in range(50):
            slope = matrix @ found - 1 / found
            step: Tensor = torch.linalg.solve(matrix + (found**-2).diag(), slope)
            size = float((slope @ step).clamp_min(0).sqrt())  # Newton's decrement: below 1, whole steps stay positive
            found = found - step / (1 + size if size > 0.25 else 1)
            if size < 1e-9:
                break
        return found
