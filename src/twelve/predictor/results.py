"""What a trained model says: small records that print well, become JSON and draw themselves on their image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twelve.errors import ConfigError, nearest
from twelve.formats.records import describe
from twelve.io.json_file import readable
from twelve.predictor.drawing import caption_below, framed, side_by_side
from twelve.types.examples import Box

if TYPE_CHECKING:
    from twelve.predictor.attention import Attention

SHOWN = 3
"""Alternatives that are printed."""

HIDDEN = {"hidden": True}
"""Of a field that is not written as JSON."""
_NO_IMAGE = "there is no image to draw on: look at an image, not at regions alone"


class HasId(Protocol):
    """A scene, as far as results know one."""

    @property
    def id(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Result:
    """What all answers have.

    Attributes:
        text: the question, phrase, statement or dialogue, for people.
        task: whose kind of question it was taken for.
        score: how sure the model is, 0..1; calibrated where the model was.
        warnings: why the answer may mean nothing (:mod:`twelve.predictor.warnings`); most have none.
        image: the photograph, upright.
        attention: what looked at what in ``image``, where it was asked for.
    """

    text: str
    task: str
    score: float
    warnings: tuple[str, ...] = ()
    image: Image.Image | None = field(default=None, repr=False, compare=False, metadata=HIDDEN)
    attention: Attention | None = field(default=None, repr=False, compare=False, metadata=HIDDEN)

    def __str__(self) -> str:
        return "\n".join((self.said, *(f"warning: {warning}" for warning in self.warnings)))

    @property
    def said(self) -> str:
        """The answer in text, without the warnings."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain values alone."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if not f.metadata.get("hidden")}

    def to_json(self) -> str:
        return readable(self.to_dict())

    def draw(self) -> Image.Image:
        """The image with what was said about it.

        Raises:
            ValueError: the image is not at hand (only its regions are).
        """
        if self.image is None:
            raise ValueError(_NO_IMAGE)
        return caption_below(framed(self.image, self._frames()), f"{self.text}\n{self}")

    def _frames(self) -> Sequence[tuple[Box, float]]:
        """Boxes to draw with the strength (0..1) of each, the strongest first."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Answer(Result):
    """An answer to a question.

    Attributes:
        alternatives: the best answers with their scores, best first.
    """

    answer: str
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def said(self) -> str:
        return _ranked(self.answer, self.score, self.alternatives)


@dataclass(frozen=True, kw_only=True)
class Located(Result):
    """Where in the image a phrase points.

    Attributes:
        box: xyxy pixels of the upright image; None: it is not in the image, as far as the threshold says.
        alternatives: the best boxes with their scores, best first, whatever the threshold.
    """

    box: Box | None
    alternatives: tuple[tuple[Box, float], ...] = ()

    @property
    def found(self) -> bool:
        return self.box is not None

    @property
    def said(self) -> str:
        if self.box is None:
            return f"not in the image (at most {percent(self.score)})"
        x1, y1, x2, y2 = self.box
        return f"box {x1:.0f}, {y1:.0f} to {x2:.0f}, {y2:.0f} ({percent(self.score)})"

    def _frames(self) -> Sequence[tuple[Box, float]]:
        return () if self.box is None else ((self.box, 1.0), *self.alternatives[1 : 1 + SHOWN])


@dataclass(frozen=True, kw_only=True)
class Chosen(Result):
    """One of the boxes that were given.

    Attributes:
        index, box: which, counted from 0 (text and pages count boxes from 1); None: none of them, as far as the
            threshold says.
        alternatives: (index, score) of all of them, best first, whatever the threshold.
    """

    index: int | None
    box: Box | None
    alternatives: tuple[tuple[int, float], ...] = ()
    boxes: tuple[Box, ...] = field(default=(), repr=False, compare=False, metadata=HIDDEN)

    @property
    def found(self) -> bool:
        return self.index is not None

    @property
    def said(self) -> str:
        if self.index is None:
            return f"none of the {len(self.boxes)} boxes (at most {percent(self.score)})"
        return f"box {self.index + 1} of {len(self.boxes)} ({percent(self.score)})"

    def _frames(self) -> Sequence[tuple[Box, float]]:
        others = [(self.boxes[index], score) for index, score in self.alternatives if index != self.index]
        return others if self.box is None else ((self.box, 1.0), *others)


@dataclass(frozen=True, kw_only=True)
class Judged(Result):
    """What a statement is, given an image: one of a few classes.

    Attributes:
        label: entailment, neutral or contradiction; true or false.
        alternatives: all classes with their shares, best first.
    """

    label: str
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def said(self) -> str:
        return _ranked(self.label, self.score, self.alternatives)


@dataclass(frozen=True, kw_only=True)
class Verified(Result):
    """Whether a statement is true of two images.

    Attributes:
        image, right: the left and the right photograph, upright. The attention is that of the left one.
    """

    true: bool
    right: Image.Image | None = field(default=None, repr=False, compare=False, metadata=HIDDEN)

    def draw(self) -> Image.Image:
        """Both images side by side with what was said about them.

        Raises:
            ValueError: one of them is not at hand (only its regions are).
        """
        if self.image is None or self.right is None:
            raise ValueError(_NO_IMAGE)
        return caption_below(side_by_side(self.image, self.right), f"{self.text}\n{self}")

    @property
    def said(self) -> str:
        return f"{'true' if self.true else 'false'} ({percent(self.score)})"


@dataclass(frozen=True, kw_only=True)
class Matched:
    """How well captions and images go together.

    Attributes:
        captions: C texts.
        images: names of I images.
        logits: (C, I) float32, higher where they go together; comparable within a row and within a column.
        temperature: what they are divided by where they become shares.
        task: whose kind of question it was taken for.
        warnings: why shares may mean nothing; those of images name them.
    """

    captions: tuple[str, ...]
    images: tuple[str, ...]
    logits: NDArray[np.float32]
    task: str
    temperature: float = 1.0
    warnings: tuple[str, ...] = ()
    scenes: tuple[str, ...] = field(default=(), repr=False, compare=False, metadata=HIDDEN)

    def ranked_images(self, caption: int | str = 0) -> list[tuple[str, float]]:
        """All images with their shares (which sum to 1) for a caption, best first.

        Args:
            caption: its place, from 0, or itself.

        Raises:
            ConfigError: there is no such caption.
        """
        row = _place(caption, self.captions, "caption")
        return _shares(self.images, self.logits[row] / self.temperature)

    def ranked_captions(self, image: int | str | HasId = 0) -> list[tuple[str, float]]:
        """All captions with their shares (which sum to 1) for an image, best first.

        Args:
            image: its place, from 0, its name, or the scene.

        Raises:
            ConfigError: there is no such image, or several have this name.
        """
        column = self.scenes.index(image.id) if getattr(image, "id", None) in self.scenes else None  # type: ignore[union-attr]
        if column is None:
            column = _place(image, self.images, "image")
        return _shares(self.captions, self.logits[:, column] / self.temperature)

    def to_dict(self) -> dict[str, Any]:
        """Captions with their ranked images, and the logits."""
        return {
            "task": self.task,
            "captions": [
                {"caption": caption, "images": [{"image": i, "share": s} for i, s in self.ranked_images(row)]}
                for row, caption in enumerate(self.captions)
            ],
            "logits": self.logits.tolist(),
            "warnings": list(self.warnings),
        }

    def to_json(self) -> str:
        return readable(self.to_dict())

    def __str__(self) -> str:
        lines = []
        for row, caption in enumerate(self.captions):
            best = ", ".join(f"{image} ({percent(share)})" for image, share in self.ranked_images(row)[:SHOWN])
            lines.append(f"{caption}: {best}")
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def percent(share: float) -> str:
    """A share in 0..1 in per cent; below one with a decimal, so that little is not shown as nothing."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if 0 < share < 0.0095 else f"{share:.0%}"


def _place(which: object, names: Sequence[str], what: str) -> int:
    """The place of a caption or image, given that or its name."""
    if isinstance(which, int | np.integer) and not isinstance(which, bool) and -len(names) <= which < len(names):
        return int(which)
    if isinstance(which, str) and names.count(which) == 1:
        return names.index(which)
    remedy = f"give its place, 0 to {len(names) - 1}, or its {'text' if what == 'caption' else 'name'}"
    if isinstance(which, str) and which in names:
        raise ConfigError(f"{names.count(which)} {what}s are called {which!r}", remedy=f"give its place among {what}s")
    hint = nearest(which, names) if isinstance(which, str) else ""
    raise ConfigError(f"there is no such {what}: {describe(which)}{hint}", remedy=remedy)


def _shares(names: Sequence[str], logits: NDArray[np.float32]) -> list[tuple[str, float]]:
    weights = np.exp(logits.astype(np.float64) - float(logits.max()))
    shares = weights / weights.sum()
    return [(names[row], float(shares[row])) for row in np.argsort(-shares, kind="stable")]


def _ranked(value: str, score: float, alternatives: Sequence[tuple[str, float]]) -> str:
    others = [f"{other} {percent(share)}" for other, share in alternatives if other != value][:SHOWN]
    return f"{value} ({percent(score)})" + (f"; {', '.join(others)}" if others else "")


def _plain(value: Any) -> Any:
    """Tuples as lists, numpy's numbers as Python's."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
