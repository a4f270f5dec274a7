"""What a result depends on: how much its score falls when the model does not see one of the regions.

Axes: R regions (without the whole image).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twelve.outputs.parts.drawing import caption_below, enlarged, framed, heated, scaled
from twelve.outputs.parts.notebook import png
from twelve.outputs.parts.result import NO_IMAGE, named, percent
from twelve.types.examples import Box

LEAST = 0.05
"""A smaller fall of a score is not worth a mention."""


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Dependence:
    """The score of one result with all regions, and without each of them.

    Without a region, the image is what it would be if the region had not been found: the feature of the whole image is
    the mean of the other regions, and if the image has more regions than the model reads, the next one is read instead.

    Attributes:
        text: the question or statement.
        task: the task that it was asked as.
        value: the answer or class with the highest score, with all regions.
        score: its score with all regions, 0..1.
        calibrated: as :attr:`twelve.predictor.Result.calibrated`.
        boxes: R boxes, xyxy pixels: those that the model reads, in its order.
        scores: (R,) float64 in 0..1: the score of the same ``value`` without each of them.
        image: the photograph, or None.
        labels: the detector's class of each box; empty if it names none.
    """

    text: str
    task: str
    value: str | bool
    score: float
    calibrated: bool
    boxes: tuple[Box, ...]
    scores: NDArray[np.float64]
    image: Image.Image | None = None
    labels: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Dependence({named(self.value)!r}, {len(self.boxes)} regions)"

    def __str__(self) -> str:
        return self.words

    @property
    def falls(self) -> NDArray[np.float64]:
        """(R,) in -1..1: how much the score falls without each region; negative where it rises."""
        return self.score - self.scores

    @property
    def most(self) -> int | None:
        """Index of the region without which the score falls most; None if it falls by no more than 5 points."""
        if not len(self.boxes):
            return None
        best = int(np.argmax(self.falls))
        return best if self.falls[best] > LEAST else None

    @property
    def words(self) -> str:
        """The finding as a sentence; boxes are counted from 1."""
        if self.most is None:
            least = round(100 * LEAST)
            return f"“{named(self.value)}” falls by no more than {least} points, whichever single box is left out."
        without = percent(float(self.scores[self.most]))
        box = f"box {self.most + 1}" + (f" ({self.labels[self.most]})" if self.labels else "")
        return f"Without {box}, “{named(self.value)}” falls from {percent(self.score)} to {without}."

    def draw(self) -> Image.Image:
        """The image, with the regions highlighted without which the score falls.

        Raises:
            ValueError: there is no image (the scene was made from regions).
        """
        if self.image is None:
            raise ValueError(NO_IMAGE)
        image, factor = enlarged(self.image)
        boxes = [scaled(box, factor) for box in self.boxes]
        drawn = heated(image, boxes, self._heats)
        frames = [] if self.most is None else [(boxes[self.most], 1.0)]
        return caption_below(framed(drawn, frames), f"{self.text}\n{self.words}")

    @property
    def _heats(self) -> NDArray[np.float64]:
        """(R,) 0..1: the falls in proportion to the largest; none if that is not worth a mention."""
        if self.most is None:
            return np.zeros(len(self.boxes))
        found: NDArray[np.float64] = np.maximum(self.falls, 0) / self.falls[self.most]
        return found

    def _repr_png_(self) -> bytes | None:
        return None if self.image is None else png(self.draw())

    def to_dict(self) -> dict[str, Any]:
        """All but the image, as plain values."""
        return {
            "text": self.text,
            "task": self.task,
            "value": named(self.value),
            "score": self.score,
            "calibrated": self.calibrated,
            "boxes": [list(map(float, box)) for box in self.boxes],
            "scores": self.scores.tolist(),
            "labels": list(self.labels),
        }
