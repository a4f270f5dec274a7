"""Limits and sizes: of images that are decoded, of a network's input, of grids."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from twelve.errors import ConfigError

MAX_PIXELS = 89_478_485
"""Width times height of the largest image that is decoded: a quarter of a gigabyte of RGB, Pillow's own limit."""
LARGEST = 4096
"""Longest side of a network's input, in pixels: four times what any network here was trained on."""
_AREA = 1 << 22
"""Largest area of a network's input, in pixels; its feature maps fit into the memory of a small machine."""
_REMEDY = "choose a smaller input size"


def _check(what: str, pixels: Any, most: int) -> None:
    if type(pixels) is not int or not 0 < pixels <= most:
        raise ConfigError(f"{what}: expected 1 to {most:,} pixels, found {pixels!r:.40}", remedy=_REMEDY)


@dataclass(frozen=True, slots=True)
class InputSize:
    """Scales an image and keeps its aspect ratio.

    The short side becomes ``short_side`` pixels, unless the image would grow by more than ``max_scale`` or its long
    side would exceed ``long_side``. Both sides are rounded to multiples of ``multiple``.

    Raises:
        ConfigError: a value is not a number or is out of range.
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
        """(width, height) of the network's input for an image of ``width`` x ``height`` pixels."""
        scale = min(self.short_side / min(width, height), self.long_side / max(width, height), self.max_scale)
        return tuple(max(1, round(side * scale / self.multiple)) * self.multiple for side in (width, height))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Scales every image to one size, whatever its shape.

    Raises:
        ConfigError: a value is not a number or is out of range.
    """

    wide: int
    high: int

    def __post_init__(self) -> None:
        _check("width", self.wide, LARGEST)
        _check("height", self.high, LARGEST)
        _check("area", self.wide * self.high, _AREA)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the network's input for an image of ``width`` x ``height`` pixels."""
        return self.wide, self.high


Size: TypeAlias = InputSize | FixedSize

WINDOWS = 10_000
"""Largest number of boxes per image: the regions of an image are in memory together."""
_GRID = re.compile(
    r"grid(?::(?:(?P<rows>[1-9]\d{0,3})x(?P<columns>[1-9]\d{0,3})|(?P<size>[1-9]\d{0,5})(?:/(?P<step>[1-9]\d{0,5}))?))?",
    re.ASCII,
)


def grid_numbers(words: str) -> dict[str, int] | None:
    """The rows and columns, or the size and step, in ``grid``, ``grid:ROWSxCOLUMNS`` or ``grid:SIZE[/STEP]``; None for
    any other text and for more than :data:`WINDOWS` windows."""
    match = _GRID.fullmatch(words)
    if match is None:
        return None
    numbers = {key: int(value) for key, value in match.groupdict().items() if value is not None}
    return None if numbers.get("rows", 1) * numbers.get("columns", 1) > WINDOWS else numbers


def size_for(size: Size, multiple: int) -> Size:
    """``size`` with both sides rounded to multiples of ``multiple`` pixels."""
    if isinstance(size, FixedSize):
        return FixedSize(*(max(1, round(side / multiple)) * multiple for side in (size.wide, size.high)))
    return replace(size, multiple=math.lcm(size.multiple, multiple))
