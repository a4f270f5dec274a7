"""Yes, no, or not applicable: the reply to a question about one object whose box is given (GuessWhat?!'s answerer).

The reply is read at the object's own region: every region replies for itself, as in outputs/region.py every region
is scored, and only the object's counts. So the model knows which object is meant, whatever else is in the image, and
the questions about all objects of an image share its regions.
Axes: E examples, P pairs, R regions (0 is the whole image), A classes, V visual width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from twelve.errors import DataError
from twelve.outputs.base import register
from twelve.outputs.classes import Classes
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.region import candidate_columns
from twelve.types.examples import Example
from twelve.types.predictions import CardImage, Frame, Prediction, RecordedPrediction
from twelve.types.regions import Regions


@register
class Reply(Classes):
    """One of :attr:`classes` about the object in the only box of ``Example.candidates``, which must be among the
    regions, anywhere."""

    kind = "reply"
    skill = "answering"
    classes = ("Yes", "No", "N/A")
    reads = "regions"
    asks = "Answer a question about one given thing in an image with yes, no or not applicable."
    legend = "Frame: the thing asked about. Bars: the model's probability of each answer; ✓ marks what is right."
    metrics: ClassVar = {
        "accuracy": "Share of the questions answered rightly with one of three answers; guessing gives about 33."
    }

    def card_images(self, record: RecordedPrediction) -> list[CardImage]:
        frames = [Frame(box, "wanted") for box in record.candidates]
        return [CardImage(image, frames) for image in record.images[:1]]

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, R, V) -> (P, R, A)."""
        return nn.Linear(visual_size, len(self.classes))

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Mean binary cross-entropy of the object's row of (E, R, A) logits against one-hot rows."""
        return super().loss(_at(logits, targets["region"]), targets)

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 where the object's highest logit is the right class, else 0."""
        return super().score(_at(logits, targets["region"]), targets)

    def targets(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> dict[str, Tensor]:
        """``target`` (E,) int64 class index, -1 where there is no label; ``region`` (E,) int64 the object's row of the
        logits.

        Raises:
            DataError: an example has no or several boxes, or a target that is none of the classes.
            RegionError: no region was extracted for a box.
        """
        return super().targets(examples, regions, vocabulary) | {"region": _rows(examples, regions)}

    def decode(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> list[Prediction]:
        """The likeliest class of each object with its softmax share; ``alternatives`` ranks all of them."""
        return super().decode(_at(logits, _rows(examples, regions)), examples, regions, vocabulary)


def _rows(examples: Sequence[Example], regions: Sequence[Regions]) -> Tensor:
    """(E,) row of the logits of each example's object."""
    for example in examples:
        if len(example.candidates) != 1:
            raise DataError(f"the box of one object is needed, {len(example.candidates)} given", record=example.id)
    found = [int(candidate_columns(example, seen)[0]) for example, seen in zip(examples, regions, strict=True)]
    return torch.tensor(found, dtype=torch.int64)


def _at(logits: Tensor, rows: Tensor) -> Tensor:
    """(E, R, A), (E,) -> (E, A)."""
    return logits[torch.arange(len(logits), device=logits.device), rows.to(logits.device)]
