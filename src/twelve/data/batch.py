"""Builds a batch from examples: distinct texts, distinct images, and pairs of these.

Nothing is repeated: an image that ten questions ask about is copied to the device once, and a statement about two
images is encoded once.

Axes: T distinct texts, I distinct images, P pairs, E examples, L text length, R regions (0 global), F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from twelve.outputs.base import Output
from twelve.outputs.parts.contrast import belonging
from twelve.types.batch import Batch
from twelve.types.examples import Example
from twelve.types.regions import RegionReader, Regions, first_regions

if TYPE_CHECKING:
    from twelve.types.processor import TextProcessor


@dataclass(frozen=True, slots=True)
class Collator:
    """Builds the batches of one task.

    Args:
        task: name of the task, which determines its token and its longest text.
        output: makes pairs and targets from examples.
        output_key: the head that the batch needs.
        processor: makes word pieces of texts; its ``max_regions`` regions of an image are used.
        store: has the regions of the images.
        pool: what ``output.prepare`` returned for the training set.
        given: append the regions of the candidate boxes to the detected ones; None: if examples have candidates.
        contrast: say which texts and images belong together, for the contrast head.
    """

    task: str
    output: Output
    output_key: str
    processor: TextProcessor
    store: RegionReader
    pool: Any = None
    given: bool | None = None
    contrast: bool = False

    def __call__(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, part: slice = slice(None)
    ) -> Batch:
        """The batch of a ``part`` of the examples; the other parts are those of other processes.

        Args:
            examples: E examples of the task.
            rng: while training; outputs sample negatives (from all ``examples``) and hidden inputs with it.
        """
        drawn = self.output.pairs(examples, rng, self.pool)[part]
        everywhere, batch_examples, examples = len(examples), examples, examples[part]
        pairs = [pair for pairs in drawn for pair in pairs]
        distinct = _distinct if self.output.shares else _each
        texts, pair_text = distinct([text for text, _ in pairs])
        images, pair_image = distinct([image for _, image in pairs])
        input_ids, text_mask = self.texts(texts)
        most = self.processor.max_regions
        # Candidates are regions too, and follow the detected ones.
        given = has_candidates(examples) if self.given is None else self.given
        regions = self.store.gather(images, most, given=True) if given else self.store.gather(images, most)
        views = SeenRegions(self.store, examples, most, given=given)
        vocabulary = self.processor.vocabularies.get(self.output_key, [])
        batch = Batch(
            task=self.task,
            output=self.output_key,
            examples=examples,
            regions=views,
            input_ids=input_ids,
            text_mask=text_mask,
            task_rows=self.rows(len(texts)),
            features=regions.features,
            boxes=regions.boxes,
            region_mask=mask_beyond(regions.counts),
            pair_text=pair_text,
            pair_image=pair_image,
            targets=self.output.targets(examples, views, vocabulary),
            everywhere=everywhere,
            belonging=belonging(texts, images, batch_examples, self.pool) if self.contrast else None,
        )
        return batch if rng is None else self.output.hide(batch, pairs, self.processor, rng, part)

    def texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Word pieces (T, L) and their mask, padded to the longest of these texts."""
        pieces = self.processor.tokenize(texts, self.processor.max_text[self.task])
        lengths = torch.tensor([len(ids) for ids in pieces])
        input_ids = torch.zeros(len(pieces), int(lengths.max()), dtype=torch.int64)
        mask = mask_beyond(lengths)
        flat = torch.tensor([piece for ids in pieces for piece in ids])
        if mask is None:
            input_ids = flat.view_as(input_ids)
        else:
            input_ids[mask] = flat
        return input_ids, mask

    def images(self, images: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features (I, R, F), boxes (I, R, 5) and mask (I, R) of images' detected regions; None without padding."""
        regions = self.store.gather(images, self.processor.max_regions)
        mask = mask_beyond(regions.counts)
        return regions.features.to(device), regions.boxes.to(device), None if mask is None else mask.to(device)

    def rows(self, texts: int, device: torch.device | str = "cpu") -> Tensor | None:
        """The task's row of the task-token table (T,) for each of ``texts`` texts; None if there are no task tokens."""
        row = self.processor.token_rows.get(self.task)
        return None if row is None else torch.full((texts,), row, dtype=torch.int64, device=device)


class SeenRegions(Sequence[Regions]):
    """The regions that the model sees of each example's first image, without the global one.

    They are read when the first of them is asked for: many outputs never do, and a batch has them as tensors anyway.

    Args:
        most: number of detected regions that are kept.
        given: append the regions of the candidate boxes; None: if the examples have candidates.
    """

    def __init__(
        self, store: RegionReader, examples: Sequence[Example], most: int | None, *, given: bool | None = None
    ) -> None:
        self._store, self._examples, self._most = store, examples, most
        self._given = has_candidates(examples) if given is None else given

    @cached_property
    def _read(self) -> list[Regions]:
        store, images = self._store, [example.images[0] for example in self._examples]
        if self._given:
            return [store.get(image, self._most, given=True) for image in images]
        return [first_regions(store.get(image), self._most) for image in images]

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, index: int) -> Regions: ...
    @overload
    def __getitem__(self, index: slice) -> list[Regions]: ...
    def __getitem__(self, index: int | slice) -> Regions | list[Regions]:
        return self._read[index]


def has_candidates(examples: Sequence[Example]) -> bool:
    return any(example.candidates for example in examples)


def mask_beyond(counts: Tensor) -> Tensor | None:
    """(N, max) bool, True below each count; None where all counts are equal, so nothing is masked."""
    longest = int(counts.max())
    if bool((counts == longest).all()):
        return None
    return torch.arange(longest)[None, :] < counts[:, None]


def _distinct(items: Sequence[str]) -> tuple[list[str], Tensor | None]:
    """Distinct items in order of first occurrence, and the row of each item among them (None: the identity)."""
    rows: dict[str, int] = {}
    index = [rows.setdefault(item, len(rows)) for item in items]
    return list(rows), None if len(rows) == len(items) else torch.tensor(index)


def _each(items: Sequence[str]) -> tuple[list[str], None]:
    """Every item as a row of its own."""
    return list(items), None
