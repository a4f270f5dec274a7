"""How large images enter a network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from twelve.errors import ConfigError

LARGEST = 4096
"""Pixels of a side, four times what any network here was trained on."""
_AREA = 1 << 22
"""Pixels of a whole image: what a network makes of them fits into the memory of a small machine."""


_REMEDY = "ask for a smaller size of the network's input"


def _check(what: str, pixels: Any, most: int) -> None:
    if type(pixels) is not int or not 0 < pixels <= most:
        raise ConfigError(f"{what}: expected 1 to {most:,} pixels, found {pixels!r:.40}", remedy=_REMEDY)


@dataclass(frozen=True, slots=True)
class InputSize:
    """How large an image enters the network.

    Its short side is scaled to ``short_side`` pixels, unless the image would grow by more than ``max_scale`` or its
    long side beyond ``long_side``. Both sides are rounded to multiples of ``multiple``.

    Raises:
        ConfigError: a number is none, or larger than any network's input.
    """

    short_side: int = 448
    long_side: int = 1024
    max_scale: float = 2.0
    multiple: int = 1

    def __post_init__(self) -> None:
        _check("short side", self.short_side, LARGEST)
        _check("long side", self.long_side, LARGEST)
        _check("multiple", self.multiple, LARGEST // 4)
        if type(self.max_scale) not in (int, float) or not 0 < self.max_scale <= 100:
            raise ConfigError(f"max_scale: expected 0 to 100, found {self.max_scale!r:.40}", remedy=_REMEDY)
        _check("area", min(self.short_side, self.long_side) * self.long_side, _AREA)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the network's input for an image of this size."""
        scale = min(self.short_side / min(width, height), self.long_side / max(width, height), self.max_scale)
        return tuple(max(1, round(side * scale / self.multiple)) * self.multiple for side in (width, height))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Every image enters the network at one size, whatever its shape.

    Raises:
        ConfigError: a number is none, or larger than any network's input.
    """

    wide: int
    high: int

    def __post_init__(self) -> None:
        _check("width", self.wide, LARGEST)
        _check("height", self.high, LARGEST)
        _check("area", self.wide * self.high, _AREA)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the network's input for an image of this size."""
        return self.wide, self.high


Size: TypeAlias = InputSize | FixedSize


WINDOWS = 10_000
"""Boxes of an image at most, whatever says how many: its regions are kept in memory together."""
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
