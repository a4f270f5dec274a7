"""Whether a statement is true of two images (NLVR2: Suhr et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from twelve.errors import DataError
from twelve.outputs.base import Examples, Rng, TextImagePairs, register
from twelve.outputs.classes import Classes
from twelve.outputs.parts.later import nn
from twelve.outputs.parts.result import HIDDEN, NO_IMAGE, Context, Result, named, percent
from twelve.types.predictions import CardImage, Prediction, RecordedPrediction

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Verified(Result):
    """Whether a statement is true of two images.

    Attributes:
        image, right: the left and the right photograph, upright. The attention is of the left photograph.
    """

    true: bool
    right: Image.Image | None = field(default=None, repr=False, compare=False, metadata=HIDDEN)

    @property
    def value(self) -> str:
        return named(self.true)

    @property
    def words(self) -> str:
        return f"{named(self.true)} ({percent(self.confidence)})"

    def drawn(self) -> Image.Image:
        """Both images side by side.

        Raises:
            ValueError: one of the images is missing (its scene was made from regions).
        """
        from twelve.outputs.parts.drawing import side_by_side

        if self.image is None or self.right is None:
            raise ValueError(NO_IMAGE)
        return side_by_side(self.image, self.right)


@register
class Pair(Classes):
    """False (0) or True (1). ``Example.target`` is a bool, or None if it is unknown."""

    kind = "pair"
    skill = "verification"
    classes = (False, True)
    images = 2
    values = (bool,)
    asks = "Say whether a statement is true of two images."
    legend = "Bars: the confidence of true and of false; ✓ marks what is correct."
    metrics: ClassVar = {"accuracy": "Share of the statements judged correctly; guessing gives about 50."}
    methods = ("verify",)
    examples: ClassVar = {"verify": 'model.verify(scene, scene, "both show a boat")'}

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P/2, 2): the rows of an example's two images stand side by side."""
        from twelve.outputs.parts.heads import PairClassifier

        return PairClassifier(fused_size, len(self.classes))

    def pairs(self, examples: Examples, rng: Rng | None = None, pool: Any = None) -> TextImagePairs:
        """Two pairs an example: the text with the first image, the text with the second."""
        for example in examples:
            if len(example.images) != 2:
                raise DataError(f"expected two images, found {len(example.images)}", record=example.id)
        return [[(example.text, image) for image in example.images] for example in examples]

    def card_images(self, record: RecordedPrediction) -> list[CardImage]:
        sides = zip(record.images, ("left", "right"), strict=False)
        return [CardImage(image, scale=0.75, label=label) for image, label in sides]

    def result(self, found: Prediction, context: Context) -> Verified:
        return Verified(true=bool(found.value), right=context.images[1], **context.fields)
