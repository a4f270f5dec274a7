"""Scenes of the microworld, and how they are sampled.

A scene is a ground with three to eight things. Attributes are sampled uniformly and independently, so that none reveals
another; only the layout is constrained (inside the image, every thing mostly visible).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Box: TypeAlias = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, origin top left."""

WIDTH, HEIGHT = 160, 128

KINDS = {
    "ball": ("toy", 37),
    "kite": ("toy", 38),
    "umbrella": ("accessory", 28),
    "car": ("vehicle", 3),
    "boat": ("vehicle", 9),
    "bird": ("animal", 16),
    "cup": ("kitchenware", 47),
    "bottle": ("kitchenware", 44),
    "chair": ("furniture", 62),
    "plant": ("furniture", 64),
    "clock": ("household", 85),
    "book": ("household", 84),
}
"""Kind -> (family, id of a similar COCO category)."""

COLOURS = {
    "red": (210, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 220, 50),
    "green": (40, 150, 60),
    "blue": (50, 90, 220),
    "purple": (140, 60, 170),
    "black": (35, 35, 35),
    "white": (245, 245, 245),
}
"""Colour -> RGB."""

PATTERNS = ("plain", "striped", "dotted")
SIZES = {"small": (22.0, 28.0), "large": (40.0, 50.0)}
"""Size -> range of a thing's longer side in pixels; the gap makes sizes unambiguous."""

GROUNDS = ("grass", "sand", "snow", "stone")
FEWEST, MOST = 3, 8
VISIBLE = 0.6
"""Minimum share of a thing's box that stays visible."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene. Later things are in front of earlier ones."""

    kind: str
    colour: str
    size: str
    pattern: str
    box: Box

    @property
    def family(self) -> str:
        return KINDS[self.kind][0]

    @property
    def centre(self) -> tuple[float, float]:
        x1, y1, x2, y2 = self.box
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True, slots=True)
class WorldScene:
    """A ground and the things on it, back to front."""

    ground: str
    things: tuple[Thing, ...]
    width: int = WIDTH
    height: int = HEIGHT


def sample_scene(rng: np.random.Generator, unseen: Iterable[tuple[str, str]] = ()) -> WorldScene:
    """Sample a scene.

    Args:
        unseen: (colour, kind) combinations that must not occur, as they are reserved for test sets.
    """
    banned = set(unseen)
    while True:
        things: list[Thing] = []
        for _ in range(int(rng.integers(FEWEST, MOST + 1))):
            for _ in range(30):
                thing = _thing(rng)
                if (thing.colour, thing.kind) not in banned and _fits(thing, things):
                    things.append(thing)
                    break
        if len(things) >= FEWEST:
            return WorldScene(str(rng.choice(GROUNDS)), tuple(things))


def _thing(rng: np.random.Generator) -> Thing:
    kind, colour = str(rng.choice(list(KINDS))), str(rng.choice(list(COLOURS)))
    size, pattern = str(rng.choice(list(SIZES))), str(rng.choice(PATTERNS))
    side = rng.uniform(*SIZES[size])
    width, height = np.round(side * np.minimum(1, np.array(ASPECT[kind]))).tolist()
    x, y = float(rng.integers(1, WIDTH - int(width))), float(rng.integers(1, HEIGHT - int(height)))
    return Thing(kind, colour, size, pattern, (x, y, x + width, y + height))


ASPECT = {
    "ball": (1.0, 1.0),
    "kite": (0.8, 1.0),
    "umbrella": (1.0, 0.9),
    "car": (1.0, 0.55),
    "boat": (1.0, 0.8),
    "bird": (1.0, 0.75),
    "cup": (1.0, 0.85),
    "bottle": (0.45, 1.0),
    "chair": (0.65, 1.0),
    "plant": (0.75, 1.0),
    "clock": (0.9, 1.0),
    "book": (1.0, 0.7),
}
"""Kind -> width and height of its box as fractions of the longer side."""


def _fits(thing: Thing, behind: Iterable[Thing]) -> bool:
    """Whether everything stays mostly visible if ``thing`` is put in front.

    Existing overlaps are not added up: among at most eight things, two rarely cover the same third.
    """
    return all(
        covered(other.box, thing.box) <= 1 - VISIBLE and covered(thing.box, other.box) <= 0.7 for other in behind
    )


def covered(box: Box, by: Box) -> float:
    """Share of ``box`` that ``by`` covers."""
    width = min(box[2], by[2]) - max(box[0], by[0])
    height = min(box[3], by[3]) - max(box[1], by[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((box[2] - box[0]) * (box[3] - box[1]))
