"""Boxes, captions and heat on an image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from twelve.types.examples import Box

BEST, OTHER = (214, 39, 40), (31, 119, 180)
"""Colours of the best box and of the others."""
LEAST_FONT = 12
"""Pixels."""
LONGEST = 2000
"""Characters of a caption."""


def framed(image: Image.Image, frames: Sequence[tuple[Box, float]]) -> Image.Image:
    """A copy of an image with boxes (xyxy pixels), each as strong as its share (0..1) says, the first on top."""
    drawn = image.convert("RGB").copy()
    pen = ImageDraw.Draw(drawn, "RGBA")
    width = max(2, round(min(drawn.size) / 150))
    for place, (box, share) in reversed(list(enumerate(frames))):
        x1, y1, x2, y2 = box
        strength = round(255 * (0.35 + 0.65 * min(1.0, max(0.0, share))))
        corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        pen.rectangle(corners, outline=(*(OTHER if place else BEST), strength), width=width if place else 2 * width)
    return drawn


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two images on one page, at their own sizes."""
    gap = max(4, round(min(*left.size, *right.size) / 25))
    page = Image.new("RGB", (left.width + gap + right.width, max(left.height, right.height)), "white")
    page.paste(left.convert("RGB"), (0, 0))
    page.paste(right.convert("RGB"), (left.width + gap, 0))
    return page


def caption_below(image: Image.Image, text: str) -> Image.Image:
    """A copy with lines of text under it, wrapped to its width; a text longer than a page without its middle."""
    text = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    size = max(LEAST_FONT, round(min(image.size) / 25))
    font = ImageFont.load_default(size)
    columns = max(10, int(image.width / (0.55 * size)))
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, columns) or [""]]
    step = round(1.35 * size)
    page = Image.new("RGB", (image.width, image.height + step * len(lines) + size), "white")
    page.paste(image, (0, 0))
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((size // 2, image.height + size // 2 + number * step), line, fill="black", font=font)
    return page


def heated(image: Image.Image, boxes: Sequence[Box], weights: NDArray[np.floating]) -> Image.Image:
    """A copy whose boxes glow by their weights; where boxes overlap, the strongest counts.

    Args:
        weights: (R,) not negative; the largest is drawn in full.
    """
    heat = np.zeros((image.height, image.width), dtype=np.float32)
    scale = max(float(np.max(weights, initial=0.0)), 1e-9)
    for box, weight in zip(boxes, weights, strict=True):
        x1, y1, x2, y2 = (max(0, round(value)) for value in box)
        part = heat[y1:y2, x1:x2]
        np.maximum(part, weight / scale, out=part)
    grey = np.asarray(image.convert("L").convert("RGB"), dtype=np.float32)
    glow = np.stack([np.full_like(heat, 255), 200 * (1 - heat), np.zeros_like(heat)], axis=-1)
    share = 0.75 * heat[..., None]
    return Image.fromarray((grey * (1 - share) + glow * share).astype(np.uint8))
