"""What a processor makes of texts and scenes: the arguments of a model, and what decodes its result.

Axes: T distinct texts, I distinct images, P pairs, E texts as given, L text length, R regions (region 0 global),
F features, C candidate boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from twelve.data.batch import Collator
from twelve.errors import ConfigError, InputError, RegionError, nearest
from twelve.formats.records import describe
from twelve.outputs import Output, get_output
from twelve.outputs.answer import among
from twelve.regions.store.in_memory import MemoryStore
from twelve.tasks.base import all_tasks
from twelve.types.batch import Batch
from twelve.types.examples import Box, Example
from twelve.types.predictions import Prediction
from twelve.types.processor import TextProcessor
from twelve.types.regions import Regions

_NESTED = "give one text per scene, a list of texts per scene, or (left, right) scenes per text"
_PIXELS = "give x1, y1, x2, y2 in pixels of the image"


class Describes(TextProcessor, Protocol):
    """The part of a processor that this module uses, beside that of batches.

    Attributes:
        task_outputs: task -> output key.
        kinds: output key -> kind of output.
    """

    task_outputs: dict[str, str]
    kinds: dict[str, str]


class HasRegions(Protocol):
    """A scene (:class:`twelve.predictor.Scene`)."""

    @property
    def regions(self) -> Regions: ...

    def regions_of(self, boxes: tuple[Box, ...]) -> Regions: ...


SceneLike: TypeAlias = "HasRegions | Regions"


class ModelInputs(dict[str, Any]):
    """The arguments of a model: ``model(**inputs)``. Those that a batch does not need are absent.

    ``input_ids`` (T, L) int64, ``text_mask`` (T, L) bool, ``task_rows`` (T,) int64; ``features`` (I, R, F) as
    extracted, ``boxes`` (I, R, 5) float32, ``region_mask`` (I, R) bool; ``pair_text``, ``pair_image`` (P,) int64 rows
    of texts and images; ``outputs``, the head. Equal texts and scenes share a row.

    Attributes:
        batch: the same, with its task and its E examples.
    """

    def __init__(self, batch: Batch) -> None:
        given = {name: tensor for name, tensor in batch.inputs().items() if tensor is not None}
        super().__init__(**given, outputs=(batch.output,))
        self.batch = batch

    def to(self, device: torch.device | str) -> ModelInputs:
        """The same with its tensors on ``device``."""
        moved = ModelInputs(self.batch)
        moved.update({name: value.to(device) for name, value in self.items() if isinstance(value, Tensor)})
        return moved


def inputs_of(
    processor: Describes,
    texts: Any,
    scenes: Any,
    *,
    task: str | None = None,
    output: str | None = None,
    boxes: Any = None,
) -> ModelInputs:
    """See :meth:`twelve.TwelveProcessor.__call__`."""
    task = _task(processor, task, output)
    kind = output_of(processor, task)
    asked = _arranged(texts, scenes, kind.images)
    candidates = _candidates(boxes, len(asked))
    names: dict[int, str] = {}
    for text, own in asked:
        processor.tokenize([text], processor.max_text[task])
        for scene in own:
            _check(scene, names.setdefault(id(scene), f"image {len(names)}"))
    together = [(text, own, chosen) for (text, own), chosen in zip(asked, candidates, strict=True)]
    return ModelInputs(collated(processor, task, kind, together))


def collated(
    processor: Describes, task: str, output: Output, asked: Sequence[tuple[str, Sequence[SceneLike], tuple[Box, ...]]]
) -> Batch:
    """The batch of texts, each with its scenes and its candidate boxes, if any."""
    names: dict[int, str] = {}
    detected: dict[str, Regions] = {}
    given: dict[str, Regions] = {}
    examples = []
    for number, (text, scenes, boxes) in enumerate(asked):
        ids = []
        for scene in scenes:
            image = names.setdefault(id(scene), f"image {len(names)}")
            if boxes:  # candidates are regions: the same image with others is another image to the model
                image = f"{image}, text {number}"
                if not isinstance(scene, Regions):
                    given[image] = scene.regions_of(boxes)
            detected[image] = _regions(scene)
            ids.append(image)
        examples.append(Example(str(number), text, tuple(ids), candidates=boxes))
    key, store = processor.task_outputs[task], MemoryStore(detected, given)
    return Collator(task, output, key, processor, store, given=bool(given))(examples)


def decoded(processor: Describes, outputs: Any, inputs: ModelInputs) -> list[Prediction]:
    """See :meth:`twelve.TwelveProcessor.decode`."""
    if not isinstance(inputs, ModelInputs):
        raise InputError(
            f"expected what processor(texts, scenes) returned, found {describe(inputs)}",
            remedy="pass the inputs of the model: processor.decode(model(**inputs), inputs)",
        )
    batch = inputs.batch
    logits = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", {}).get(batch.output)
    if logits is None:
        raise InputError(
            f"expected logits of {batch.output!r}, found none",
            remedy="pass the result of the model: processor.decode(model(**inputs), inputs)",
        )
    logits = logits.detach().float().cpu() / processor.temperatures.get(batch.task, 1.0)
    vocabulary = processor.vocabularies.get(batch.output, [])
    logits = among(logits, vocabulary, processor.own_answers.get(batch.task))
    return output_of(processor, batch.task).decode(logits, batch.examples, batch.regions, vocabulary)


def output_of(processor: Describes, task: str) -> Output:
    """The output of a task.

    Raises:
        ConfigError: its kind is not known: neither the processor's model nor a known task says it.
    """
    key = processor.task_outputs[task]
    known = all_tasks().get(task)
    kind = processor.kinds.get(key) or (known.kind if known is not None and known.output == key else None)
    if kind is None:
        raise ConfigError(
            f"the processor does not know the kind of output {key!r} of task {task!r}",
            remedy="load it from the model's folder: TwelveProcessor.from_pretrained(FOLDER)",
        )
    return get_output(kind)


def _task(processor: Describes, task: str | None, output: str | None) -> str:
    """The task that was named, or the first one of an output."""
    tasks = processor.task_outputs
    for key, value in (("task", task), ("output", output)):
        if value is not None and not isinstance(value, str):
            problem = f"expected the name of {'a task' if key == 'task' else 'an output'}, found {describe(value)}"
            known = dict.fromkeys(tasks if key == "task" else tasks.values())
            raise InputError(problem, remedy=f"pass {key}= a name, such as {next(iter(known), 'vqa')!r}")
    if task is None and output is not None:
        task = next((name for name, key in tasks.items() if key == output), None)
        if task is None:
            raise InputError(
                f"the processor has no output {output!r}{nearest(output, tasks.values())}",
                remedy=f"choose among {', '.join(dict.fromkeys(tasks.values())) or 'none'}",
            )
    if task is None and len(tasks) == 1:
        return next(iter(tasks))
    if task is None:
        raise InputError("expected a task or an output, found neither", remedy=f"pass task=, one of {', '.join(tasks)}")
    if task not in tasks:
        raise InputError(
            f"the processor has no task {task!r}{nearest(str(task), tasks)}",
            remedy=f"choose among {', '.join(tasks) or 'none'}",
        )
    if output is not None and tasks[task] != output:
        raise InputError(f"task {task!r} has output {tasks[task]!r}, found {output!r}", remedy="leave output out")
    return task


def _arranged(texts: Any, scenes: Any, images: int) -> list[tuple[str, tuple[SceneLike, ...]]]:
    """Every text with its scene or, for two images, its left and right one."""
    single, whole = isinstance(texts, str), _is_scene(scenes)
    if not whole and not isinstance(scenes, list | tuple):
        raise InputError(
            f"expected scenes or regions, found {describe(scenes)}", remedy="make them: model.scene(image)"
        )
    if not isinstance(texts, str | list | tuple | np.ndarray):
        raise InputError(f"expected a string or a list of strings, found {describe(texts)}", remedy=_NESTED)
    groups: list[Any]
    if images == 2:
        if not whole and len(scenes) == 2 and all(map(_is_scene, scenes)):
            scenes = [scenes] * (1 if single else len(texts))
        groups = [] if whole else list(scenes)
        if whole or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in groups):
            other = "a single one" if whole else "others"
            raise InputError(f"expected two scenes per text, found {other}", remedy="pass (left, right) for every text")
    elif whole:
        groups = [(scenes,)] if single else [(scenes,)] * len(texts)
    else:
        groups = [(scene,) for scene in scenes]
    several: list[Any] = [texts] * (len(groups) if images == 1 else 1) if single else list(texts)
    if len(several) != len(groups) or not several:
        raise InputError(f"expected as many texts as scenes, found {len(several)} and {len(groups)}", remedy=_NESTED)
    found: list[tuple[str, tuple[SceneLike, ...]]] = []
    for row, (own, group) in enumerate(zip(several, groups, strict=True)):
        for scene in group:
            if not _is_scene(scene):
                raise InputError(
                    f"scenes[{row}]: expected a scene or regions, found {describe(scene)}",
                    remedy="make it: model.scene(image), or twelve.Regions(...)",
                )
        if isinstance(own, list | tuple) and not own:
            raise InputError(f"texts[{row}]: expected at least one text, found none", remedy=_NESTED)
        for text in own if isinstance(own, list | tuple) else [own]:
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"texts[{row}]: expected a string, found {describe(text)}", remedy=_NESTED)
            found.append((text, tuple(group)))
    return found


def _is_scene(value: Any) -> bool:
    return isinstance(value, Regions) or isinstance(getattr(value, "regions", None), Regions)


def _regions(scene: SceneLike) -> Regions:
    return scene if isinstance(scene, Regions) else scene.regions


def _check(scene: SceneLike, name: str) -> None:
    """Raise RegionError if the regions of a scene have no features, or a wrong shape, or boxes that are not pixels of
    the image."""
    regions = _regions(scene)
    boxes, features = np.asarray(regions.boxes), regions.features
    where = regions.image_id or name
    if features is None:
        raise RegionError("expected features, found boxes alone", file=where, remedy="extract the image with a network")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RegionError(f"expected boxes of shape (R, 4), found {boxes.shape}", file=where, remedy=_PIXELS)
    if features.ndim != 2 or len(features) != len(boxes):
        problem = f"expected features of shape ({len(boxes)}, F), one row for each box, found {features.shape}"
        raise RegionError(problem, file=where, remedy="give each box its features; region 0 is added by the processor")
    if not len(boxes):
        return
    size = f"{regions.width} x {regions.height} pixels"
    if (
        not np.isfinite(boxes).all()
        or boxes.min() < -1
        or (boxes[:, 2:] > (regions.width + 1, regions.height + 1)).any()
    ):
        low, high = boxes.min(), boxes.max()
        raise RegionError(
            f"expected boxes inside the image of {size}, found numbers from {low:g} to {high:g}",
            file=where,
            remedy=_PIXELS,
        )
    if boxes.max() <= 1 < min(regions.width, regions.height):
        problem = f"expected boxes in pixels of the image ({size}), found shares of it (at most {boxes.max():g})"
        raise RegionError(problem, file=where, remedy=_PIXELS)
    if (boxes[:, 2:] < boxes[:, :2]).any():
        row = int((boxes[:, 2:] < boxes[:, :2]).any(1).argmax())
        found = ", ".join(f"{value:g}" for value in boxes[row])
        raise RegionError(f"expected x2 >= x1 and y2 >= y1, found box {row} ({found})", file=where, remedy=_PIXELS)


def _candidates(boxes: Any, count: int) -> Sequence[tuple[Box, ...]]:
    """The candidate boxes of each text."""
    if boxes is None:
        return [()] * count
    nested = isinstance(boxes, list | tuple) and len(boxes) > 0 and _depth(boxes[0]) == 2
    several = boxes if nested else [boxes] * count
    if len(several) != count:
        problem = f"expected boxes for each of {count} texts, found {len(several)}"
        raise InputError(problem, remedy="pass (C, 4) for all texts, or a list with one (C, 4) for each")
    found = []
    for number, own in enumerate(several):
        try:
            array = np.asarray(own.detach().cpu() if isinstance(own, Tensor) else own, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            problem = f"boxes[{number}]: expected numbers of shape (C, 4), found {describe(own)}"
            raise InputError(problem, remedy=_PIXELS) from None
        if array.ndim != 2 or array.shape[1] != 4 or not len(array):
            raise InputError(f"boxes[{number}]: expected shape (C, 4), found {array.shape}", remedy=_PIXELS)
        if not np.isfinite(array).all():
            row = int((~np.isfinite(array)).any(1).argmax())
            problem = f"boxes[{number}][{row}]: expected finite numbers, found {describe(array[row].tolist())}"
            raise InputError(problem, remedy=_PIXELS)
        found.append(tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in array))
    return found


def _depth(value: Any) -> int:
    """How many axes an array, or lists in lists, have; by the first of each."""
    if isinstance(value, list | tuple):
        return 1 + (_depth(value[0]) if value else 0)
    return int(getattr(value, "ndim", 0))
