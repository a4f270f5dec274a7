"""Shapes of all kinds of things: parts in fractions of their box, back to front.

Body parts have the thing's colour and pattern; other parts are neutral, so as not to compete with the colour. The parts
of a kind together touch all four edges of its box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Point: TypeAlias = tuple[float, float]
Tone: TypeAlias = Literal["body", "deep", "dark", "grey", "pale"]
"""body: the thing's colour and pattern; deep: a darker tone without pattern; others: neutral."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a thing.

    Attributes:
        form: polygon (its corners), ellipse (two corners of its box) or line (its points).
        points: x, y in fractions of the thing's box.
        tone: its fill.
        width: of a line, as a fraction of the box's longer side.
    """

    form: Literal["polygon", "ellipse", "line"]
    points: tuple[Point, ...]
    tone: Tone = "body"
    width: float = 0.0


def _polygon(*points: Point, tone: Tone = "body") -> Part:
    return Part("polygon", points, tone)


def _ellipse(x1: float, y1: float, x2: float, y2: float, tone: Tone = "body") -> Part:
    return Part("ellipse", ((x1, y1), (x2, y2)), tone)


def _line(*points: Point, width: float = 0.05, tone: Tone = "dark") -> Part:
    return Part("line", points, tone, width)


def _arc(centre: Point, radii: Point, start: float, end: float, steps: int = 12) -> tuple[Point, ...]:
    """Points of an arc, in degrees clockwise from the right (y points down)."""
    angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return tuple((centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles)


def _leaf(tip: Point, root: Point = (0.5, 0.66), width: float = 0.13) -> Part:
    """A pointed leaf from ``root`` to ``tip``, widest past its middle."""
    dx, dy = tip[0] - root[0], tip[1] - root[1]
    length = math.hypot(dx, dy)
    across = (-dy / length * width, dx / length * width)
    left = tuple((root[0] + dx * t + across[0] * w, root[1] + dy * t + across[1] * w) for t, w in _LEAF)
    right = tuple((root[0] + dx * t - across[0] * w, root[1] + dy * t - across[1] * w) for t, w in reversed(_LEAF))
    return _polygon(root, *left, tip, *right)


_LEAF = ((0.25, 0.55), (0.5, 1.0), (0.75, 0.8))


def _scallops(y: float, depth: float, count: int) -> tuple[Point, ...]:
    """The lower edge of a canopy from right to left, as ``count`` arcs."""
    half = 0.5 / count
    return tuple(
        point for k in range(count) for point in _arc((1 - half * (2 * k + 1), y), (half, depth), 0, -180, steps=6)
    )


def _wheel(x: float) -> Sequence[Part]:
    return _ellipse(x - 0.13, 0.53, x + 0.13, 1.0, "dark"), _ellipse(x - 0.055, 0.665, x + 0.055, 0.865, "grey")


SHAPES: Mapping[str, Sequence[Part]] = {
    "ball": (
        _ellipse(0, 0, 1, 1),
        _line(*_arc((-0.22, 0.5), (0.55, 0.62), -41, 41), width=0.04),
        _line(*_arc((1.22, 0.5), (0.55, 0.62), 139, 221), width=0.04),
    ),
    "kite": (
        _line((0.5, 0.7), (0.42, 0.8), (0.58, 0.9), (0.5, 1.0), width=0.04),
        _polygon((0.34, 0.77), (0.34, 0.89), (0.58, 0.77), (0.58, 0.89), tone="deep"),
        _polygon((0.42, 0.89), (0.42, 0.99), (0.66, 0.89), (0.66, 0.99), tone="deep"),
        _polygon((0.5, 0), (1, 0.32), (0.5, 0.76), (0, 0.32)),
        _line((0.5, 0), (0.5, 0.76), width=0.035),
        _line((0, 0.32), (1, 0.32), width=0.035),
    ),
    "umbrella": (
        _line((0.5, 0), (0.5, 0.88), *_arc((0.6, 0.88), (0.1, 0.09), 180, 0, 8), (0.7, 0.82), width=0.055),
        _polygon(*_arc((0.5, 0.58), (0.5, 0.52), 180, 360), *_scallops(0.58, 0.1, 4)),
        _line((0.5, 0.08), *_arc((0.5, 0.56), (0.24, 0.48), 270, 180, 6), width=0.03),
        _line((0.5, 0.08), *_arc((0.5, 0.56), (0.24, 0.48), 270, 360, 6), width=0.03),
    ),
    "car": (
        _polygon(
            (0, 0.8),
            (0, 0.5),
            (0.06, 0.42),
            (0.2, 0.38),
            (0.33, 0),
            (0.7, 0),
            (0.84, 0.38),
            (0.96, 0.44),
            (1, 0.6),
            (1, 0.8),
        ),
        _polygon((0.28, 0.38), (0.37, 0.1), (0.49, 0.1), (0.49, 0.38), tone="pale"),
        _polygon((0.55, 0.38), (0.55, 0.1), (0.66, 0.1), (0.75, 0.38), tone="pale"),
        *_wheel(0.24),
        *_wheel(0.76),
    ),
    "boat": (
        _line((0.48, 0), (0.48, 0.75), width=0.05),
        _polygon((0.53, 0.03), (0.53, 0.66), (0.97, 0.66)),
        _polygon((0.43, 0.14), (0.43, 0.66), (0.1, 0.66)),
        _polygon((0, 0.73), (1, 0.73), (0.84, 1), (0.17, 1), tone="deep"),
    ),
    "bird": (
        _line((0.44, 0.78), (0.4, 1.0), (0.5, 1.0), width=0.045),
        _line((0.58, 0.78), (0.56, 1.0), (0.66, 1.0), width=0.045),
        _polygon((0.84, 0.14), (1, 0.27), (0.84, 0.36), tone="grey"),
        _polygon((0, 0.22), (0.16, 0.18), (0.4, 0.5), (0.32, 0.72), (0.02, 0.44)),
        _ellipse(0.2, 0.3, 0.84, 0.88),
        _ellipse(0.54, 0, 0.9, 0.48),
        _polygon((0.3, 0.42), *_arc((0.46, 0.48), (0.2, 0.25), -20, 130, 6), tone="deep"),
        _ellipse(0.7, 0.12, 0.8, 0.26, "dark"),
    ),
    "cup": (
        _line(*_arc((0.74, 0.47), (0.21, 0.25), -90, 90), width=0.1, tone="deep"),
        _polygon((0, 0.1), (0.76, 0.1), (0.68, 0.92), *_arc((0.38, 0.92), (0.3, 0.08), 0, 180, 8), (0.08, 0.92)),
        _ellipse(0, 0, 0.76, 0.22, "pale"),
        _ellipse(0.06, 0.05, 0.7, 0.19, "dark"),
    ),
    "bottle": (
        _polygon(
            (0.33, 0.1),
            (0.67, 0.1),
            (0.67, 0.26),
            *_arc((0.67, 0.44), (0.33, 0.16), -90, 0, 6),
            (1, 0.95),
            (0.88, 1),
            (0.12, 1),
            (0, 0.95),
            *_arc((0.33, 0.44), (0.33, 0.16), 180, 270, 6),
            (0.33, 0.26),
        ),
        _polygon((0.26, 0), (0.74, 0), (0.74, 0.11), (0.26, 0.11), tone="dark"),
        _line((0.05, 0.5), (0.95, 0.5), width=0.03),
    ),
    "chair": (
        _polygon((0.0, 0.55), (0.13, 0.55), (0.13, 1), (0, 1), tone="deep"),
        _polygon((0.87, 0.55), (1, 0.55), (1, 1), (0.87, 1), tone="deep"),
        _polygon((0.27, 0.6), (0.37, 0.6), (0.37, 0.86), (0.27, 0.86), tone="deep"),
        _polygon((0.63, 0.6), (0.73, 0.6), (0.73, 0.86), (0.63, 0.86), tone="deep"),
        _line((0.16, 0.3), (0.16, 0.55), width=0.05),
        _line((0.84, 0.3), (0.84, 0.55), width=0.05),
        _polygon((0.06, 0.04), (0.2, 0), (0.8, 0), (0.94, 0.04), (0.94, 0.4), (0.06, 0.4)),
        _polygon((0.14, 0.5), (0.86, 0.5), (1, 0.66), (0, 0.66)),
    ),
    "plant": (
        _leaf((0.0, 0.36)),
        _leaf((1.0, 0.36)),
        _leaf((0.16, 0.1)),
        _leaf((0.84, 0.1)),
        _leaf((0.5, 0.0), width=0.15),
        _polygon((0.24, 0.66), (0.76, 0.66), (0.68, 1), (0.32, 1), tone="grey"),
        _polygon((0.19, 0.6), (0.81, 0.6), (0.81, 0.7), (0.19, 0.7), tone="grey"),
    ),
    "clock": (
        _line((0.22, 0.88), (0.1, 1.0), width=0.08),
        _line((0.78, 0.88), (0.9, 1.0), width=0.08),
        _line((0.5, 0), (0.5, 0.2), width=0.05),
        _ellipse(0.06, 0.0, 0.44, 0.3, "deep"),
        _ellipse(0.56, 0.0, 0.94, 0.3, "deep"),
        _ellipse(0, 0.12, 1, 0.97),
        _ellipse(0.3, 0.37, 0.7, 0.72, "pale"),
        _line((0.5, 0.4), (0.5, 0.55), (0.63, 0.61), width=0.045),
    ),
    "book": (
        _polygon((0.0, 0.2), (0.12, 0.08), (0.12, 0.84), (0, 1), tone="deep"),
        _polygon((0, 1), (0.12, 0.82), (1, 0.8), (0.9, 1), tone="pale"),
        _line((0.05, 0.94), (0.94, 0.92), width=0.02, tone="grey"),
        _polygon((0.12, 0), (1, 0), (1, 0.8), (0.12, 0.82)),
        _line((0.22, 0), (0.22, 0.81), width=0.035),
    ),
}
"""Kind -> its parts, facing right."""
