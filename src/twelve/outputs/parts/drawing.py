"""Boxes and captions on an image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from twelve.types.examples import Box

BEST, OTHER = (214, 39, 40), (31, 119, 180)
"""Colours of the best box and of the others."""
LEAST_FONT = 12
"""Pixels."""
LEAST_SIDE = 640
"""Pixels of the longer side of what is drawn; smaller images are enlarged."""
LONGEST = 2000
"""Characters of a caption."""


def enlarged(image: Image.Image) -> tuple[Image.Image, float]:
    """An RGB copy of an image, scaled up if its longer side has less than :data:`LEAST_SIDE` pixels, and the factor."""
    factor = max(1.0, LEAST_SIDE / max(image.size))
    size = (round(image.width * factor), round(image.height * factor))
    copy = image.convert("RGB")
    return (copy.resize(size, Image.Resampling.BICUBIC), factor) if factor > 1 else (copy.copy(), 1.0)


def scaled(box: Box, factor: float) -> Box:
    """A box of an image that was scaled."""
    return box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor


def framed(image: Image.Image, frames: Sequence[tuple[Box, float]], *, best: bool = True) -> Image.Image:
    """An enlarged copy of an image with boxes (xyxy pixels), each as strong as its share (0..1) says, the first on top.

    Args:
        best: the first box stands out from the others.
    """
    drawn, factor = enlarged(image)
    pen = ImageDraw.Draw(drawn, "RGBA")
    width = max(2, round(min(drawn.size) / 150))
    for place, (box, share) in reversed(list(enumerate(frames))):
        x1, y1, x2, y2 = scaled(box, factor)
        strength = round(255 * (0.35 + 0.65 * min(1.0, max(0.0, share))))
        corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        first = best and not place
        pen.rectangle(corners, outline=(*(BEST if first else OTHER), strength), width=2 * width if first else width)
    return drawn


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two images on one page, enlarged."""
    left, right = enlarged(left)[0], enlarged(right)[0]
    gap = max(4, round(min(*left.size, *right.size) / 25))
    page = Image.new("RGB", (left.width + gap + right.width, max(left.height, right.height)), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width + gap, 0))
    return page


def caption_below(image: Image.Image, text: str) -> Image.Image:
    """A copy with lines of text under it, wrapped to its width; a text longer than a page without its middle."""
    text = _cut(text)
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


def in_rows(rows: Sequence[tuple[str, Sequence[tuple[Image.Image | None, str]]]]) -> Image.Image:
    """Rows of small images, each below its title, with a label below each image; a missing image is grey."""
    cell, gap, size = 240, 12, 16
    font, step = ImageFont.load_default(size), round(1.35 * size)
    columns = max(len(images) for _, images in rows)
    width = gap + max(3, columns) * (cell + gap)
    titles = [textwrap.wrap(_cut(title), max(10, int((width - 2 * gap) / (0.55 * size)))) for title, _ in rows]
    heights = [step * (len(title) + 1) + cell + 3 * gap for title in titles]
    page = Image.new("RGB", (width, sum(heights)), "white")
    pen, top = ImageDraw.Draw(page), 0
    for title, height, (_, images) in zip(titles, heights, rows, strict=True):
        for number, line in enumerate(title):
            pen.text((gap, top + gap + number * step), line, fill="black", font=font)
        upper = top + gap + step * len(title) + gap // 2
        for column, (image, label) in enumerate(images):
            left = gap + column * (cell + gap)
            shown = Image.new("RGB", (cell, cell), (225, 225, 225)) if image is None else _fitted(image, cell)
            page.paste(shown, (left + (cell - shown.width) // 2, upper + (cell - shown.height) // 2))
            pen.text((left, upper + cell + 2), label[: int(cell / (0.55 * size))], fill="black", font=font)
        top += height
    return page


def _fitted(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def _cut(text: str) -> str:
    """A text without its middle, if it is longer than a page."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
