"""Weights by the uncertainty of each task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Unpack

from pydantic import Field

from twelve.training.balancing.base import BalancingSetting, LossBalancing, check_tasks, register


@register
class Uncertainty(LossBalancing):
    """The loss L of a task, weighted by the uncertainty of the task.

    "Multi-Task Learning Using Uncertainty to Weigh Losses" (Kendall, Gal, Cipolla 2018) minimises exp(-s) L + s over
    the weights and a log variance s of each task. Here s takes a step of gradient descent at each batch of its task:
    s -= rate (1 - exp(-s) L). Losses of very different sizes come to have similar weights.

    Args:
        rate: learning rate of s.
    """

    name: ClassVar[str] = "uncertainty"

    def __init__(
        self, *, rate: Annotated[float, Field(gt=0, lt=1)] = 0.02, **setting: Unpack[BalancingSetting]
    ) -> None:
        super().__init__(**setting)
        self.rate = rate
        self.log_variances: dict[str, float | None] = dict.fromkeys(self.tasks)

    def weight(self, task: str, loss: float) -> float:
        s = self.log_variances[task]
        if s is None:
            s = math.log(max(loss, 1e-6))  # where the descent would end if the loss stayed as it is
        weight = math.exp(-s)
        # One extreme loss must not throw s so far that the next steps are without effect, or without bound.
        self.log_variances[task] = s - self.rate * max(-1.0, min(1.0, 1.0 - weight * loss))
        return weight

    def state_dict(self) -> dict[str, Any]:
        return dict(self.log_variances)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        check_tasks(state, self.tasks)
        self.log_variances = dict(state)
