"""One prediction as a card: a drawing function for each kind of output, and one for kinds not known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twelve.evaluation.record import Recorded
from twelve.metrics.referring import iou
from twelve.report.image_files import SIDE, STRIP_SIDE, Frame, ImageFiles, ShownImage
from twelve.types.examples import SEPARATOR, Box


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that the model weighed: ``share`` is its score in 0..1."""

    label: str
    share: float
    wanted: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one example.

    Attributes:
        says, wanted: the prediction and what is right, in words.
        choices: the best values as bars, or none.
        strip: the images are small and stand in a row, ranked.
    """

    id: str
    text: str
    right: float
    images: Sequence[ShownImage]
    says: str
    wanted: str
    choices: Sequence[Choice] = ()
    strip: bool = False

    @property
    def verdict(self) -> str:
        if self.right in (0.0, 1.0):
            return "right" if self.right else "wrong"
        return f"partly right: {100 * self.right:.0f} of 100"

    @property
    def mark(self) -> str:
        """Which of the page's two marks it wears."""
        return "right" if self.right >= 0.5 else "wrong"


Draw = Callable[[Recorded, ImageFiles], Card]


def draw(record: Recorded, images: ImageFiles) -> Card:
    """The card of a prediction."""
    return DRAWINGS.get(record.kind, _plain)(record, images)


def _answer(record: Recorded, images: ImageFiles) -> Card:
    target = record.target if isinstance(record.target, Mapping) else {}
    accepted = sorted(target, key=lambda answer: (-target[answer], answer))
    wanted = ", ".join(answer if target[answer] == 1 else f"{answer} ({target[answer]:.0%})" for answer in accepted)
    return Card(
        id=record.id,
        text=record.text,
        right=record.right,
        images=_each(record, images),
        says=str(record.value) or "(no answer)",
        wanted=wanted or "no accepted answer",
        choices=_choices(record, target.keys()),
    )


def _alignment(record: Recorded, images: ImageFiles) -> Card:
    best = [str(image) for image, _ in record.alternatives]
    shown = [
        images.show(image, side=STRIP_SIDE, label=f"{place}.", mark="right" if image == record.target else "")
        for place, image in enumerate(best, start=1)
    ]
    rank = best.index(record.target) + 1 if record.rank is None and record.target in best else record.rank
    if record.target not in best:
        shown.append(images.show(str(record.target), side=STRIP_SIDE, label=f"{rank or '?'}.", mark="right"))
    says = "puts its own image first" if record.value == record.target else "puts another image first"
    wanted = f"the image marked as its own, in place {rank or 'unknown'} of the gallery"
    return Card(record.id, record.text, record.right, shown, says, wanted, strip=True)


def _region(record: Recorded, images: ImageFiles) -> Card:
    meant, predicted = _box(record, record.target), _box(record, record.value)
    others = [box for box in record.candidates if box not in (meant, predicted)]
    frames = [Frame(box, "candidate") for box in others]
    frames += [Frame(box, role) for box, role in ((meant, "wanted"), (predicted, "predicted")) if box is not None]
    says = f"the dashed frame, with confidence {record.score:.0%}"
    wanted = "the solid frame"
    if record.candidates:
        says += f", out of {len(record.candidates)} given ones"
    if meant is not None and predicted is not None:
        wanted += f"; the two overlap by {iou(meant, predicted):.0%}"
    shown = [images.show(image, frames=frames) for image in record.images[:1]]
    return Card(record.id, record.text, record.right, shown, says, wanted)


def _pair(record: Recorded, images: ImageFiles) -> Card:
    shown = [
        images.show(image, side=SIDE * 3 // 4, label=label)
        for image, label in zip(record.images, ("left", "right"), strict=False)
    ]
    return _classes(record, shown)


def _single(record: Recorded, images: ImageFiles) -> Card:
    return _classes(record, _each(record, images))


def _reply(record: Recorded, images: ImageFiles) -> Card:
    frames = [Frame(box, "wanted") for box in record.candidates]
    return _classes(record, [images.show(image, frames=frames) for image in record.images[:1]])


def _classes(record: Recorded, shown: Sequence[ShownImage]) -> Card:
    """A card whose answer is one of a few classes."""
    return Card(
        id=record.id,
        text=record.text,
        right=record.right,
        images=shown,
        says=_name(record.value),
        wanted=_name(record.target),
        choices=_choices(record, {record.target}),
    )


def _options(record: Recorded, images: ImageFiles) -> Card:
    """A card whose answer is one of the texts that were given."""

    def text(index: Any) -> str:
        return record.options[index] if index in range(len(record.options)) else str(index)

    best = tuple((text(index), share) for index, share in record.alternatives)
    named = replace(record, value=text(record.value), target=text(record.target), alternatives=best)
    return replace(_single(named, images), text=record.text.replace(SEPARATOR, " / "))


def _plain(record: Recorded, images: ImageFiles) -> Card:
    return Card(record.id, record.text, record.right, _each(record, images), _name(record.value), _name(record.target))


DRAWINGS: Mapping[str, Draw] = {
    "answer": _answer,
    "alignment": _alignment,
    "pretraining": _alignment,
    "region": _region,
    "pair": _pair,
    "entailment": _single,
    "truth": _single,
    "reply": _reply,
    "options": _options,
}


def _each(record: Recorded, images: ImageFiles) -> list[ShownImage]:
    return [images.show(image) for image in record.images]


def _choices(record: Recorded, wanted: Any) -> list[Choice]:
    return [
        Choice(_name(value), min(1.0, max(0.0, share)), value in wanted, value == record.value)
        for value, share in record.alternatives
    ]


def _box(record: Recorded, value: Any) -> Box | None:
    """The box of a region prediction: itself, or the candidate with this index."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(record.candidates):
        return record.candidates[value]
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 4:
        return float(value[0]), float(value[1]), float(value[2]), float(value[3])
    return None


def _name(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
