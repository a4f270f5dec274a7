"""Matching captions with scenes (:mod:`twelve.predictor.matched` has the result)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from twelve.data.batch import Collator
from twelve.evaluation.predict import pair_tiles
from twelve.evaluation.shortlist import places, scored_pairs, shortlists
from twelve.predictor import warnings
from twelve.predictor.forward import Computes, check_finite, output_of
from twelve.predictor.matched import Matched, best_of
from twelve.predictor.scene import Scene
from twelve.regions.store.in_memory import MemoryStore


def matching(
    predictor: Computes,
    task: str,
    scenes: Sequence[Scene],
    captions: Sequence[str],
    *,
    pairs: int,
    shortlist: int | None,
    contrast_weight: float,
) -> Generator[int, None, Matched]:
    """:meth:`twelve.predictor.predictor.Predictor.matching`, which describes the arguments, with those that are checked
    already."""
    model, processor = predictor.model, predictor.processor
    read = [warnings.respelt(processor, caption) for caption in captions]
    collator, ids = scenes_collator(predictor, task, scenes), tuple(scene.id for scene in scenes)
    options: dict[str, Any] = {"batch_size": pairs, "threads": predictor.threads}
    count = places(shortlist, able=model.contrasts, captions=len(read), images=len(ids))
    if count is None and not contrast_weight:
        logits = found = yield from pair_tiles(model, collator, read, ids, **options)
    else:
        head = shortlists(model, collator, read, ids, count, both=False)
        yield 0
        found = yield from scored_pairs(model, collator, read, ids, *np.nonzero(head.chosen), **options)
        logits = np.full(head.chosen.shape, np.nan, np.float32)
        logits[head.chosen] = found + head.added(contrast_weight)
    check_finite(found, collator.output_key)
    # The tests of a task measure the model's own logit, without the contrast head's.
    doubts = () if contrast_weight else predictor.doubts(task)
    return Matched(
        captions=tuple(captions),
        images=tuple(scene.name for scene in scenes),
        logits=logits,
        task=task,
        temperature=processor.temperatures.get(task, 1.0),
        calibrated=predictor.calibrated(task) and not contrast_weight,
        of_captions=(*warnings.of_captions(processor, task, captions), *doubts),
        of_images=tuple(scene.warnings for scene in scenes),
        shortlist=count,
        scenes=ids,
        photographs={k: image for k in best_of(logits) if (image := scenes[k].image) is not None},
    )


def scenes_collator(predictor: Computes, task: str, scenes: Sequence[Scene]) -> Collator:
    """Builds batches of a task's texts and of the regions of scenes."""
    store = MemoryStore({scene.id: scene.regions for scene in scenes})
    key = predictor.processor.task_outputs[task]
    return Collator(task, output_of(predictor, task), key, predictor.processor, store)
