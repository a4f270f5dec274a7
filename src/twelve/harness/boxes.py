"""Boxes in answers of language models: found in the text, and read in one unit for a whole log.

Axes: N examples of the official files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from twelve.types.examples import Box

READINGS = {"fractions": 1.0, "thousandths": 1000.0, "pixels": None}
"""How boxes are written -> what the image's width is in that unit; None: its width in pixels."""
AS_WRITTEN = "as written"
"""Decide by the largest number of all boxes."""
LARGEST_FRACTION = 1.5
# An answer is anybody's text: what matched is never tried again in parts, so time grows with the length alone.
_DIGITS = r"\d{1,40}+"
_NUMBER = rf"[-+]?(?:{_DIGITS}(?:\.{_DIGITS})?+|\.{_DIGITS})(?:[eE][-+]?{_DIGITS})?+"
_FOUR = re.compile(r"\[\s*+" + r"(?:\s*+,\s*+|\s++)".join([f"({_NUMBER})"] * 4) + r"\s*+\]")
NEAR = 0.005
"""Largest distance between the corners of one box in a log and in the official files, in fractions of the image."""


def found_in(answer: str) -> Box | None:
    """The first four numbers in one pair of brackets, as x1, y1, x2, y2; None if there are none."""
    match = _FOUR.search(answer)
    if match is None:
        return None
    x1, y1, x2, y2 = map(float, match.groups())
    return (x1, y1, x2, y2) if np.isfinite((x1, y1, x2, y2)).all() else None


def reading_of(boxes: Sequence[Box | None]) -> str | None:
    """How boxes are written, by the largest number of all; None where pixels and thousandths both occur."""
    largest = max((max(map(abs, box)) for box in boxes if box is not None), default=0.0)
    return "fractions" if largest <= LARGEST_FRACTION else "thousandths" if largest <= 1000 else None


def in_pixels(box: Box | None, reading: str, size: tuple[float, float] | None) -> Box | None:
    """A box in pixels of its image; None if there is none, or it is turned over.

    Args:
        size: width and height of the image; (1, 1) to leave fractions.

    Raises:
        ValueError: the size is needed, and not known.
    """
    if box is None:
        return None
    unit = READINGS[reading]
    if size is None and unit is not None:
        raise ValueError(f"boxes in {reading} need the sizes of the images")
    if size == (1.0, 1.0) and unit is None:
        raise ValueError("boxes in pixels need the sizes of the images")
    wide, high = (1.0, 1.0) if unit is None or size is None else (size[0] / unit, size[1] / unit)
    x1, y1, x2, y2 = box[0] * wide, box[1] * high, box[2] * wide, box[3] * high
    return (x1, y1, x2, y2) if x1 <= x2 and y1 <= y2 else None


def fractions(box: Any, size: tuple[float, float]) -> list[float]:
    """A box in pixels as fractions of its image."""
    wide, high = size
    return [box[0] / wide, box[1] / high, box[2] / wide, box[3] / high]


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """The harnesses' IoU, on plain areas; 0 for boxes without a common area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / whole if whole > 0 else 0.0
