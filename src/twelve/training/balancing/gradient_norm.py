"""Weights under which all gradients of an update have one norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from twelve.training.balancing.base import GradientBalancing, register

if TYPE_CHECKING:
    from torch import Tensor


@register
class GradientNorm(GradientBalancing):
    """Every gradient is divided by its norm and multiplied by the geometric mean of the norms.

    As ``optimizer.task_scale: norm``, but with the norms of this update alone instead of running means.
    """

    name: ClassVar[str] = "gradient-norm"

    def weights(self, tasks: Sequence[str], gramian: Tensor) -> Tensor:
        logs = gramian.diagonal().clamp_min(1e-30).log() / 2
        return (logs.mean() - logs).exp()
