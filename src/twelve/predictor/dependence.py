"""What a result depends on: how much its confidence falls when the model does not see one of the regions.

Axes: R regions (without the whole image); of two images, those of the left one come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twelve.io.json_file import readable
from twelve.outputs.parts.drawing import caption_below, framed, side_by_side
from twelve.outputs.parts.notebook import png
from twelve.outputs.parts.result import NO_IMAGE, named, percent, rounded
from twelve.outputs.parts.warned import Warned
from twelve.outputs.parts.warned import reliable as reliable_with
from twelve.progress import counted
from twelve.types.examples import Box

SIDES = ("left", "right")
"""The images of a question about two, in its order."""
LEAST = 0.05
"""A smaller fall is not worth a mention."""


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Dependence:
    """The confidence of one result with all regions, and without each of them.

    Without a region, the image is what it would be if the region had not been found: the feature of the whole image is
    the mean of the other regions, and if the image has more regions than the model reads, the next one is read instead.

    Attributes:
        text: the question or statement.
        task: the task that answered.
        value: the answer or class with the highest confidence, with all regions; of two images, True or False.
        confidence: the confidence of ``value`` with all regions, 0..1.
        calibrated: as :attr:`twelve.predictor.Result.calibrated`.
        boxes: the R boxes that the model reads, in its order, xyxy pixels of their image.
        confidence_without: (R,) float64 in 0..1: the confidence of the same ``value`` without each box.
        image, right: the photograph, or None; of two images, the left and the right one.
        labels: the detector's class of each box; empty if the detector names no classes.
        sides: the image that each box is in, "left" or "right"; empty if there is one image.
        warnings: as :attr:`twelve.predictor.Result.warnings`.
    """

    text: str
    task: str
    value: str | bool
    confidence: float
    calibrated: bool
    boxes: tuple[Box, ...]
    confidence_without: NDArray[np.float64]
    image: Image.Image | None = None
    right: Image.Image | None = None
    labels: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()

    def __repr__(self) -> str:
        return f"Dependence({named(self.value)!r}, {counted(len(self.boxes), 'region')})"

    def __str__(self) -> str:
        return self.words

    @property
    def reliable(self) -> bool:
        """As :attr:`twelve.predictor.Result.reliable`."""
        return reliable_with(self.warnings)

    @property
    def falls(self) -> NDArray[np.float64]:
        """(R,) in -1..1: how much the confidence falls without each region; negative where it rises."""
        return self.confidence - self.confidence_without

    @property
    def most(self) -> int | None:
        """Index of the region without which the confidence falls most; None if it falls by at most 5 points."""
        if not len(self.boxes):
            return None
        best = int(np.argmax(self.falls))
        return best if self.falls[best] > LEAST else None

    @property
    def words(self) -> str:
        """The finding as a sentence; boxes are counted from 1, in each image."""
        if self.most is None:
            fall = f"its confidence falls by at most {round(100 * LEAST)} points"
            return f"“{named(self.value)}” depends little on any single box: {fall}."
        without = percent(float(self.confidence_without[self.most]))
        side = self.sides[self.most] if self.sides else None
        number = 1 + (self.sides[: self.most].count(side) if side else self.most)
        label = f" ({self.labels[self.most]})" if self.labels else ""
        where = f" of the {side} image" if side else ""
        fall = f"falls from {percent(self.confidence)} to {without}"
        return f"Without box {number}{label}{where}, “{named(self.value)}” {fall}."

    def draw(self) -> Image.Image:
        """The image, or both side by side, with frames around the regions without which the confidence falls; the
        larger the fall, the stronger the frame.

        Raises:
            ValueError: there is no image (a scene was made from regions).
        """
        if self.sides:
            drawn = side_by_side(*(self._drawn(image, side) for image, side in zip(self._images, SIDES, strict=True)))
        else:
            drawn = self._drawn(self.image, None)
        return caption_below(drawn, f"{self.text}\n{self.words}")

    def _drawn(self, image: Image.Image | None, side: str | None) -> Image.Image:
        """One of the images with its own boxes."""
        if image is None:
            raise ValueError(NO_IMAGE)
        order = [k for k in np.argsort(-self.falls, kind="stable") if self.falls[k] > LEAST]
        own = [k for k in order if side is None or self.sides[k] == side]
        shares = [(self.boxes[k], self.falls[k] / self.falls.max()) for k in own]
        return framed(image, shares, best=own[:1] == order[:1])

    @property
    def _images(self) -> tuple[Image.Image | None, ...]:
        return (self.image, self.right) if self.sides else (self.image,)

    def _repr_png_(self) -> bytes | None:
        return None if None in self._images else png(self.draw())

    def to_dict(self) -> dict[str, Any]:
        """All but the images, as plain values; numbers are rounded as in other results."""
        found: dict[str, Any] = rounded(
            {
                "text": self.text,
                "task": self.task,
                "value": named(self.value),
                "confidence": self.confidence,
                "calibrated": self.calibrated,
                "reliable": self.reliable,
                "boxes": [list(map(float, box)) for box in self.boxes],
                "confidence_without": self.confidence_without.tolist(),
                "labels": self.labels,
                "sides": self.sides,
                "warnings": [warning.to_dict() for warning in self.warnings],
            }
        )
        return found

    def to_json(self) -> str:
        """:meth:`to_dict` as a line of JSON."""
        return readable(self.to_dict())
