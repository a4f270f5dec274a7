"""Schedules that weight the losses of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Unpack

from pydantic import Field

from twelve.training.balancing.uncertainty import Uncertainty
from twelve.training.schedules.base import Schedule, Setting, register


@register
class UncertaintyWeighted(Schedule):
    """Every task in every iteration, its loss weighted as by the balancing of this name (balancing/uncertainty.py).

    Args:
        rate: see there.
    """

    name: ClassVar[str] = "uncertainty"

    def __init__(self, *, rate: Annotated[float, Field(gt=0, lt=1)] = 0.02, **setting: Unpack[Setting]) -> None:
        super().__init__(**setting)
        self.rule = Uncertainty(rate=rate, tasks=self.tasks)

    def tasks_at(self, iteration: int) -> list[str]:
        return list(self.tasks)

    def weight(self, task: str, loss: float) -> float:
        return self.rule.weight(task, loss)

    def state_dict(self) -> dict[str, Any]:
        return self.rule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rule.load_state_dict(state)
