"""Checks of questions that do not need a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from twelve.errors import InputError
from twelve.formats.records import describe, steering, writable
from twelve.io.invalid import beginning
from twelve.outputs import OUTPUTS
from twelve.settings import MOST_WEIGHT
from twelve.types.examples import Box

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


METHODS = {method: output.images for output in OUTPUTS.values() for method in output.methods if method != "match"}
"""Methods that ask a question, and the number of images that they take."""
CHOOSING = ("choose", "guess")
"""Methods that choose among candidate boxes."""
FINDING = ("locate", *CHOOSING)
"""Methods that take a threshold."""
ANSWERS = ("yes", "no", "n/a")
"""Answers in a dialogue."""

Turn: TypeAlias = "tuple[str, str] | Mapping[str, str]"
"""(question, answer), or {"question": ..., "answer": ...}."""
Turns: TypeAlias = "tuple[tuple[str, str], ...]"

MOST_TEXT, MOST_BOXES = 100_000, 1_000
"""Maximum characters of a text and number of candidate boxes. Larger inputs would take minutes."""

_BOXES = "give four numbers per box: x1, y1, x2, y2 in pixels of the image after its EXIF rotation"
_FRACTIONS = "expected pixels, found numbers from 0 to 1, as if they were fractions of the image"
_PIXELS = "multiply x1 and x2 by the image's width, y1 and y2 by its height"
_TURNS = 'give (question, answer) or {"question": ..., "answer": ...} for every turn'


def turns_of(dialogue: object) -> Turns:
    """The turns of a dialogue, answers in lower case.

    Raises:
        InputError: it is not a dialogue, or an answer is not yes, no or n/a; names the turn, counted from 1.
    """
    if isinstance(dialogue, str | bytes | Mapping) or not isinstance(dialogue, Iterable):
        raise InputError(f"expected a dialogue, found {describe(dialogue)}", remedy=_TURNS)
    found = []
    for number, turn in enumerate(dialogue, start=1):
        pair: Any = tuple(turn) if isinstance(turn, list | tuple) else ()
        if isinstance(turn, Mapping) and set(turn) == {"question", "answer"}:
            pair = turn["question"], turn["answer"]
        if len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise InputError(
                f"turn {number}: expected a question and its answer, found {describe(turn)}", remedy=_TURNS
            )
        question, answer = pair[0].strip(), pair[1].strip().lower()
        if not question:
            raise InputError(f"turn {number} has an empty question", remedy=_TURNS)
        if answer not in ANSWERS:
            raise InputError(
                f"turn {number}: expected the answer yes, no or n/a, found {describe(pair[1])}", remedy=_TURNS
            )
        found.append((question, answer))
    if not found:
        raise InputError("the dialogue has no turns", remedy=_TURNS)
    return tuple(found)


def readable(turns: Turns) -> str:
    """A dialogue for people: a line for each question with its answer."""
    return "\n".join(f"{question} {answer}" for question, answer in turns)


def texts_of(texts: object) -> list[Any]:
    """One text or several as a list; the items are not checked."""
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        return [texts]
    return list(texts)


def control(mark: str) -> str:
    """What is wrong with a text that has a control character."""
    return f"contains the control character {mark}"


UNSTEERED = "remove it; the only control characters allowed are tabs and line breaks"
"""What to do about it."""


def check_text(text: object) -> None:
    """Raise InputError for a text that cannot be tokenized: it has unpaired surrogates (from bytes that are not
    UTF-8), or it is so long that tokenizing it would take half a minute; or for control characters, which would be
    left out."""
    if isinstance(text, str) and len(text) > MOST_TEXT:
        raise InputError(f"expected at most {MOST_TEXT:,} characters, found {len(text):,}", remedy="shorten the text")
    if not isinstance(text, str) or not writable(text.replace("\0", "")):
        remedy = "pass a string in UTF-8" if isinstance(text, str) else "pass a string"
        raise InputError(f"expected a string, found {describe(text)}", remedy=remedy)
    if (mark := steering(text)) is not None:
        raise InputError(f"this text {control(mark)}: {beginning(text)}", remedy=UNSTEERED)


def check_threshold(threshold: object) -> None:
    """Raise InputError unless the threshold is None or a number in 0..1."""
    if threshold is not None:
        _check_number("threshold", threshold, 1)


def check_weight(weight: object) -> None:
    """Raise InputError unless the weight of the contrast head's logit is a number in 0..MOST_WEIGHT."""
    _check_number("contrast_weight", weight, MOST_WEIGHT)


def _check_number(name: str, value: object, most: int) -> None:
    """Raise InputError unless a value is a number from 0 to ``most``."""
    shown = describe(value)
    if isinstance(value, Real):
        with suppress(OverflowError):  # an int that no float holds
            if 0 <= float(value) <= most and not isinstance(value, bool):
                return
            shown = str(value)
    raise InputError(f"expected a {name} between 0 and {most}, found {shown}", remedy=f"change the {name}")


def check_shape(method: str, boxes: bool, threshold: object, images: int | None = None) -> None:
    """Raise InputError if an argument of a method is missing, or not supported by it.

    Args:
        images: number of images; None if it is not known yet.
    """
    if boxes and method not in CHOOSING:
        raise InputError(f"{method} takes no boxes", remedy=f"omit them, or use {' or '.join(CHOOSING)}")
    if not boxes and method in CHOOSING:
        raise InputError(f"{method} needs boxes", remedy="give boxes=((x1, y1, x2, y2), ...)")
    if threshold is not None and method not in FINDING:
        raise InputError(f"{method} takes no threshold", remedy=f"omit it, or use {', '.join(FINDING)}")
    check_threshold(threshold)
    wanted = METHODS.get(method, 1)
    if images == 0:
        raise InputError("expected an image, found none", remedy="pass a scene: model.scene(image)")
    if images is not None and images != wanted:
        problem = f"{method}: expected {wanted} image{'s' * (wanted > 1)}, found {images}"
        raise InputError(problem, remedy=f"pass {wanted}")


def corners(boxes: ArrayLike) -> tuple[Box, ...]:
    """Boxes as tuples: x1, y1, x2, y2 in pixels of the image after its EXIF rotation.

    Raises:
        InputError: they are not boxes, there is none, or one is in fractions of the image; names the box, counted from
            1.
    """
    try:
        found = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last one: tensors with gradients
        raise InputError(f"expected boxes as numbers, found {describe(boxes)}", remedy=_BOXES) from None
    if found.ndim and not len(found):
        raise InputError("expected at least one box, found none", remedy=_BOXES)
    if found.ndim != 2 or found.shape[1] != 4:
        raise InputError(f"expected boxes of shape (C, 4), found {found.shape}", remedy=_BOXES)
    if len(found) > MOST_BOXES:  # the cost grows with their square
        raise InputError(f"expected at most {MOST_BOXES:,} boxes, found {len(found):,}", remedy="pass fewer boxes")
    if not np.isfinite(found).all():
        number = 1 + int(np.flatnonzero(~np.isfinite(found).all(1))[0])
        raise InputError(f"box {number} of {len(found)} contains a number that is not finite", remedy=_BOXES)
    tiny = (found.min(1) >= 0) & (found.max(1) <= 1)  # at most the pixel in the corner, which nobody means
    tiny &= (found[:, 2:] != found[:, :2]).all(1)  # the extractor refuses boxes without area
    if tiny.any():  # one among boxes in pixels is as wrong: it would be asked about the corner
        number = 1 + int(np.flatnonzero(tiny)[0])
        raise InputError(f"box {number} of {len(found)}: {_FRACTIONS}", remedy=_PIXELS)
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in found)


def is_mostly_outside(box: Box, size: tuple[int, int]) -> bool:
    """Whether a part of a box, but less than half of it, lies inside an image of size (width, height)."""
    width, height = min(box[2], size[0]) - max(box[0], 0), min(box[3], size[1]) - max(box[1], 0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    inside = min(width, height, box[2] - box[0], box[3] - box[1]) > 0
    return inside and width * height / area < 0.5


def check_inside(boxes: Iterable[Box], size: tuple[int, int]) -> None:
    """Raise InputError if less than half of a box (xyxy pixels) lies inside an image of size (width, height); names
    the box, counted from 1. Boxes that lie outside are left to the extractor, which refuses them."""
    for number, box in enumerate(boxes, start=1):
        if is_mostly_outside(box, size):
            raise InputError(
                f"box {number} ({', '.join(f'{value:g}' for value in box)}) lies mostly outside its image of "
                f"{size[0]}x{size[1]} pixels",
                remedy="give four numbers per box: x1, y1, x2, y2 in pixels of the image",
            )
