"""Weights that let the task that gains least gain more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Unpack

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twelve.training.balancing.base import BalancingSetting, GradientBalancing, register
from twelve.training.balancing.torchjd_weightings import check_installed

if TYPE_CHECKING:
    from torch import Tensor


@register
class CAGrad(GradientBalancing):
    """ "Conflict-Averse Gradient Descent for Multi-task Learning" (Liu et al. 2021): the direction within a ball of
    radius c |g| around the mean gradient g whose least product with a task's gradient is largest.

    With G the Gramian and b = G 1 / T, the weights w on the simplex minimise w'b + c |g| sqrt(w' G w), by SciPy's SLSQP
    as in the authors' program; the direction is g + c |g| g_w / |g_w|, divided by 1 + c^2 as there.

    Args:
        c: radius; 0 is the mean gradient.
    """

    name: ClassVar[str] = "cagrad"

    def __init__(self, *, c: Annotated[float, Field(ge=0, lt=1)] = 0.4, **setting: Unpack[BalancingSetting]) -> None:
        super().__init__(**setting)
        self.c = c

    def check(self) -> None:
        check_installed(self.name, "scipy")

    def weights(self, tasks: Sequence[str], gramian: Tensor) -> Tensor:
        import torch
        from scipy.optimize import minimize

        matrix, count = gramian.numpy(), len(tasks)
        even = np.full(count, 1 / count)
        product, radius = matrix @ even, self.c * float(even @ matrix @ even) ** 0.5

        def least(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            norm = float(max(w @ matrix @ w, 0.0) + 1e-12) ** 0.5
            return float(w @ product) + radius * norm, product + radius / norm * (matrix @ w)

        total = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)}
        found = minimize(least, even, jac=True, method="SLSQP", bounds=[(0, 1)] * count, constraints=[total]).x
        norm = float(max(found @ matrix @ found, 0.0)) ** 0.5
        weights = even + (radius / norm * found if norm > 1e-9 else 0.0)
        return torch.from_numpy(count * weights / (1 + self.c**2))
