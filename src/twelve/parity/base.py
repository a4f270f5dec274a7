"""What a comparison with recorded results finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One recorded quantity beside ours.

    Attributes:
        quantity: name of what was compared, as the recording calls it.
        largest: largest absolute difference over the valid positions (infinite when ours is missing, not a number
            where the recording is a number, or of another shape).
        tolerance: largest difference that passes.
        note: what was left out of the comparison, or why it failed.
    """

    quantity: str
    largest: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference is within its tolerance; a difference that is not a number never is."""
        return self.largest <= self.tolerance
