"""Predictions: as an output decodes them, as an evaluation records them, and as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from twelve.types.examples import Box


@dataclass(frozen=True, slots=True)
class Prediction:
    """A decoded output of one example.

    Attributes:
        value: an answer, a box (xyxy pixels), the index of a candidate, a bool or a class name.
        confidence: the confidence of that value, in 0..1.
        alternatives: the best values with their confidence, best first; the first one is ``value``.
    """

    value: Any
    confidence: float
    alternatives: tuple[tuple[Any, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedPrediction:
    """One example and its prediction, as an evaluation keeps them for the report.

    Attributes:
        kind: kind of the task's output, which determines what ``target``, ``value`` and ``alternatives`` are.
        target: ``Example.target``; for a retrieval caption the id of its own image.
        value: the prediction; for a retrieval caption the id of the best image.
        score: confidence of ``value``, in 0..1; for retrieval the alignment logit.
        alternatives: the best values with their confidence, best first.
        right: what the example contributes to the headline number, 0..1.
        candidates: boxes (xyxy pixels) that ``target`` and ``value`` are indices of, or none.
        options: texts that ``target`` and ``value`` are indices of, or none.
        rank: rank of a caption's own image in the gallery, from 1, ties counted against the model; else None.
    """

    task: str
    kind: str
    split: str
    id: str
    text: str
    images: tuple[str, ...]
    target: Any
    value: Any
    score: float
    alternatives: tuple[tuple[Any, float], ...]
    right: float
    candidates: tuple[Box, ...] = ()
    options: tuple[str, ...] = ()
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A box to draw on an image, in pixels of the original."""

    box: Box
    role: Literal["wanted", "predicted", "candidate"]

    def within(self, width: int, height: int) -> Frame:
        """The part of it that lies inside an image of this size."""
        x1, y1, x2, y2 = self.box
        clipped = min(max(x1, 0), width), min(max(y1, 0), height), max(min(x2, width), 0), max(min(y2, height), 0)
        return Frame(clipped, self.role)

    @property
    def size(self) -> tuple[float, float]:
        return max(0.0, self.box[2] - self.box[0]), max(0.0, self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class CardImage:
    """An image to show on a card.

    Attributes:
        scale: its size relative to a single image on a card.
        label: text below it.
        own: whether it is marked as the right one.
    """

    image: str
    frames: Sequence[Frame] = ()
    scale: float = 1.0
    label: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that the model considered; ``share`` is its confidence, 0..1."""

    label: str
    share: float
    wanted: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Card:
    """How a prediction is shown to people: data, without any page's markup.

    Attributes:
        text: what was asked.
        says, wanted: the prediction and the right value, in words.
        choices: the best values as bars, or none.
        strip: the images are a ranking, shown small in a row.
    """

    text: str
    images: Sequence[CardImage]
    says: str
    wanted: str
    choices: Sequence[Choice] = ()
    strip: bool = False
