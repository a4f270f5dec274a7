"""Small images in the page: JPEGs as data URIs, within a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageOps

from twelve.formats.data_root import DataRoot
from twelve.types.predictions import CardImage, Frame

SIDE = 320
"""Length of the longer side of an image, in pixels."""
QUALITY = 68
BUDGET = 3_000_000
"""Maximum number of characters of all images of a page."""


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image to show.

    Attributes:
        uri: data URI of the JPEG, or "" if the data root has no such image.
        width, height: of the original, in pixels.
        label: text below it.
        own: whether it is marked as the correct one.
    """

    id: str
    uri: str
    width: int
    height: int
    label: str = ""
    own: bool = False
    frames: Sequence[Frame] = ()


@dataclass(slots=True)
class ImageFiles:
    """Images of a data root as data URIs, within a budget.

    Args:
        root: the data root; if None, every image is missing.
        budget: characters left.
    """

    root: DataRoot | None
    budget: int = BUDGET
    missing: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    _made: dict[tuple[str, int], tuple[str, int, int]] = field(default_factory=dict)

    def show(self, wanted: CardImage) -> ShownImage:
        """An image, scaled down to :data:`SIDE` x its scale. Its URI is empty if the file is missing or the budget is
        exhausted."""
        key = wanted.image, round(SIDE * wanted.scale)
        if key not in self._made:
            self._made[key] = self._make(*key)
        uri, width, height = self._made[key]
        self.budget -= len(uri)
        if uri and self.budget < 0:
            self.budget += len(uri)
            self.left_out.add(wanted.image)
            uri = ""
        inside = [frame.within(width, height) for frame in wanted.frames]
        return ShownImage(wanted.image, uri, width, height, wanted.label, wanted.own, inside)

    def _make(self, image_id: str, side: int) -> tuple[str, int, int]:
        file = None if self.root is None else self.root.image_file(image_id)
        if file is None:
            self.missing.add(image_id)
            return "", 0, 0
        try:
            with Image.open(file) as opened:
                upright = ImageOps.exif_transpose(opened)
                width, height = upright.size
                small = upright.convert("RGB")
                small.thumbnail((side, side), Image.Resampling.LANCZOS)
        except (OSError, ValueError, SyntaxError):  # what Pillow raises for a damaged file
            self.missing.add(image_id)
            return "", 0, 0
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=QUALITY, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii"), width, height
