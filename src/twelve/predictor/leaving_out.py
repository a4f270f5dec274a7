"""Asking a question again without each region of its images (:mod:`twelve.predictor.dependence` has the result)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import torch

from twelve.errors import ConfigError
from twelve.predictor.dependence import SIDES, Dependence
from twelve.predictor.forward import BATCH, Computes, forward, output_of
from twelve.predictor.questions import Question
from twelve.predictor.scene import Scene
from twelve.types.regions import first_regions, select


def depending(predictor: Computes, question: Question) -> Generator[int, None, Dependence]:
    """:meth:`twelve.predictor.predictor.Predictor.depending`, which describes the arguments."""
    processor, scenes = predictor.processor, question.scenes
    output = output_of(predictor, question.task)
    labels = list(output.labels(processor.vocabularies.get(processor.task_outputs[question.task], [])))
    if question.boxes or output.reads != "fused" or not labels or len(scenes) > len(SIDES):
        raise ConfigError(
            f"expected a question with an answer or a class as result, found {question.method}",
            remedy="use answer, entails or verify",
        )
    seen = [first_regions(scene.regions, processor.max_regions) for scene in scenes]
    variants = [question]
    for place, scene in enumerate(scenes):
        others = [_without(scene, row) for row in range(len(seen[place].boxes))]
        variants += [replace(question, scenes=(*scenes[:place], other, *scenes[place + 1 :])) for other in others]
    found = []
    for start in range(0, len(variants), BATCH):
        found.append(forward(predictor, variants[start : start + BATCH])[0])
        yield start + len(found[-1])
    logits = torch.cat(found).double()
    shares = logits.softmax(1) if output.shown_as == "softmax" else logits.sigmoid()
    best = int(logits[0].argmax())
    # An extractor is not loaded for the labels of regions that came without an image.
    named = [scene.labels or [] if "extractor" in vars(predictor) else [] for scene in scenes]
    detected = [name for names, regions in zip(named, seen, strict=True) for name in names[: len(regions.boxes)]]
    boxes = [(a, b, c, d) for regions in seen for a, b, c, d in regions.boxes.tolist()]
    sides = [side for side, regions in zip(SIDES, seen, strict=False) for _ in regions.boxes]
    return Dependence(
        text=question.text,
        task=question.task,
        value=labels[best],
        score=float(shares[0, best]),
        calibrated=predictor.calibrated(question.task),
        boxes=tuple(boxes),
        scores=shares[1:, best].numpy(),
        image=scenes[0].image,
        right=scenes[1].image if len(scenes) > 1 else None,
        labels=tuple(detected) if len(detected) == len(boxes) else (),
        sides=tuple(sides) if len(scenes) > 1 else (),
    )


def _without(scene: Scene, row: int) -> Scene:
    """A scene without one of its regions."""
    rest = np.delete(np.arange(len(scene.regions.boxes)), row)
    return Scene(scene.predictor, select(scene.regions, rest), None, scene.name)
