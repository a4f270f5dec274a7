"""Examples become a batch: distinct texts x distinct images + pairs.

Nothing is repeated: a picture that ten questions ask about crosses to the device once, a statement about two pictures
is read once. The pairs say what meets what.

Axes: T distinct texts, I distinct images, P pairs, E examples, L text length, R regions (0 global), F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from twelve.outputs.base import Output
from twelve.regions.types import Regions, first_regions
from twelve.tasks.base import Example

__all__ = ["Batch", "Collator", "first_regions", "has_candidates", "mask_beyond", "seen_regions"]

if TYPE_CHECKING:
    from twelve.model.processor import TwelveProcessor
    from twelve.regions.store import RegionStore


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass reads, with the examples it came from.

    Attributes:
        input_ids: (T, L) int64 word pieces, 0 beyond a text's end.
        text_mask: (T, L) bool, True at word pieces; None when no text is shorter than L.
        task_rows: (T,) int64 rows of the task-token table.
        features: (I, R, F) float16, zero beyond an image's regions.
        boxes: (I, R, 5) float32 x1/W, y1/H, x2/W, y2/H, area fraction.
        region_mask: (I, R) bool, True at regions; None when every image has R.
        pair_text, pair_image: (P,) int64 rows of texts and images; None where pair i is row i.
        targets: what the output's loss and score read.
        everywhere: examples of the batch in all processes of the run.
        hidden_words, hidden_regions: (T, L) and (I, R - 1) bool, True where the model is asked what it cannot see; None
            where it is asked for nothing of the kind.
    """

    task: str
    output: str
    examples: Sequence[Example]
    regions: Sequence[Regions]
    input_ids: Tensor
    text_mask: Tensor | None
    task_rows: Tensor
    features: Tensor
    boxes: Tensor
    region_mask: Tensor | None
    pair_text: Tensor | None
    pair_image: Tensor | None
    targets: Mapping[str, Tensor]
    everywhere: int
    hidden_words: Tensor | None = None
    hidden_regions: Tensor | None = None

    def inputs(self, device: torch.device | str = "cpu") -> dict[str, Tensor | None]:
        """Arguments of the model's forward pass, on ``device``."""
        names = ("input_ids", "text_mask", "task_rows", "features", "boxes", "region_mask", "pair_text", "pair_image")
        asked = () if self.hidden_words is None else ("hidden_words", "hidden_regions")
        tensors = ((name, getattr(self, name)) for name in (*names, *asked))
        return {name: None if tensor is None else tensor.to(device, non_blocking=True) for name, tensor in tensors}

    def targets_on(self, device: torch.device | str) -> dict[str, Tensor]:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in self.targets.items()}

    @property
    def pairs(self) -> int:
        return len(self.input_ids) if self.pair_text is None else len(self.pair_text)


@dataclass(frozen=True, slots=True)
class Collator:
    """Builds the batches of one task.

    Args:
        task: the task's name (chooses its token and its longest text).
        output: how examples become pairs and targets.
        output_key: the head that the batch needs.
        pool: what ``output.prepare`` returned for the training set, if anything.
        given: whether the regions of boxes that datasets give follow the detected ones; None: if examples have
            candidates.
    """

    task: str
    output: Output
    output_key: str
    processor: TwelveProcessor
    store: RegionStore
    pool: Any = None
    given: bool | None = None

    def __call__(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, part: slice = slice(None)
    ) -> Batch:
        """``rng`` is given while training; with it, outputs draw what they need: negatives (from all ``examples``, even
        if the batch is to hold a ``part`` of them only, the other parts being other processes'), what they hide."""
        drawn = self.output.pairs(examples, rng, self.pool)[part]
        everywhere, examples = len(examples), examples[part]
        pairs = [pair for pairs in drawn for pair in pairs]
        distinct = _distinct if self.output.shares else _each
        texts, pair_text = distinct([text for text, _ in pairs])
        images, pair_image = distinct([image for _, image in pairs])
        input_ids, text_mask = self.texts(texts)
        most = self.processor.max_regions
        # Candidates are regions too: they follow the detected ones.
        given = has_candidates(examples) if self.given is None else self.given
        regions = self.store.gather(images, most, given=True) if given else self.store.gather(images, most)
        views = seen_regions(self.store, examples, most, given=given)
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
        )
        return batch if rng is None else self.output.hide(batch, pairs, self.processor, rng, part)

    def texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Word pieces (T, L) and their mask, padded to the longest text of these and no further."""
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

    def rows(self, texts: int) -> Tensor:
        return torch.full((texts,), self.processor.token_rows[self.task], dtype=torch.int64)


def seen_regions(
    store: RegionStore, examples: Sequence[Example], most: int | None, *, given: bool | None = None
) -> list[Regions]:
    """The regions that the model sees of each example's first picture, the global one left out.

    Args:
        most: detected regions kept.
        given: whether the regions of given boxes follow them; None: if the examples have candidates.
    """
    if has_candidates(examples) if given is None else given:
        return [store.get(example.images[0], most, given=True) for example in examples]
    return [first_regions(store.get(example.images[0]), most) for example in examples]


def has_candidates(examples: Sequence[Example]) -> bool:
    return any(example.candidates for example in examples)


def mask_beyond(counts: Tensor) -> Tensor | None:
    """(N, max) bool, True below each count; None when all counts are equal, so that nothing is masked."""
    longest = int(counts.max())
    if bool((counts == longest).all()):
        return None
    return torch.arange(longest)[None, :] < counts[:, None]


def _distinct(items: Sequence[str]) -> tuple[list[str], Tensor | None]:
    """Distinct items in order of appearance and, unless it is the identity, the row of each item among them."""
    rows: dict[str, int] = {}
    index = [rows.setdefault(item, len(rows)) for item in items]
    return list(rows), None if len(rows) == len(items) else torch.tensor(index)


def _each(items: Sequence[str]) -> tuple[list[str], None]:
    """Every item in a row of its own."""
    return list(items), None
