"""Galleries of images and captions that no training saw: drawn on the microworld, or a run's own held-out images.

Axes: C captions, I images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.config import load_run
from twelve.data.batch import Collator
from twelve.evaluation.evaluate import Evaluator
from twelve.metrics.retrieval import gallery_rows
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.microworld.writers.captions import COCO, FLICKR30K, caption
from twelve.outputs import get_output
from twelve.predictor import Predictor
from twelve.progress import Track
from twelve.regions.store.in_memory import MemoryStore
from twelve.types.regions import Regions

WORDINGS = {"coco": COCO, "flickr30k": FLICKR30K}
WIDTH, HEIGHT = 160, 128
"""Pixels of a drawn image."""


@dataclass(frozen=True)
class Gallery:
    """Images and their captions.

    Attributes:
        texts: C captions; those of an image follow each other.
        images: ids of I images.
        target: (C,) the column of each caption's own image.
        collator: reads the images' regions.
    """

    texts: list[str]
    images: list[str]
    target: NDArray[np.int64]
    collator: Collator

    def part(self, images: int, captions: int) -> Gallery:
        """So many images and so many of their captions, both spread over all."""
        columns = _spread(len(self.images), images)
        rows = np.flatnonzero(np.isin(self.target, columns))
        rows = rows[_spread(len(rows), captions)]
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            images=[self.images[column] for column in columns],
            target=np.searchsorted(columns, self.target[rows]),
        )


def _spread(every: int, count: int) -> NDArray[np.int64]:
    return np.linspace(0, every - 1, min(count, every)).round().astype(np.int64)


def drawn(predictor: Predictor, images: int, seed: int, task: str, kept: Path | None) -> Gallery:
    """Draw images with five captions each, whose wordings are those of test sets too, and extract the regions, or read
    those that an earlier call kept in a file."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(images)]
    captions = [caption(rng, WORDINGS[task], scene, test=True) for scene in scenes]
    names = [f"drawn/{number}" for number in range(images)]
    regions = {}
    if kept is not None and kept.is_file():
        found = np.load(kept)
        ends = np.cumsum(found["counts"])[:-1]
        parts = zip(names, np.split(found["boxes"], ends), np.split(found["features"], ends), strict=True)
        regions = {name: Regions(name, WIDTH, HEIGHT, boxes, features) for name, boxes, features in parts}
    else:
        with Track("drawing", images, "images") as track:
            for number, (name, scene) in enumerate(zip(names, scenes, strict=True)):
                regions[name] = predictor.scene(draw(scene, seed=seed * 1_000_003 + number), name=name).regions
                track.advance()
        if kept is not None:
            _keep(regions, kept)
    key = predictor.processor.task_outputs[task]
    output = get_output(predictor.model.config.heads[key]["kind"])
    collator = Collator(task, output, key, predictor.processor, MemoryStore(regions), given=False)
    texts = [text for own in captions for text in own]
    target = np.repeat(np.arange(images), [len(own) for own in captions])
    return Gallery(texts, names, target, collator)


def _keep(regions: dict[str, Regions], path: Path) -> None:
    every = list(regions.values())
    assert {(each.width, each.height) for each in every} == {(WIDTH, HEIGHT)}
    np.savez(
        path,
        boxes=np.concatenate([each.boxes for each in every]),
        features=np.concatenate([np.asarray(each.features) for each in every]),
        counts=[len(each.boxes) for each in every],
    )


def held_out(predictor: Predictor, run: Path, task: str) -> Gallery:
    """All images of the task's test split in the run's data, with their first five captions each."""
    config = load_run(run)
    evaluator = Evaluator(config, predictor.model, predictor.processor, baselines=False)
    data = evaluator.data.tasks[task]
    examples = evaluator._read(data, data.test_split)
    captions = [examples[row] for row in gallery_rows([example.images[0] for example in examples], None)]
    images = list(dict.fromkeys(caption.images[0] for caption in captions))
    column = {image: place for place, image in enumerate(images)}
    target = np.array([column[caption.images[0]] for caption in captions])
    order = np.argsort(target, kind="stable")
    return Gallery([captions[row].text for row in order], images, target[order], evaluator._collator(data))
