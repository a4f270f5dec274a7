"""Measuring a task that ranks the images of one or several galleries for every caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twelve.data.batch import Collator
from twelve.errors import ConfigError
from twelve.evaluation.baselines import derangement
from twelve.evaluation.predict import retrieve
from twelve.evaluation.shortlist import PLACES, recall_of_best, shortlists
from twelve.evaluation.upper_bound import gallery_upper_bound
from twelve.formats.data_root import DataRoot
from twelve.metrics.retrieval import ALL, galleries
from twelve.outputs.alignment import RetrievalScores
from twelve.settings import EvaluationSettings
from twelve.tasks.base import Task
from twelve.threads import Threads
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol

if TYPE_CHECKING:
    from twelve.model.network import Network


@dataclass(frozen=True, slots=True)
class RankedGalleries:
    """The captions of each gallery, and their scores with its images.

    Attributes:
        protocol: with the gallery that the split had, which may be smaller than the one asked for.
    """

    task: Task
    protocol: Protocol
    captions: Sequence[list[Example]]
    scores: Sequence[RetrievalScores]

    @property
    def examples(self) -> list[Example]:
        """The captions of all galleries."""
        return [caption for part in self.captions for caption in part]

    def measurement(self, scores: Sequence[RetrievalScores] | None = None) -> Measurement:
        """The official numbers of these scores, or of others of the same galleries."""
        found = self.scores if scores is None else scores
        if self.protocol.galleries == 1:
            return self.task.measure_by(self.protocol, self.captions[0], found[0])
        return self.task.measure_by(self.protocol, self.captions, found)  # type: ignore[arg-type]

    def shuffled(self, seed: int) -> Measurement:
        """The measurement with every image replaced by another one of its gallery."""
        return self.measurement([shuffle_gallery(each, seed) for each in self.scores])

    def chance(self) -> NDArray[np.float64]:
        """(C,) share of the images of a caption's gallery that are its own."""
        return np.concatenate([np.full(len(each.caption_ids), 1 / len(each.image_ids)) for each in self.scores])

    def upper_bound(self, root: DataRoot) -> float | None:
        """The mean of the galleries' upper bounds; None if there is no known bound."""
        found = [
            gallery_upper_bound(self.task, root, self.protocol.split, captions, scores)
            for captions, scores in zip(self.captions, self.scores, strict=True)
        ]
        known = [100.0 if each is None else each for each in found]
        return None if all(each is None for each in found) else float(np.mean(known))


def rank(
    model: Network,
    collator: Collator,
    task: Task,
    examples: Sequence[Example],
    protocol: Protocol,
    settings: EvaluationSettings,
    threads: Threads,
) -> RankedGalleries:
    """Rank the galleries of a protocol.

    Args:
        examples: all captions of the split, in file order.

    Raises:
        ConfigError: the split has too few images for several galleries.
    """
    images = [example.images[0] for example in examples]
    parts = galleries(images, protocol.galleries, protocol.gallery)
    if protocol.galleries > 1 and len(set(images)) < protocol.galleries * (protocol.gallery or 0):
        raise ConfigError(
            f"protocol {protocol.name} needs {protocol.galleries} galleries of {protocol.gallery:,} images, split "
            f"{protocol.split} of {task.title} has {len(set(images)):,} images",
            remedy=f"measure one gallery of all of them: --protocol {task.name}={ALL}",
        )
    found = [
        retrieve(
            model,
            collator,
            [examples[row] for row in rows],
            gallery=None,
            batch_size=settings.batch_size,
            label=task.title,
            shortlist=settings.shortlist or 0,
            contrast_weight=settings.contrast_weight,
            threads=threads,
        )
        for rows in parts
    ]
    scores = [each for _, each in found]
    there = len(scores[0].image_ids)
    short = protocol.gallery is not None and there < protocol.gallery
    note = f"{protocol.note}; the split has only {there:,} images" if short else protocol.note
    ranked = replace(
        protocol,
        gallery=there,
        note=note,
        shortlist=scores[0].shortlist,
        contrast_weight=settings.contrast_weight,
    )
    return RankedGalleries(task, ranked, [captions for captions, _ in found], scores)


def with_shortlist(ours: Measurement, model: Network, collator: Collator, ranked: RankedGalleries) -> Measurement:
    """The measurement; of an exact ranking, also how much of its best the default shortlists would have held."""
    captions, scores = ranked.captions[0], ranked.scores[0]
    if scores.shortlist is not None or len(scores.image_ids) <= PLACES:
        return ours
    texts = [caption.text for caption in captions]
    chosen = shortlists(model, collator, texts, scores.image_ids, PLACES).chosen
    name = f"exact top 10 in shortlists of {PLACES}"
    return replace(ours, metrics={**ours.metrics, name: recall_of_best(scores.scores, chosen)})


def shuffle_gallery(scores: RetrievalScores, seed: int) -> RetrievalScores:
    """The scores with every image replaced by another one: the same matrix with its columns deranged."""
    columns = {image: column for column, image in enumerate(scores.image_ids)}
    swapped = derangement(scores.image_ids, seed)
    order = [columns[str(swapped[image])] for image in scores.image_ids]
    return replace(scores, scores=np.ascontiguousarray(scores.scores[:, order]))
