"""What trains the contrast head: which pairs belong together, the contrastive loss, and distillation.

Axes: T distinct texts of K words and I distinct images of R regions in a batch, P pairs that the joint model scores,
E examples, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from twelve.outputs.parts.later import F, Tensor, torch
from twelve.outputs.parts.losses import precise
from twelve.outputs.parts.neighbours import HardPool
from twelve.types.examples import Example

_NEVER = -1e4
"""Similarity that stands for none; minus infinity would give gradients that are no numbers."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Unit vectors of the words of texts (T, K, D) and of the regions of images (I, R, D), their masks (T, K) and
    (I, R), bool or None, and the factor (1,) of the similarities in the loss."""

    text: Tensor
    image: Tensor
    text_mask: Tensor | None
    image_mask: Tensor | None
    scale: Tensor

    def similarities(self) -> Tensor:
        """(T, I) scaled similarities: the mean over a text's words of the cosine with the closest region."""
        products = torch.einsum("tkd,ird->tkir", self.text, self.image)
        if self.image_mask is not None:
            products = products.masked_fill(~self.image_mask, _NEVER)
        closest = products.amax(3)
        if self.text_mask is None:
            return self.scale * closest.mean(1)
        valid = self.text_mask[..., None].to(closest.dtype)
        return self.scale * (closest * valid).sum(1) / valid.sum(1)


def belonging(
    texts: Sequence[str], images: Sequence[str], examples: Iterable[Example], pool: HardPool | None
) -> Tensor:
    """(T, I) bool: whether a text is one of an image's captions, in the batch or anywhere in the training set.

    Args:
        examples: the batch.
        pool: all captions of the training images, if known.
    """
    captions: dict[str, set[str]] = {image: set() for image in images}
    for example in examples:
        if example.images[0] in captions:
            captions[example.images[0]].add(example.text)
    if pool is not None:
        for image, own in captions.items():
            own.update(pool.captions_of(image))
    rows = [[text in captions[image] for image in images] for text in texts]
    return torch.tensor(rows, dtype=torch.bool).reshape(len(texts), len(images))


def contrastive_loss(similarities: Tensor, positive: Tensor) -> Tensor:
    """Symmetric InfoNCE: mean over the positive pairs, in both directions, of the cross-entropy of choosing the pair
    among it and all negatives of its text (of its image); other positives of the same text or image do not count.

    Args:
        similarities: (T, I), scaled.
        positive: (T, I) bool; texts without a positive image serve as negatives of all images.

    Returns:
        A scalar; 0 without positive pairs.
    """
    scores = precise(similarities)
    others = scores.masked_fill(positive, _NEVER)
    total = scores.new_zeros(())
    for axis in (0, 1):
        against = others.logsumexp(axis, keepdim=True).expand_as(scores)
        total = total + F.softplus(against[positive] - scores[positive]).sum()
    return total / (2 * positive.sum().clamp(min=1))


def distillation_loss(
    similarities: Tensor, matching: Tensor, pair_text: Tensor | None, pair_image: Tensor | None, examples: int
) -> Tensor:
    """Cross-entropy between the joint model's choice among each example's pairs and that of the similarities.

    Args:
        similarities: (T, I), scaled.
        matching: (P,) logits of the joint model, which get no gradient.
        pair_text, pair_image: (P,) rows of each pair; None: pair i is row i.
        examples: E, a divisor of P.
    """
    teacher = precise(matching.detach()).reshape(examples, -1).softmax(1)
    every = torch.arange(matching.numel(), device=similarities.device)
    chosen = similarities[every if pair_text is None else pair_text, every if pair_image is None else pair_image]
    return F.cross_entropy(precise(chosen).reshape(examples, -1), teacher)


def contrast_loss(
    vectors: Vectors,
    positive: Tensor,
    *,
    matching: Tensor | None = None,
    pairs: Mapping[str, Tensor | None],
    examples: int,
    distill: float,
) -> Tensor:
    """The loss of the contrast head: :func:`contrastive_loss`, and ``distill`` times :func:`distillation_loss` if
    there are ``matching`` logits (P,) of ``pairs`` ("pair_text" and "pair_image")."""
    similarities = vectors.similarities()
    loss = contrastive_loss(similarities, positive)
    if matching is None or not distill:
        return loss
    rows = pairs["pair_text"], pairs["pair_image"]
    return loss + distill * distillation_loss(similarities, matching, *rows, examples)
