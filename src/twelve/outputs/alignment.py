"""Whether a caption and an image belong together: caption-based image retrieval.

The four-way choice of a training example (match, another caption, another image, the caption of a similar image) is
ViLBERT's (Lu et al. 2019). Axes: E examples, P pairs, C captions, I images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from twelve.errors import ConfigError
from twelve.outputs.base import Examples, Labels, Output, Prospects, RegionSets, Rng, TextImagePairs, register
from twelve.outputs.parts.later import F, Tensor, nn, torch
from twelve.outputs.parts.losses import precise
from twelve.outputs.parts.neighbours import HardPool
from twelve.types.examples import Example
from twelve.types.keeping import Keep, computed
from twelve.types.predictions import Card, CardImage, Prediction, RecordedPrediction
from twelve.types.regions import Regions

PAIRS = 4
"""Pairs of a training example, the match among them."""
EVERYWHERE = "train"
"""Negatives are drawn from the whole training set."""


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Scores of every caption with every image of a gallery: what a retrieval task is measured on.

    Attributes:
        scores: (C, I) float32 alignment logits.
        caption_ids: C example ids, in the rows' order.
        image_ids: I ids of the gallery, in the columns' order.
        target: (C,) int64 column of each caption's own image.
        shortlist: places of each shortlist whose scores are exact, the others following in the order of the contrast
            head; None if all are exact.
    """

    scores: NDArray[np.float32]
    caption_ids: tuple[str, ...]
    image_ids: tuple[str, ...]
    target: NDArray[np.int64]
    shortlist: int | None = None

    def __post_init__(self) -> None:
        expected = (len(self.caption_ids), len(self.image_ids))
        if self.scores.shape != expected or self.target.shape != expected[:1]:
            raise ValueError(
                f"expected scores of shape {expected} and targets of shape {expected[:1]}, "
                f"found {self.scores.shape} and {self.target.shape}"
            )
        if len(self.target) and (self.target.min() < 0 or self.target.max() >= expected[1]):
            raise ValueError("a caption's own image is not in the gallery")


class Ranking(Output):
    """Base of the outputs that rank a gallery of images for each caption: how a ranking is shown."""

    ranks_gallery = True
    image_free = "none"
    legend = "The five images that the model ranks first; the caption's own follows if it is further down."
    methods: ClassVar[tuple[str, ...]] = ("match",)
    examples: ClassVar[Mapping[str, str]] = {"match": 'model.match([scene], ["a boat"])'}

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
        wanted = f"its own image, in place {rank or 'unknown'} of the gallery"
        return Card(record.text, shown, says, wanted, strip=True)


@register
class Alignment(Ranking):
    """A logit for each pair, higher if caption and image belong together."""

    kind = "alignment"
    skill = "retrieval"
    contrasts = True
    negatives = ("batch", EVERYWHERE)
    validated = f"choices of the right one among {PAIRS} pairs of a caption and an image, not among a gallery of images"
    asks = "Find the image that a caption describes, among all images of a gallery."

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P, 1)."""
        return nn.Linear(fused_size, 1)

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of (P, 1) logits over each example's pairs, averaged over the examples."""
        choices = precise(_choices(logits, targets["target"]))
        return F.cross_entropy(choices, targets["target"].to(choices.device))

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 if the right pair of an example has its highest logit, else 0; of T equal ones, 1/T.

        A collapsed model gives all pairs the same logit. The right pair is the first, so argmax, which the original
        takes, would call all of its answers right.
        """
        choices = _choices(logits, targets["target"])
        best = (choices == choices.amax(1, keepdim=True)).to(torch.float32)
        return best.gather(1, targets["target"].to(best.device)[:, None]).squeeze(1) / best.sum(1).clamp(min=1)

    def prepare(
        self,
        examples: Sequence[Example],
        lookup: Callable[[str], Regions],
        *,
        negatives: str | None = None,
        keep: Keep = computed,
    ) -> HardPool:
        """The 100 most similar images of each training image, with their captions."""
        return HardPool.build(examples, lookup, everywhere=negatives == EVERYWHERE, keep=keep)

    def pairs(self, examples: Examples, rng: Rng | None = None, pool: HardPool | None = None) -> TextImagePairs:
        """Four pairs an example in training (with ``rng``), the match first; else the match alone.

        Negatives 2 (another caption) and 3 (another image) come from the batch, so that texts and images are encoded
        once; from ``pool``, as in the original, if that is to be drawn from everywhere, or if the batch has no other
        image. Negative 4 is a caption of a similar image; without a ``pool``, another caption of the batch.

        Raises:
            ConfigError: there is no other image.
        """
        if rng is None:
            return super().pairs(examples)
        return [self._four(example, examples, rng, pool) for example in examples]

    @staticmethod
    def _four(example: Example, batch: Sequence[Example], rng: Rng, pool: HardPool | None) -> list[tuple[str, str]]:
        image = example.images[0]
        # The same caption of another image is no negative; it is left out like the image's own captions.
        others = [
            (b.text, b.images[0])
            for b in (() if pool is not None and pool.everywhere else batch)
            if b.images[0] != image and b.text != example.text
        ]

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

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """``target``: (E,) int64 zeros: the first pair of an example is the right one."""
        return {"target": torch.zeros(len(examples), dtype=torch.int64)}

    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        """Those of the training choice among four pairs; a gallery's chance is one over its size."""
        return Prospects(chance=np.full(len(examples), 1 / PAIRS), best=np.ones(len(examples)))

    def decode(self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The image's id of each example and the sigmoid of its matching pair's logit."""
        shares = torch.sigmoid(precise(logits).reshape(len(examples), -1)[:, 0]).tolist()
        return [Prediction(example.images[0], share) for example, share in zip(examples, shares, strict=True)]

    def confidence(
        self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels
    ) -> NDArray[np.float64]:
        """(E,) softmax share of the best of each example's pairs, as in training."""
        shares = precise(logits).double().reshape(len(examples), -1).softmax(1)
        best: NDArray[np.float64] = shares.max(1).values.numpy()
        return best


def _choices(logits: Tensor, target: Tensor) -> Tensor:
    """(P, 1) logits as (E, P/E): one row for each example."""
    examples = target.shape[0]
    if logits.numel() % examples:
        raise ValueError(f"expected a multiple of {examples} pairs, one group an example, found {logits.numel()}")
    return logits.reshape(examples, -1)
