"""A model's predictions on a split, also with every image replaced by another one.

Axes: C captions, I images, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.data.batch import Collator
from twelve.data.loader import ahead, passes
from twelve.evaluation.shortlist import places, scored_pairs, shortlists
from twelve.metrics.retrieval import gallery_rows
from twelve.outputs.alignment import RetrievalScores
from twelve.outputs.answer import among
from twelve.processes import Processes
from twelve.progress import Track
from twelve.threads import Threads, unchanged
from twelve.types.examples import Example
from twelve.types.predictions import Prediction
from twelve.types.regions import RegionBatch, RegionReader, Regions

if TYPE_CHECKING:
    from twelve.model.model_outputs import ImageStates, TextStates
    from twelve.model.network import Network
    from twelve.outputs.base import Output
    from twelve.types.batch import Batch

T = TypeVar("T")
TILE_IMAGES = 16
"""Images in a tile of the caption x image product; their states before fusion are kept for all captions."""


def predict(
    model: Network,
    collator: Collator,
    examples: Sequence[Example],
    *,
    batch_size: int,
    label: str,
    threads: Threads | None = None,
) -> list[Prediction]:
    """Predictions aligned with ``examples``; ``batch_size`` counts pairs. Processes that evaluate together share the
    batches.

    Args:
        threads: number of threads, tuned meanwhile; None to leave torch's.
    """
    threads, device = threads or unchanged(model.device), model.device
    lengths = np.array([len(example.text) for example in examples])
    many = max(1, batch_size // len(collator.output.pairs(examples[:1])[0]))
    found, processes = dict[int, Prediction](), Processes()
    vocabulary = collator.processor.vocabularies.get(collator.output_key, [])
    temperature = collator.processor.temperatures.get(collator.task, 1.0)
    own = collator.processor.own_answers.get(collator.task)
    batches = ahead(passes(examples, lengths, collator, many, processes.part), device)

    def computed(numbered: tuple[NDArray[np.int64], Batch]) -> torch.Tensor:
        batch = numbered[1]
        logits: torch.Tensor = model(**batch.inputs(device), outputs=(batch.output,)).logits[batch.output]
        return logits.float()

    with Track(label, len(examples), "examples", shown=processes.main) as track:
        for (rows, batch), logits in threads.each(computed, batches):
            possible = among(logits.cpu() / temperature, vocabulary, own)
            decoded = collator.output.decode(possible, batch.examples, batch.regions, vocabulary)
            found |= zip(rows.tolist(), decoded, strict=True)
            track.advance(processes.count * len(rows))
    everywhere = {row: prediction for part in processes.all(found) for row, prediction in part.items()}
    return [everywhere[row] for row in range(len(examples))]


def retrieve(
    model: Network,
    collator: Collator,
    examples: Sequence[Example],
    *,
    gallery: int | None,
    batch_size: int,
    label: str,
    shortlist: int | None = 0,
    contrast_weight: float = 0.0,
    threads: Threads | None = None,
) -> tuple[list[Example], RetrievalScores]:
    """The captions of the gallery (the first ``gallery`` images, the first five captions of each) and their scores
    with every image.

    Args:
        shortlist: see :func:`twelve.evaluation.shortlist.places`.
        contrast_weight: see :class:`twelve.settings.EvaluationSettings`.
    """
    captions = [examples[row] for row in gallery_rows([example.images[0] for example in examples], gallery)]
    images = list(dict.fromkeys(caption.images[0] for caption in captions))
    column = {image: index for index, image in enumerate(images)}
    texts = [caption.text for caption in captions]
    processes, able = Processes(), model.contrasts
    count = places(shortlist, able=able, captions=len(texts), images=len(images))
    options: dict[str, Any] = {"batch_size": batch_size, "threads": threads}
    part, shown = processes.part, processes.main
    if count is None:
        with Track(label, len(texts) * len(images), "pairs", shown=shown) as track:
            tiles = pair_tiles(model, collator, texts, images, part=part, **options)
            scores = finished(tiles, lambda pairs: track.advance(processes.count * pairs))
        processes.sum(scores)
        if contrast_weight:
            head = shortlists(model, collator, texts, images, None)
            scores += head.added(contrast_weight).reshape(scores.shape)
    else:
        found = shortlists(model, collator, texts, images, count)
        rows, columns = np.nonzero(found.chosen)
        exact = np.zeros(len(rows), np.float32)
        with Track(label, len(rows), "pairs", shown=shown) as track:
            pairs = scored_pairs(model, collator, texts, images, rows[part], columns[part], **options)
            exact[part] = finished(pairs, lambda pairs: track.advance(processes.count * pairs))
        processes.sum(exact)
        scores = found.merged(exact + found.added(contrast_weight))
    return captions, RetrievalScores(
        scores=scores,
        shortlist=count,
        caption_ids=tuple(caption.id for caption in captions),
        image_ids=tuple(images),
        target=np.array([column[caption.images[0]] for caption in captions]),
    )


@torch.inference_mode()
def pair_tiles(
    model: Network,
    collator: Collator,
    texts: Sequence[str],
    images: Sequence[str],
    *,
    batch_size: int,
    threads: Threads | None = None,
    part: slice = slice(None),
) -> Generator[int, None, NDArray[np.float32]]:
    """(C, I) alignment logits of every text with every image, in tiles of ``batch_size`` pairs; yields after every
    forward pass the number of pairs that it scored (0 if it encoded texts or images).

    Each text and each image is encoded once, up to the first co-attention.

    Args:
        part: which tiles of images are scored; the columns of the others are zero.
    """
    order = np.argsort([len(text) for text in texts], kind="stable")
    scores = np.zeros((len(texts), len(images)), np.float32)
    chunk = max(1, batch_size // TILE_IMAGES)
    asked = collator.output.ranks_by(collator.output_key)
    threads, device = threads or unchanged(model.device), model.device

    def encoded(rows: NDArray[np.int64]) -> TextStates:
        input_ids, mask = collator.texts([texts[row] for row in rows])
        task_rows = collator.rows(len(rows), device)
        mask = None if mask is None else mask.to(device)
        return model.encode_texts(input_ids.to(device), text_mask=mask, task_rows=task_rows)

    encoded_texts = []
    for rows, states in threads.each(encoded, (order[at : at + chunk] for at in range(0, len(order), chunk))):
        encoded_texts.append((rows, states))
        yield 0
    starts = range(0, len(images), TILE_IMAGES)[part]
    inputs = ahead((collator.images(images[at : at + TILE_IMAGES], device) for at in starts), device)
    tiles = threads.each(lambda regions: model.encode_images(*regions), inputs)
    for start, (_, shown) in zip(starts, tiles, strict=True):
        count = len(images[start : start + TILE_IMAGES])
        fused = partial(_tile, model, collator.output, asked, shown, count)
        computed = []
        for (rows, _), logits in threads.each(fused, encoded_texts):
            computed.append((rows, logits))
            yield logits.numel()
        for rows, logits in computed:  # copying them one by one would wait for each
            scores[rows, start : start + count] = logits.cpu().numpy().reshape(len(rows), count)
    return scores


def _tile(
    model: Network,
    output: Output,
    asked: str,
    images: ImageStates,
    count: int,
    texts: tuple[NDArray[np.int64], TextStates],
) -> torch.Tensor:
    """(P,) alignment logits of each of some encoded texts with each of ``count`` encoded images."""
    rows, states = texts
    pair_text = torch.arange(len(rows), device=model.device).repeat_interleave(count)
    pair_image = torch.arange(count, device=model.device).repeat(len(rows))
    out = model.fuse(states, images, pair_text, pair_image, outputs=(asked,))
    return output.matching(out.logits[asked]).float()


def finished(steps: Generator[int, None, T], advance: Callable[[int], None] = lambda _: None) -> T:
    """Run a generator to its end and return its result; ``advance`` gets what it yields."""
    while True:
        try:
            advance(next(steps))
        except StopIteration as end:
            found: T = end.value
            return found


class ShuffledStore:
    """A region store in which every image has another one's features.

    Args:
        replacement: image id -> the image that replaces it.
        keep_boxes: keep each image's own boxes and replace the features alone (for grounding, where the answer must be
            among the boxes).
    """

    def __init__(self, store: RegionReader, replacement: Mapping[str, str], *, keep_boxes: bool) -> None:
        self.store, self.replacement, self.keep_boxes = store, replacement, keep_boxes

    def get(self, image_id: str, max_regions: int | None = None, *, given: bool = False) -> Regions:
        shown = image_id if self.keep_boxes else self.replacement.get(image_id, image_id)
        return self.store.get(shown, max_regions, given=given)

    def gather(self, image_ids: Sequence[str], max_regions: int | None = None, *, given: bool = False) -> RegionBatch:
        others = [self.replacement.get(image, image) for image in image_ids]
        batch = self.store.gather(others, max_regions, given=given)
        if not self.keep_boxes:
            return batch
        own = self.store.gather(image_ids, max_regions, given=given)
        features = torch.zeros(*own.features.shape, dtype=own.features.dtype)
        for row, (count, available) in enumerate(zip(own.counts.tolist(), batch.counts.tolist(), strict=True)):
            # The replacement may have fewer regions: repeat them, without its global one.
            index = torch.arange(count)
            index = torch.where(index < available, index, 1 + (index - 1) % max(1, available - 1))
            features[row, :count] = batch.features[row, index]
        return RegionBatch(features=features, boxes=own.boxes, counts=own.counts)
