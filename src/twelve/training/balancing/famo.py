"""Weights under which all losses fall at the same rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Unpack

from pydantic import Field

from twelve.training.balancing.base import BalancingSetting, LossBalancing, check_tasks, register

SMALL = 1e-8
"""Losses are taken to be at least this large."""


@register
class Famo(LossBalancing):
    """ "FAMO: Fast Adaptive Multitask Optimization" (Liu et al. 2023): z = softmax(w) weighs the logarithms of losses,
    and w is trained, by Adam, so that the losses that fall least count more.

    The gradient of sum_t z_t log L_t has the weight z_t / L_t for task t; these are divided by their mean over the
    tasks, at the losses of the iteration before (in the first iteration, all are 1). The authors' program computes each
    batch again after the update, to see how far its loss has fallen; here the next batch of the task stands for it,
    which costs nothing and is noisier. A task that does not train in an iteration counts as unchanged.

    Args:
        rate: learning rate of w.
        decay: its weight decay (L2), which draws the weights together.
    """

    name: ClassVar[str] = "famo"

    def __init__(
        self,
        *,
        rate: Annotated[float, Field(gt=0, lt=1)] = 0.025,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.01,
        **setting: Unpack[BalancingSetting],
    ) -> None:
        super().__init__(**setting)
        self.rate, self.decay = rate, decay
        self.logits, self.first, self.second = ({task: 0.0 for task in self.tasks} for _ in range(3))
        self.losses: dict[str, float] = {}
        self.current: dict[str, float] = {}
        self.mean: float | None = None
        self.steps = 0

    @property
    def shares(self) -> dict[str, float]:
        """Task -> z."""
        powers = {task: math.exp(logit - max(self.logits.values())) for task, logit in self.logits.items()}
        return {task: power / sum(powers.values()) for task, power in powers.items()}

    def weight(self, task: str, loss: float) -> float:
        self.current[task] = max(loss, SMALL)
        return 1.0 if self.mean is None else self.shares[task] / self.current[task] / self.mean

    def end_iteration(self) -> None:
        known = [task for task in self.current if task in self.losses]
        if known:
            self._descend({task: math.log(self.losses[task] / self.current[task]) for task in known})
        self.losses |= self.current
        self.current = {}
        shares = self.shares
        self.mean = sum(shares[task] / loss for task, loss in self.losses.items()) / len(self.losses)

    def _descend(self, fallen: Mapping[str, float]) -> None:
        """A step of Adam along the gradient of sum_t z_t fallen_t, by which losses that fall much lose weight."""
        self.steps += 1
        shares = self.shares
        mean = sum(shares[task] * gain for task, gain in fallen.items())
        for task in self.tasks:
            gradient = shares[task] * (fallen.get(task, 0.0) - mean) + self.decay * self.logits[task]
            self.first[task] = 0.9 * self.first[task] + 0.1 * gradient
            self.second[task] = 0.999 * self.second[task] + 0.001 * gradient**2
            size = math.sqrt(self.second[task] / (1 - 0.999**self.steps)) + 1e-8
            self.logits[task] -= self.rate * self.first[task] / (1 - 0.9**self.steps) / size

    def state_dict(self) -> dict[str, Any]:
        names = ("logits", "first", "second", "losses", "mean", "steps")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        check_tasks(state["logits"], self.tasks)
        for name, value in state.items():
            setattr(self, name, dict(value) if isinstance(value, Mapping) else value)
