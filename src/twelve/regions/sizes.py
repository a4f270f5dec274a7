"""How large pictures enter a network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class InputSize:
    """How large a picture enters the network.

    Its short side is scaled to ``short_side`` pixels, unless the picture would grow by more than ``max_scale`` or its
    long side beyond ``long_side``. Both sides are rounded to multiples of ``multiple``.
    """

    short_side: int = 448
    long_side: int = 1024
    max_scale: float = 2.0
    multiple: int = 1

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the network's input for a picture of this size."""
        scale = min(self.short_side / min(width, height), self.long_side / max(width, height), self.max_scale)
        return tuple(max(1, round(side * scale / self.multiple)) * self.multiple for side in (width, height))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Every picture enters the network at one size, whatever its shape."""

    wide: int
    high: int

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the network's input for a picture of this size."""
        return self.wide, self.high


Size: TypeAlias = InputSize | FixedSize


WINDOWS = 10_000
"""Boxes of a picture at most, whatever says how many: its regions are kept in memory together."""
_GRID = re.compile(
    r"grid(?::(?:(?P<rows>[1-9]\d{0,3})x(?P<columns>[1-9]\d{0,3})|(?P<size>[1-9]\d{0,5})(?:/(?P<step>[1-9]\d{0,5}))?))?",
    re.ASCII,
)


def grid_numbers(words: str) -> dict[str, int] | None:
    """rows and columns, or size and step, of ``grid``, ``grid:ROWSxCOLUMNS`` or ``grid:SIZE[/STEP]``; None of anything
    else, also of more than :data:`WINDOWS` windows."""
    match = _GRID.fullmatch(words)
    if match is None:
        return None
    numbers = {key: int(value) for key, value in match.groupdict().items() if value is not None}
    return None if numbers.get("rows", 1) * numbers.get("columns", 1) > WINDOWS else numbers


def size_for(size: Size, multiple: int) -> Size:
    """``size``, its sides rounded to what a network can take."""
    if isinstance(size, FixedSize):
        return FixedSize(*(max(1, round(side / multiple)) * multiple for side in (size.wide, size.high)))
    return replace(size, multiple=math.lcm(size.multiple, multiple))
