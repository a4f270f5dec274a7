"""The remaining time of a study."""

from __future__ import annotations

from collections.abc import Sequence

from twelve.progress import clock, counted
from twelve.study.plan import Step


class Remaining:
    """Estimates the remaining time of a study from the steps that this process has taken.

    Attributes:
        world: seconds that the last new world took.
    """

    def __init__(self) -> None:
        self.units = self.seconds = self.last = self.world = 0.0

    def taken(self, step: Step, seconds: float) -> None:
        """Take the time of another step."""
        self.units, self.seconds, self.last = self.units + step.units, self.seconds + seconds, seconds

    def said(self, left: Sequence[Step], worlds: int) -> str:
        """The time of the last step, and the remaining time.

        Args:
            left: the remaining steps.
            worlds: number of worlds that they need and that are not there.
        """
        rest = sum(each.units for each in left) * self.seconds / self.units + worlds * self.world
        return f"{clock(self.last)}; about {clock(rest)} of work left in {counted(len(left), 'step')}"
