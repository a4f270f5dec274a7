"""Weights that a configuration gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Unpack

from pydantic import Field

from twelve.errors import ConfigError, nearest
from twelve.training.balancing.base import BalancingSetting, LossBalancing, register


@register
class Static(LossBalancing):
    """The same weights throughout.

    Args:
        weights: task -> weight; 1 for other tasks.
    """

    name: ClassVar[str] = "static"

    def __init__(
        self, *, weights: Mapping[str, Annotated[float, Field(ge=0)]] | None = None, **setting: Unpack[BalancingSetting]
    ) -> None:
        super().__init__(**setting)
        self.given = dict(weights or {})

    def check(self) -> None:
        for task in self.given:
            if task not in self.tasks:
                raise ConfigError(
                    f"no task {task!r} in this run{nearest(task, self.tasks)}",
                    record=f"balancing.options.weights.{task}",
                    remedy=f"choose among {', '.join(self.tasks)}",
                )

    def weight(self, task: str, loss: float) -> float:
        return float(self.given.get(task, 1.0))
