"""Images that look alike: the pool that retrieval draws its hard negatives from.

As in ViLBERT (Lu et al. 2019): Euclidean distance between the means of two images' region features; here by matrix
products in blocks of rows, so that no more than the means and one block of distances are in memory.
Axes: I images, K neighbours, F feature width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.outputs.parts.later import Tensor, torch
from twelve.progress import Track
from twelve.types.examples import Example
from twelve.types.keeping import Keep, computed
from twelve.types.packed import Packed
from twelve.types.regions import Regions

NEIGHBOURS = 100
BLOCK_ELEMENTS = 2**24
"""Distances computed at once: 64 MiB in float32."""


@dataclass(frozen=True, slots=True)
class HardRows:
    """Images whose captions the contrast head takes for those of an image.

    Attributes:
        rows: (I, K) int32 rows of a pool.
        shares: (I, K) float64 probabilities that a row is drawn first; those of an image sum to 1.
        probability: share of the negatives that are drawn from these instead of the neighbours.
    """

    rows: NDArray[np.int32]
    shares: NDArray[np.float64]
    probability: float


@dataclass(frozen=True, slots=True)
class HardPool:
    """Every training image's captions and nearest neighbours.

    Attributes:
        images: I image ids.
        captions: I tuples of captions.
        neighbours: (I, K) int32 rows of the most similar images, nearest first, the image itself left out.
        hard: what the contrast head says of the images; None if negatives come from the neighbours alone.
        everywhere: the other negatives are drawn from all images, not from those of the batch.
    """

    images: tuple[str, ...]
    captions: Sequence[tuple[str, ...]]
    neighbours: NDArray[np.int32]
    hard: HardRows | None = None
    everywhere: bool = False
    _rows: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {image: row for row, image in enumerate(self.images)})

    @classmethod
    def build(
        cls,
        examples: Sequence[Example],
        lookup: Callable[[str], Regions],
        *,
        neighbours: int = NEIGHBOURS,
        everywhere: bool = False,
        keep: Keep = computed,
    ) -> HardPool:
        """The pool of ``examples``' images (the first image of each example); fewer neighbours than asked for when
        there are fewer images.

        Args:
            keep: keeps the neighbours for later runs: finding those of COCO's 113,000 images takes 50 TFLOP, and all
                their features.

        Raises:
            RegionError: an image has boxes but no features.
        """
        captions: dict[str, list[str]] = {}
        for example in examples:
            captions.setdefault(example.images[0], []).append(example.text)
        images = tuple(captions)
        return cls(
            images=images,
            captions=Packed(map(tuple, captions.values())),
            neighbours=keep(
                f"neighbours-{neighbours}", images, lambda: nearest_rows(mean_features(images, lookup), neighbours)
            ),
            everywhere=everywhere,
        )

    def captions_of(self, image: str) -> tuple[str, ...]:
        """All captions of an image; none if it is not in the pool."""
        return self.captions[self._rows[image]] if image in self._rows else ()

    def lookalike(self, text: str, image: str, rng: np.random.Generator) -> tuple[str, str] | None:
        """(caption, image id) of an image drawn from the neighbours of ``image``, with a caption that differs from
        ``text``; None when ``image`` is not in the pool or every neighbour is captioned alike."""
        if image not in self._rows:
            return None
        own = self._rows[image]
        if self.hard is not None and rng.random() < self.hard.probability:
            rows, shares = self.hard.rows[own], self.hard.shares[own]
            order = rng.choice(len(rows), len(rows), replace=False, p=shares) if len(rows) else ()
            return self._draw((int(rows[place]) for place in order), text, rng)
        rows = self.neighbours[own]
        start = int(rng.integers(len(rows))) if len(rows) else 0
        return self._draw((int(rows[(start + step) % len(rows)]) for step in range(len(rows))), text, rng)

    def any_other(self, text: str, image: str, rng: np.random.Generator) -> tuple[str, str] | None:
        """(caption, image id) of any image but ``image``, with a caption that differs from ``text``; None when
        there is none."""
        count, own = len(self.images), self._rows.get(image, -1)
        start = int(rng.integers(count)) if count else 0
        rows = ((start + step) % count for step in range(count))
        return self._draw((row for row in rows if row != own), text, rng)

    def _draw(self, rows: Iterable[int], text: str, rng: np.random.Generator) -> tuple[str, str] | None:
        """A caption unlike ``text`` of the first row that has one."""
        for row in rows:
            texts = [caption for caption in self.captions[row] if caption != text]
            if texts:
                return texts[int(rng.integers(len(texts)))], self.images[row]
        return None


def mean_features(images: Sequence[str], lookup: Callable[[str], Regions]) -> Tensor:
    """(I, F) float32 mean of each image's region features."""
    from twelve.types.half_precision import as_tensor

    means: Tensor | None = None
    for row, image in enumerate(images):
        features = lookup(image).features
        if features is None:
            raise RegionError(
                "this image's regions have no features",
                record=image,
                remedy="extract its features: hard negatives are images whose features are close",
            )
        mean = as_tensor(features).float().mean(0)
        if means is None:
            means = torch.empty(len(images), mean.shape[0])
        means[row] = mean
    return torch.empty(0, 0) if means is None else means


def nearest_rows(points: Tensor, count: int) -> NDArray[np.int32]:
    """(I, K) int32: for each row of ``points`` (I, F) the ``count`` rows nearest to it in Euclidean distance, nearest
    first, itself left out; K = min(count, I - 1)."""
    total = points.shape[0]
    count = max(0, min(count, total - 1))
    found = np.empty((total, count), dtype=np.int32)
    if count == 0:
        return found
    # |a - b|^2 = |a|^2 - 2ab + |b|^2, and |a|^2 is the same along a row. Centring keeps the terms small for float32.
    points = points - points.mean(0)
    squares = points.square().sum(1)
    block = max(1, BLOCK_ELEMENTS // total)
    with Track("finding similar images", total, "images") as track:
        for start in range(0, total, block):
            rows = torch.arange(start, min(start + block, total))
            distances = torch.addmm(squares.expand(len(rows), -1), points[rows], points.T, alpha=-2)
            distances[torch.arange(len(rows)), rows] = torch.inf
            found[start : start + len(rows)] = distances.topk(count, dim=1, largest=False).indices.int().numpy()
            track.advance(len(rows))
    return found
