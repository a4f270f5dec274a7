"""The schedule that trains everything always."""

from __future__ import annotations

from typing import ClassVar

from twelve.training.schedules.base import Schedule, register


@register
class AlwaysGo(Schedule):
    """Every task in every iteration."""

    name: ClassVar[str] = "always-go"

    def tasks_at(self, iteration: int) -> list[str]:
        return list(self.tasks)
