"""The contrast head's vectors of many texts and images, and how similar these are.

Axes: T texts, I images, N rows of either, S words or regions of all rows together, D width of the vectors, K places of
a shortlist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.data.batch import Collator
from twelve.model.network import Network

BATCH = 128
"""Texts or images in a forward pass."""
REGIONS, PRODUCTS = 1 << 12, 1 << 20
"""Regions that are compared at once, and their products with words: 4 MiB in float32, which caches hold."""


@dataclass(frozen=True, slots=True)
class VectorSets:
    """Unit vectors of N texts, one a word, or of N images, one a region.

    Attributes:
        vectors: (S, D) float32 or float16, row by row.
        lengths: (N,) int64, the number of each row's.
    """

    vectors: Tensor
    lengths: Tensor

    @classmethod
    def joined(cls, rows: Sequence[Tensor]) -> VectorSets:
        """Of N sets (words or regions, D), at least one."""
        return cls(torch.cat(list(rows)), torch.tensor([len(row) for row in rows]))

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self) -> list[Tensor]:
        """The N sets (words or regions, D)."""
        return list(torch.split(self.vectors, self.lengths.tolist()))

    def by_length(self, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(n,) rows of one length L and their vectors (n, L, D), n x L at most ``most`` unless n is 1."""
        starts = self.lengths.cumsum(0) - self.lengths
        for length in sorted(set(self.lengths.tolist())):
            same = (self.lengths == length).nonzero().flatten()
            for rows in torch.split(same, max(1, most // max(1, length))):
                first, count = int(rows[0]), len(rows)
                if int(rows[-1]) - first + 1 == count:  # one after another: copying them takes most of a search's time
                    found = self.vectors[int(starts[first]) :][: count * length].view(count, length, -1)
                else:
                    found = self.vectors[starts[rows, None] + torch.arange(length)]
                yield rows, found


@torch.inference_mode()
def text_vectors(
    model: Network, collator: Collator, texts: Sequence[str], *, advance: Callable[[int], None] = lambda _: None
) -> VectorSets:
    """Float32 vectors of the words of at least one text, on the CPU; raises ConfigError without a contrast head.

    Args:
        advance: told how many texts were encoded.
    """
    order = np.argsort([len(text) for text in texts], kind="stable")
    found: list[Tensor] = []
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ids, mask = collator.texts([texts[row] for row in rows])
        inputs = [None if part is None else part.to(model.device) for part in (ids, mask, collator.rows(len(rows)))]
        states = model.encode_texts(inputs[0], inputs[1], task_rows=inputs[2])  # type: ignore[arg-type]
        found += _valid(model.text_vectors(states), states.mask)
        advance(len(rows))
    return VectorSets.joined([found[place] for place in np.argsort(order)])


@torch.inference_mode()
def image_vectors(
    model: Network, collator: Collator, images: Sequence[str], *, advance: Callable[[int], None] = lambda _: None
) -> VectorSets:
    """Float32 vectors of the regions of at least one image, on the CPU; as :func:`text_vectors`."""
    found: list[Tensor] = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        states = model.encode_images(*collator.images(part, model.device))
        found += _valid(model.image_vectors(states), states.mask)
        advance(len(part))
    return VectorSets.joined(found)


def _valid(vectors: Tensor, mask: Tensor | None) -> list[Tensor]:
    """The valid ones (words or regions, D) of each of N rows (N, K, D), on the CPU."""
    if mask is None:
        return list(vectors.float().cpu())
    return list(torch.split(vectors[mask].float().cpu(), mask.sum(1).tolist()))


def similarities(texts: VectorSets, images: VectorSets) -> Tensor:
    """(T, I) float32: the mean over a text's words of the cosine with the image's closest region."""
    found = torch.empty(len(texts), len(images))
    for columns, some in images.by_length(REGIONS):
        regions = some.float().flatten(0, 1)
        for rows, words in texts.by_length(PRODUCTS // len(regions)):
            products = words.float().flatten(0, 1) @ regions.T
            closest = products.view(*words.shape[:2], *some.shape[:2]).amax(3)
            found[rows[:, None], columns] = closest.mean(1)
    return found


def closest(similar: Tensor, count: int) -> NDArray[np.int64]:
    """(Q, K) columns of the largest of ``similar`` (Q, I) in each row, largest first; K is ``count`` or I, if that is
    less."""
    found: NDArray[np.int64] = similar.topk(min(count, similar.shape[1]), dim=1).indices.numpy()
    return found
