"""Tables in Markdown, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Sequence

from twelve.metrics.bootstrap import Interval
from twelve.progress import with_sign
from twelve.study.bootstrap import t_interval

MARK = " *"
"""After a difference whose bootstrap interval does not contain 0, while its t interval over the seeds does."""
REMAINS = " ‡"
"""After a difference that remains significant after Holm's correction (multiple.py)."""
UNCOUNTED = " †"
"""After a mean over all tasks that is not counted (finding_types.py)."""
MOST_DIGITS = 9
"""Fewer digits than these show the sign of a bound; what needs more is an error of rounding."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bounds(low: float, high: float, digits: int = 1, *, signed: bool = True) -> str:
    """An interval: ``[-1.2, +0.3]``. Where it excludes 0, a bound that would round to 0 has as many more digits as show
    its sign: ``[-1.2, -0.01]``."""

    def said(bound: float) -> str:
        shown = (places for places in range(digits, MOST_DIGITS) if low * high > 0 and round(bound, places))
        places = next(shown, digits)
        return with_sign(bound, places) if signed else f"{bound:z.{places}f}"

    return f"[{said(low)}, {said(high)}]"


def gain_of(gain: Interval, digits: int = 1) -> str:
    return f"{with_sign(gain.mean, digits)} {bounds(gain.low, gain.high, digits)}"


def plain(found: Interval) -> str:
    return f"{found.mean:z.1f} {bounds(found.low, found.high, signed=False)}"


def spread(seeds: Sequence[float]) -> str:
    """The t interval over the (S,) seeds of a difference; empty where it is not known."""
    found = t_interval(seeds)
    return "" if found is None else bounds(found.low, found.high)
