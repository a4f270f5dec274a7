"""Retrieval in two steps: the contrast head makes a shortlist of each gallery, the model ranks the shortlist exactly.

Of C captions and I images, only the pairs on a shortlist run through the whole model ("Align before Fuse", Li et al.
2021, with k_test 128). With K = I, that is every pair. P stands for pairs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.data.batch import Collator
from twelve.model.model_outputs import ImageStates, TextStates
from twelve.model.vectors import closest, image_vectors, similarities, text_vectors
from twelve.threads import Threads, unchanged

if TYPE_CHECKING:
    from twelve.model.network import Network

PLACES = 128
"""Images of a caption's shortlist, unless another number is asked for."""
FROM = 2000
"""Pairs from which on a shortlist is made, unless one is asked for or excluded."""
TILE = 256
"""Images whose states before fusion are kept for all captions that shortlist them."""
SET = 512
"""Texts of one length that are encoded together."""


def places(asked: int | None, *, able: bool, captions: int, images: int) -> int | None:
    """Length of each shortlist; None to rank everything.

    Args:
        asked: by a person: 0 to rank everything, None for the default.
        able: whether the model has a contrast head.
    """
    if asked is None:
        asked = PLACES if able and captions * images > FROM else 0
    return asked if 0 < asked < images else None


@dataclass(frozen=True, slots=True)
class Shortlists:
    """What the contrast head says of C captions and I images.

    Attributes:
        similarities: (C, I) float32, at most 1.
        scale: makes logits of them.
        chosen: (C, I) the pairs on a shortlist: of each caption the closest images, and of each image the closest
            captions.
    """

    similarities: NDArray[np.float32]
    scale: float
    chosen: NDArray[np.bool_]

    def added(self, weight: float) -> NDArray[np.float32]:
        """(P,) what is added to the chosen pairs' own logits, in the order of ``np.nonzero``, so that the head and the
        model decide together. Both were trained as logits of the same choice: with a weight of 1, their probabilities
        multiply."""
        return np.float32(weight * self.scale) * self.similarities[self.chosen]

    def merged(self, exact: NDArray[np.float32]) -> NDArray[np.float32]:
        """(C, I) scores: the ``exact`` ones of the chosen pairs, in the order of ``np.nonzero``, and below the lowest
        of these all others, in the order of their similarities."""
        scores = self.similarities + np.float32(exact.min(initial=0.0) - 2)  # similarities are at most 1
        scores[self.chosen] = exact
        return scores


def shortlists(
    model: Network,
    collator: Collator,
    texts: Sequence[str],
    images: Sequence[str],
    count: int | None,
    *,
    both: bool = True,
) -> Shortlists:
    """The shortlists of a caption and of an image; raises ConfigError without a contrast head.

    Args:
        count: places of each; None for every pair.
        both: also of each image; else of each caption alone.
    """
    similar = similarities(text_vectors(model, collator, texts), image_vectors(model, collator, images))
    chosen = np.full((len(texts), len(images)), count is None)
    if count is not None:
        np.put_along_axis(chosen, closest(similar, count), True, axis=1)
    if count is not None and both:
        np.put_along_axis(chosen, closest(similar.T, count).T, True, axis=0)
    return Shortlists(similar.numpy(), model.similarity_scale, chosen)


def recall_of_best(scores: NDArray[np.float32], chosen: NDArray[np.bool_], best: int = 10) -> float:
    """Share, per cent, of each caption's ``best`` images by the exact ``scores`` (C, I) that its shortlist has."""
    top = np.argpartition(-scores, min(best, scores.shape[1] - 1), axis=1)[:, :best]
    return 100 * float(np.take_along_axis(chosen, top, axis=1).mean())


@torch.inference_mode()
def scored_pairs(
    model: Network,
    collator: Collator,
    texts: Sequence[str],
    images: Sequence[str],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    *,
    batch_size: int,
    threads: Threads | None = None,
) -> Generator[int, None, NDArray[np.float32]]:
    """(P,) alignment logits of the pairs ``texts[rows]``, ``images[columns]``; yields the number of pairs that each
    forward pass scored.

    Each text and each image is encoded once. A forward pass has texts of one length, and images with similar numbers of
    regions.
    """
    threads, asked = threads or unchanged(model.device), collator.output.ranks_by(collator.output_key)
    most = collator.processor.max_text[collator.task]
    lengths = np.array([len(ids) for ids in collator.processor.tokenize(texts, most)])
    of_length = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    sets = [same[start : start + SET] for same in of_length for start in range(0, len(same), SET)]

    def encoded(part: NDArray[np.int64]) -> TextStates:
        ids, _ = collator.texts([texts[row] for row in part])
        return model.encode_texts(ids.to(model.device), task_rows=collator.rows(len(part), model.device))

    encoded_texts: list[TextStates] = []
    set_of, place = np.empty(len(texts), np.int64), np.empty(len(texts), np.int64)  # of a text, and its row in the set
    for part, states in threads.each(encoded, sets):
        set_of[part], place[part] = len(encoded_texts), np.arange(len(part))
        encoded_texts.append(states)
        yield 0
    key = columns // TILE * len(sets) + set_of[rows]  # of a tile and a set
    order = np.argsort(key, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(order) else []
    inputs = (collator.images(images[t * TILE : (t + 1) * TILE], model.device) for t in np.unique(columns // TILE))
    tiles = threads.each(lambda regions: model.encode_images(*regions), inputs)

    def parts() -> Iterator[tuple[NDArray[np.int64], TextStates, ImageStates]]:
        tile = -1
        for group in groups:
            number, texts_set = divmod(int(key[group[0]]), len(sets))
            if number != tile:
                tile, (_, shown) = number, next(tiles)
                regions = shown.sequences.lengths
            group = group[np.argsort(regions[columns[group] % TILE], kind="stable")]
            for start in range(0, len(group), batch_size):
                yield group[start : start + batch_size], encoded_texts[texts_set], shown

    def fused(work: tuple[NDArray[np.int64], TextStates, ImageStates]) -> Tensor:
        part, words, shown = work
        pair_text = torch.from_numpy(place[rows[part]]).to(model.device)
        pair_image = torch.from_numpy(columns[part] % TILE).to(model.device)
        out = model.fuse(words, shown, pair_text, pair_image, outputs=(asked,))
        return collator.output.matching(out.logits[asked]).float()

    scores = np.empty(len(rows), np.float32)
    for (part, _, _), logits in threads.each(fused, parts()):
        scores[part] = logits.cpu().numpy()
        yield len(part)
    return scores
