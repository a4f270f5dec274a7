"""Forward passes of questions: their logits, the results that these are decoded to, and what a result depends on."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.errors import CheckpointError, InputError
from twelve.model.inputs import collated
from twelve.model.model_outputs import TwelveOutput
from twelve.model.network import Network
from twelve.model.processor import TwelveProcessor
from twelve.outputs import Output, get_output
from twelve.outputs.answer import among
from twelve.outputs.parts.result import Context, Result
from twelve.outputs.parts.warned import Warned
from twelve.predictor import warnings
from twelve.predictor.attention import Attention
from twelve.predictor.dependence import SIDES, Dependence
from twelve.predictor.questions import Question
from twelve.predictor.scene import Scene
from twelve.threads import Threads
from twelve.types.batch import Batch
from twelve.types.regions import first_regions, select

BATCH = 64
"""Questions in a forward pass."""


class NotFiniteLogits(CheckpointError):
    """The weights of a model are finite, but its logits are not."""


class Computes(Protocol):
    """The part of :class:`twelve.predictor.predictor.Predictor` that a forward pass uses."""

    model: Network
    processor: TwelveProcessor
    threads: Threads

    def calibrated(self, task: str) -> bool: ...

    def doubts(self, task: str) -> tuple[Warned, ...]: ...


def output_of(predictor: Computes, task: str) -> Output:
    """The output of a task's head."""
    return get_output(predictor.model.config.heads[predictor.processor.task_outputs[task]]["kind"])


@torch.inference_mode()
def forward(
    predictor: Computes, questions: Sequence[Question], *, explain: bool = False
) -> tuple[Tensor, Batch, TwelveOutput]:
    """The calibrated logits of questions of one task, all with candidates or all without, and what they come from."""
    model, processor, task = predictor.model, predictor.processor, questions[0].task
    asked = [(warnings.respelt(processor, each.model_text), each.scenes, each.boxes) for each in questions]
    batch = collated(processor, task, output_of(predictor, task), asked)
    compute = partial(model, **batch.inputs(model.device), outputs=(batch.output,), return_attention=explain)
    out: TwelveOutput = predictor.threads.run(compute, len(questions))
    logits = out.logits[batch.output].float().cpu() / processor.temperatures.get(task, 1.0)
    check_finite(logits.numpy(), batch.output)
    return logits, batch, out


def results(predictor: Computes, questions: Sequence[Question], explain: bool, threshold: float | None) -> list[Result]:
    """The results of questions of one task, all with candidates or all without."""
    processor, task = predictor.processor, questions[0].task
    logits, batch, out = forward(predictor, questions, explain=explain)
    output, vocabulary = output_of(predictor, task), processor.vocabularies.get(batch.output, [])
    logits = among(logits, vocabulary, processor.own_answers.get(task))
    decoded = output.decode(logits, batch.examples, batch.regions, vocabulary)
    attention = _attention(predictor, questions[0], batch, out) if explain else None
    found = []
    for question, prediction in zip(questions, decoded, strict=True):
        images = tuple(scene.image for scene in question.scenes)
        fields = {
            "text": question.text,
            "task": task,
            "confidence": prediction.confidence,
            "calibrated": predictor.calibrated(task),
            "warnings": (*warnings.of_question(processor, question), *predictor.doubts(task)),
            "image": images[0],
            "explained": attention,
        }
        least = threshold if question.threshold is None else question.threshold
        context = Context(fields, question.boxes, least, images, processor.likely.get(task, 0.0))
        found.append(output.result(prediction, context))
    return found


def _attention(predictor: Computes, question: Question, batch: Batch, out: TwelveOutput) -> Attention:
    """The attention of the first pair."""
    words = predictor.processor.tokens(batch.input_ids[0].tolist())
    if predictor.model.config.task_specific_tokens:
        words.insert(1, "[TASK]")
    seen = batch.regions[0]
    boxes = ((0.0, 0.0, float(seen.width), float(seen.height)), *((a, b, c, d) for a, b, c, d in seen.boxes.tolist()))
    maps = {name: probabilities[0].float().cpu().numpy() for name, probabilities in out.attentions.items()}
    return Attention(tuple(words), boxes, maps, question.scenes[0].image)


def depending(predictor: Computes, question: Question) -> Generator[int, None, Dependence]:
    """:meth:`twelve.predictor.predictor.Predictor.depending`, which describes the arguments."""
    processor, scenes = predictor.processor, question.scenes
    output = output_of(predictor, question.task)
    labels = list(output.labels(processor.vocabularies.get(processor.task_outputs[question.task], [])))
    if question.boxes or output.reads != "fused" or not labels or len(scenes) > len(SIDES):
        raise InputError(
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
        confidence=float(shares[0, best]),
        calibrated=predictor.calibrated(question.task),
        boxes=tuple(boxes),
        confidence_without=shares[1:, best].numpy(),
        image=scenes[0].image,
        right=scenes[1].image if len(scenes) > 1 else None,
        labels=tuple(detected) if len(detected) == len(boxes) else (),
        sides=tuple(sides) if len(scenes) > 1 else (),
        warnings=(*warnings.of_question(processor, question), *predictor.doubts(question.task)),
    )


def _without(scene: Scene, row: int) -> Scene:
    """A scene without one of its regions."""
    rest = np.delete(np.arange(len(scene.regions.boxes)), row)
    return Scene(scene.predictor, select(scene.regions, rest), None, scene.name)


def check_finite(logits: NDArray[Any], output: str) -> None:
    """Raise NotFiniteLogits for logits that are not finite."""
    if not np.isfinite(logits).all():
        raise NotFiniteLogits(
            f"the logits of the model's output {output!r} are not finite",
            remedy="train it again, or use an earlier checkpoint",
        )
