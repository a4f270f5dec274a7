"""Small images inside the page: JPEGs as data URIs, within a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageOps

from twelve.formats.data_root import DataRoot
from twelve.types.examples import Box

SIDE, STRIP_SIDE = 320, 160
"""Longest side in pixels of an image on its own, and of one in a strip of several."""
QUALITY = 68
BUDGET = 3_000_000
"""Characters that all images of a page may take."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A box to draw: ``role`` is wanted | predicted | candidate. In pixels of the original image."""

    box: Box
    role: str

    def within(self, width: int, height: int) -> Frame:
        """The part of it that lies in an image of this size."""
        x1, y1, x2, y2 = self.box
        clipped = min(max(x1, 0), width), min(max(y1, 0), height), max(min(x2, width), 0), max(min(y2, height), 0)
        return Frame(clipped, self.role)

    @property
    def size(self) -> tuple[float, float]:
        return max(0.0, self.box[2] - self.box[0]), max(0.0, self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image to show.

    Attributes:
        uri: data URI of the JPEG, or "" where the data root has no such image.
        width, height: of the original, in pixels.
        label: what stands under it; ``mark`` is "right", "wrong" or "".
    """

    id: str
    uri: str
    width: int
    height: int
    label: str = ""
    mark: str = ""
    frames: Sequence[Frame] = ()


@dataclass(slots=True)
class ImageFiles:
    """Images of a data root as data URIs; counts what is missing and what has been spent.

    Args:
        root: None when the data root is not there; then every image is missing.
        budget: characters left.
    """

    root: DataRoot | None
    budget: int = BUDGET
    missing: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    _made: dict[tuple[str, int], tuple[str, int, int]] = field(default_factory=dict)

    def show(
        self, image_id: str, *, side: int = SIDE, label: str = "", mark: str = "", frames: Sequence[Frame] = ()
    ) -> ShownImage:
        """The image of an id, at most ``side`` pixels long; without content if it is missing or the budget spent."""
        key = (image_id, side)
        if key not in self._made:
            self._made[key] = self._make(image_id, side)
        uri, width, height = self._made[key]
        self.budget -= len(uri)
        if uri and self.budget < 0:
            self.budget += len(uri)
            self.left_out.add(image_id)
            uri = ""
        inside = [frame.within(width, height) for frame in frames]
        return ShownImage(image_id, uri, width, height, label, mark, inside)

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
