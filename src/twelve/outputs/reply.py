"""Yes, no, or not applicable: the reply to a question about one object with a known box (GuessWhat?!'s answerer).

The head classifies every region, as outputs/region.py scores every region, and the object's own region counts. So the
model knows which object is meant, and the questions about all objects of an image share its regions.
Axes: E examples, P pairs, R regions (0 is the whole image), A classes, V visual width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from twelve.errors import DataError
from twelve.outputs.base import Examples, Labels, RegionSets, register
from twelve.outputs.classes import Classes
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.region import candidate_columns
from twelve.types.examples import Example
from twelve.types.predictions import CardImage, Frame, Prediction, RecordedPrediction
from twelve.types.regions import Regions


@register
class Reply(Classes):
    """One of :attr:`classes` for the object in the only box of ``Example.candidates``, which must be among the
    regions, at any place."""

    kind = "reply"
    skill = "answering"
    classes = ("Yes", "No", "N/A")
    reads = "regions"
    asks = "Answer a question about one thing in an image with yes, no or not applicable."
    legend = "Frame: the thing asked about. Bars: the model's probability of each answer; ✓ marks what is correct."
    metrics: ClassVar = {
        "accuracy": "Share of the questions answered correctly with one of three answers; guessing gives about 33."
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
        """(E,) 1 if the object's highest logit is the right class, else 0."""
        return super().score(_at(logits, targets["region"]), targets)

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """``target`` (E,) int64 class index, -1 without a label; ``region`` (E,) int64 the object's row of the
        logits.

        Raises:
            DataError: an example has no box or several, or a target that is not one of the classes.
            RegionError: no region was extracted for a box.
        """
        return super().targets(examples, regions, vocabulary) | {"region": _rows(examples, regions)}

    def decode(self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The most probable class of each object with its probability; ``alternatives`` ranks all classes."""
        return super().decode(_at(logits, _rows(examples, regions)), examples, regions, vocabulary)


def _rows(examples: Sequence[Example], regions: Sequence[Regions]) -> Tensor:
    """(E,) row of the logits of each example's object."""
    for example in examples:
        if len(example.candidates) != 1:
            raise DataError(f"expected the box of one object, found {len(example.candidates)}", record=example.id)
    found = [int(candidate_columns(example, seen)[0]) for example, seen in zip(examples, regions, strict=True)]
    return torch.tensor(found, dtype=torch.int64)


def _at(logits: Tensor, rows: Tensor) -> Tensor:
    """(E, R, A), (E,) -> (E, A)."""
    return logits[torch.arange(len(logits), device=logits.device), rows.to(logits.device)]
