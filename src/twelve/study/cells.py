"""Tables in Markdown, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Sequence

from twelve.metrics.bootstrap import Interval
from twelve.study.bootstrap import t_interval

MARK = " *"
"""After a difference whose bootstrap interval does not contain 0, while its t interval over the seeds does."""
REMAINS = " ‡"
"""After a difference that remains significant after Holm's correction (multiple.py)."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_sign(value: float, digits: int = 1) -> str:
    """A difference: ``+1.2``, ``-1.2``, or ``0.0`` without a sign if it rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def gain_of(gain: Interval) -> str:
    return f"{with_sign(gain.mean)} [{with_sign(gain.low)}, {with_sign(gain.high)}]"


def plain(found: Interval) -> str:
    return f"{found.mean:z.1f} [{found.low:z.1f}, {found.high:z.1f}]"


def spread(seeds: Sequence[float]) -> str:
    """The t interval over the (S,) seeds of a difference; empty where it is not known."""
    found = t_interval(seeds)
    return "" if found is None else f"[{with_sign(found.low)}, {with_sign(found.high)}]"
