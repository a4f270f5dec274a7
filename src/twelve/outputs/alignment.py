"""Do a caption and an image belong together: training for caption-based image retrieval.

The four-way choice of a training example (match, another caption, another image, the caption of an image that
looks alike) is ViLBERT's (Lu et al. 2019). Axes: E examples, P pairs, C captions, I images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twelve.errors import ConfigError
from twelve.outputs.base import Output, Prospects, register
from twelve.outputs.parts.later import F, Tensor, nn, torch
from twelve.outputs.parts.losses import precise
from twelve.outputs.parts.neighbours import HardPool
from twelve.types.examples import Example
from twelve.types.predictions import Card, CardImage, Prediction, RecordedPrediction
from twelve.types.regions import Regions

PAIRS = 4
"""Pairs of a training example, the match among them."""


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """What a retrieval task is measured on: every caption against every image of a gallery.

    Attributes:
        scores: (C, I) float32 alignment logits.
        caption_ids: C example ids, in the rows' order.
        image_ids: I ids of the gallery, in the columns' order.
        target: (C,) int64 column of each caption's own image.
    """

    scores: NDArray[np.float32]
    caption_ids: tuple[str, ...]
    image_ids: tuple[str, ...]
    target: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(self.caption_ids), len(self.image_ids))
        if self.scores.shape != expected or self.target.shape != expected[:1]:
            raise ValueError(
                f"{expected[0]} captions x {expected[1]} images do not go with scores of shape {self.scores.shape} "
                f"and targets of shape {self.target.shape}"
            )
        if len(self.target) and (self.target.min() < 0 or self.target.max() >= expected[1]):
            raise ValueError("a caption's own image is not in the gallery")


class Ranking(Output):
    """What is measured by ranking a gallery of images for each caption: how it is shown."""

    ranks_gallery = True
    image_free = "none"
    legend = "The five images that the model ranks first; the caption's own follows if it is further down."
    methods = ("match",)

    def card(self, record: RecordedPrediction) -> Card:
        best = [str(image) for image, _ in record.alternatives]
        shown = [
            CardImage(image, scale=0.5, label=f"{place}.", own=image == record.target)
            for place, image in enumerate(best, start=1)
        ]
        rank = best.index(record.target) + 1 if record.rank is None and record.target in best else record.rank
        if record.target not in best:
            shown.append(CardImage(str(record.target), scale=0.5, label=f"{rank or '?'}.", own=True))
        says = "puts its own image first" if record.value == record.target else "puts another image first"
        wanted = f"the image marked as its own, in place {rank or 'unknown'} of the gallery"
        return Card(record.text, shown, says, wanted, strip=True)


@register
class Alignment(Ranking):
    """A logit for each pair, higher where caption and image belong together."""

    kind = "alignment"
    skill = "retrieval"
    asks = "Find the image that a caption describes, among all images of a gallery."

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P, 1)."""
        return nn.Linear(fused_size, 1)

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of (P, 1) logits over each example's pairs, averaged over the examples."""
        choices = precise(_choices(logits, targets["target"]))
        return F.cross_entropy(choices, targets["target"].to(choices.device))

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 where the right pair of an example has its highest logit, else 0."""
        choices = _choices(logits, targets["target"])
        return (choices.argmax(1) == targets["target"].to(choices.device)).to(torch.float32)

    def prepare(self, examples: Sequence[Example], lookup: Callable[[str], Regions]) -> HardPool:
        """For each training image the 100 that look most alike, with their captions."""
        return HardPool.build(examples, lookup)

    def pairs(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, pool: HardPool | None = None
    ) -> list[list[tuple[str, str]]]:
        """Training (``rng`` given): four pairs an example, the match first; else only the match.

        The negatives 2 (another caption) and 3 (another image) come from the batch, so that what a text or an
        image costs before it is paired is shared, and from ``pool`` when the batch has no other image. Negative 4
        is a caption of an image that looks alike; without a ``pool`` it is another caption of the batch.

        Raises:
            ConfigError: no other image can be found.
        """
        if rng is None:
            return super().pairs(examples)
        return [self._four(example, examples, rng, pool) for example in examples]

    @staticmethod
    def _four(
        example: Example, batch: Sequence[Example], rng: np.random.Generator, pool: HardPool | None
    ) -> list[tuple[str, str]]:
        image = example.images[0]
        # An equal caption under another image is no negative: it is left out with the image's own captions.
        others = [(b.text, b.images[0]) for b in batch if b.images[0] != image and b.text != example.text]

        def another() -> tuple[str, str]:
            if others:
                return others[int(rng.integers(len(others)))]
            found = None if pool is None else pool.any_other(example.text, image, rng)
            if found is None:
                raise ConfigError(
                    f"no other image than {image} to draw a negative from",
                    remedy="train retrieval on at least two images with different captions",
                )
            return found

        caption, _ = another()
        _, other = another()
        alike, _ = (pool and pool.lookalike(example.text, image, rng)) or another()
        return [(example.text, image), (caption, image), (example.text, other), (alike, image)]

    def targets(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> dict[str, Tensor]:
        """``target``: (E,) int64 zeros: the first pair of an example is the right one."""
        return {"target": torch.zeros(len(examples), dtype=torch.int64)}

    def prospects(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> Prospects:
        """Of the training choice between four pairs; a gallery's chance is one over its size."""
        return Prospects(chance=np.full(len(examples), 1 / PAIRS), best=np.ones(len(examples)))

    def decode(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> list[Prediction]:
        """For each example its image's id and the sigmoid of the matching pair's logit."""
        scores = torch.sigmoid(precise(logits).reshape(len(examples), -1)[:, 0]).tolist()
        return [Prediction(example.images[0], score) for example, score in zip(examples, scores, strict=True)]

    def confidence(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> NDArray[np.float64]:
        """(E,) softmax share of the best of each example's pairs: what training makes of the logits."""
        shares = precise(logits).double().reshape(len(examples), -1).softmax(1)
        best: NDArray[np.float64] = shares.max(1).values.numpy()
        return best


def _choices(logits: Tensor, target: Tensor) -> Tensor:
    """(P, 1) logits as (E, P/E): one row for each example."""
    examples = target.shape[0]
    if logits.numel() % examples:
        raise ValueError(f"{logits.numel()} pairs do not divide among {examples} examples")
    return logits.reshape(examples, -1)
