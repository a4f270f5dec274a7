"""Whether an exported graph computes what the model does, and what 8-bit weights gain and cost.

Axes: T texts, I images, P pairs, L text length, R regions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from twelve.data.batch import Collator
from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.data.opening import check_regions
from twelve.data.partial import having_regions
from twelve.data.prepare import TaskData, ValidationImages, prepare_measuring, subset
from twelve.errors import CheckpointError, TwelveError, located_problem
from twelve.evaluation.predict import predict, retrieve
from twelve.evaluation.submission import unlabelled
from twelve.export.exported import Exported
from twelve.model.config import TwelveConfig
from twelve.model.input_checks import WHOLE
from twelve.model.network import MASKED
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.progress import Track, counted
from twelve.settings import RunConfig
from twelve.types.batch import Batch
from twelve.types.examples import Example

TOLERANCE = 1e-4
"""Largest difference of a logit from torch's, as a share of the logit where that is above 1."""
EXAMPLES = 200
"""Of a task's reported split, on which a graph is compared."""
GALLERY = 20
"""Images that a text is ranked against, where an output ranks."""
ROWS = 16
"""Examples of a batch."""
BATCH = 128
"""Pairs, where a whole sample is predicted."""
ROUNDS = 5
SHAPES = ((1, 5, 1, 1, 2), (1, 3, 4, 6, 6), (5, 2, 2, 9, 10), (3, 7, 4, 5, 6), (4, 8, 4, 3, 4))
"""Texts, length, images, regions and pairs of random batches: one text, one image, one region among them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of a task's reported split."""

    task: TaskData
    collator: Collator
    examples: Sequence[Example]

    @property
    def name(self) -> str:
        return self.task.task.name

    def batches(self) -> list[Batch]:
        starts = range(0, len(self.examples), ROWS)
        return [self.collator(self.examples[start : start + ROWS]) for start in starts]


@dataclass(frozen=True, slots=True)
class Report:
    """What an export came to.

    Attributes:
        bytes: of the float32 graph with its weights.
        difference: largest difference of a logit from torch's (:data:`TOLERANCE`).
        examples: task -> examples that were compared; drawn batches are always.
        lacking: what data could not be compared, in words.
        small_bytes: of the 8-bit graph; None where it was not asked for, like all that follows.
        small_difference: its largest difference from torch.
        agreement: task -> share of examples at which the 8-bit graph chooses what torch does.
        scores: task -> official headline number on these examples of torch and of the 8-bit graph.
        seconds: of a batch, median: "torch", "float32", "int8", measured in turns.
    """

    output: str
    bytes: int
    difference: float
    examples: Mapping[str, int]
    lacking: str = ""
    small_bytes: int | None = None
    small_difference: float | None = None
    agreement: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        on = ", ".join(f"{counted(count, 'example')} of {task}" for task, count in self.examples.items())
        on = (on or "random batches only") + (f" ({self.lacking})" if self.lacking else "")
        said = [f"{self.output}: {self.bytes / 1e6:,.1f} MB; differs from torch by {self.difference:.1e} on {on}"]
        if self.small_bytes is not None:
            said.append(f"int8: {self.small_bytes / 1e6:,.1f} MB, {self.small_bytes / self.bytes:.0%} of float32")
            torch_, plain, small = (self.seconds[name] for name in ("torch", "float32", "int8"))
            said.append(f"  {plain / small:.2f} times as fast as float32, {torch_ / small:.2f} times as torch")
        for task, share in self.agreement.items():
            before, after = self.scores.get(task, (None, None))
            score = "" if before is None or after is None else f", official score {before:.1f} -> {after:.1f}"
            said.append(f"  {task}: chooses the same {share:.1%} of the time{score}")
        return said


def drawn_batch(
    config: TwelveConfig, *, texts: int, length: int, images: int, regions: int, pairs: int, seed: int = 0
) -> dict[str, Tensor]:
    """All inputs of a graph, random: padded texts and images, pairs in any order."""
    g = torch.Generator().manual_seed(seed)

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, shape, generator=g)

    length = min(length, config.max_position_embeddings)
    return {
        "input_ids": whole(config.vocab_size, texts, length),
        "text_mask": torch.arange(length)[None] <= whole(length, texts, 1),
        "task_rows": whole(config.num_task_tokens, texts),
        "features": torch.randn(images, regions, config.v_feature_size, generator=g),
        "boxes": torch.cat([torch.tensor([[WHOLE]] * images), torch.rand(images, regions - 1, 5, generator=g)], 1),
        "region_mask": torch.arange(regions)[None] <= whole(regions, images, 1),
        "pair_text": whole(texts, pairs),
        "pair_image": whole(images, pairs),
    }


def drawn_batches(config: TwelveConfig) -> list[dict[str, Tensor]]:
    """Batches of every of :data:`SHAPES`."""
    names = ("texts", "length", "images", "regions", "pairs")
    found = [drawn_batch(config, **dict(zip(names, shape, strict=True)), seed=n) for n, shape in enumerate(SHAPES)]
    if not config.task_specific_tokens:
        for batch in found:
            del batch["task_rows"]
    return found


def samples_of(
    config: RunConfig | None, processor: TwelveProcessor, output: str, most: int = EXAMPLES
) -> tuple[list[Sample], str]:
    """Up to ``most`` examples of the reported split of each of a run's tasks that use the output (all, where it ranks);
    and what could not be had, in words."""
    if config is None:
        return [], "no run, so no data"
    found, lacking = [], []
    for name in (task for task, key in processor.task_outputs.items() if key == output and task in config.tasks):
        try:
            found.append(_sample(config, processor, name, output, most))
        except TwelveError as error:
            lacking.append(f"{name}: {located_problem(str(error.file or ''), error.problem)}")
    return found, "; ".join(lacking)


def _sample(config: RunConfig, processor: TwelveProcessor, name: str, output: str, most: int) -> Sample:
    nothing = ValidationImages(frozenset(), frozenset())
    data = prepare_measuring(
        config, processor.vocabularies, [name], nothing, baselines=False, recipes=processor.region_recipes
    )
    task = data.tasks[name]
    examples = read_examples(task.task, data.root, task.test_split)
    examples = having_regions(data.store, task.task, examples) if task.task.partial else examples
    examples = examples if task.output.ranks_gallery else subset(examples, most, config.seed)
    check_regions(data.store, task.task, examples)
    processor.check_regions(data.store, sorted({image.split("/")[0] for image in distinct_images(examples)}))
    return Sample(task, Collator(name, task.output, output, processor, data.store), examples)


@torch.inference_mode()
def difference(model: Twelve, exported: Exported, inputs: Mapping[str, Tensor | None]) -> float:
    """Largest difference of a logit from the model's, infinite where either has none; regions that are not there do not
    count."""
    want = model(**inputs, outputs=(exported.output,)).logits[exported.output]
    found = exported(**inputs, outputs=(exported.output,)).logits[exported.output]  # type: ignore[arg-type]
    if found.shape != want.shape or not bool(torch.isfinite(want).all()):
        return float("inf")
    there = want > MASKED / 2
    far = ((found - want).abs() / want.abs().clamp(min=1))[there]
    far = torch.where(far.isnan(), torch.inf, far)
    return float(far.max()) if bool((there == (found > MASKED / 2)).all()) else float("inf")


def check(model: Twelve, exported: Exported, samples: Sequence[Sample], lacking: str, *, size: int) -> Report:
    """Compare a float32 graph with the model.

    Raises:
        CheckpointError: they differ.
    """
    batches: list[Mapping[str, Tensor | None]] = [*drawn_batches(model.config)]
    examples = {}
    for sample in samples:
        part = replace(sample, examples=sample.examples[:EXAMPLES])
        examples[sample.name] = len(part.examples)
        batches += [_features_as_fed(batch.inputs()) for batch in part.batches()]
    worst = 0.0
    with Track("comparing with torch", len(batches), "batches") as track:
        for inputs in batches:
            worst = max(worst, difference(model, exported, inputs))
            track.advance()
    if worst > TOLERANCE:
        raise CheckpointError(
            f"the graph of {exported.output!r} differs from the model by {worst:.1e}, more than {TOLERANCE:.0e}",
            remedy="try another version of torch; nothing was written",
        )
    return Report(exported.output, size, worst, examples, lacking)


def _features_as_fed(inputs: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    features = inputs["features"]
    assert features is not None
    return {**inputs, "features": features.float()}


def examine(
    report: Report, model: Twelve, plain: Exported, small: Exported, samples: Sequence[Sample], *, size: int
) -> Report:
    """What an 8-bit graph gains and costs, added to the float32 graph's report."""
    drawn = drawn_batches(model.config)
    agreement, scores = {}, {}
    for sample in samples:
        agreement[sample.name], both = compared(model, small, sample)
        if both is not None:
            scores[sample.name] = both
    inputs: Mapping[str, Tensor | None] = samples[0].batches()[0].inputs() if samples else drawn[-1]
    models: dict[str, Any] = {"torch": model, "float32": plain, "int8": small}
    return replace(
        report,
        small_bytes=size,
        small_difference=max(difference(model, small, batch) for batch in drawn),
        agreement=agreement,
        scores=scores,
        seconds=seconds_of(models, inputs, plain.output, ROUNDS),
    )


def compared(
    model: Any, other: Any, sample: Sample, gallery: int | None = GALLERY
) -> tuple[float, tuple[float, float] | None]:
    """Share of a sample's examples at which two models choose the same; their official numbers, if there are labels."""
    (ours, before), (theirs, after) = (chosen(each, sample, gallery) for each in (model, other))
    same = sum(a == b for a, b in zip(ours, theirs, strict=True)) / max(1, len(ours))
    return same, None if before is None or after is None else (before, after)


def chosen(model: Any, sample: Sample, gallery: int | None = GALLERY) -> tuple[list[Any], float | None]:
    """What a model chooses at every example (of the first ``gallery`` images, where an output ranks), and its
    official number, None without labels."""
    task, examples = sample.task.task, sample.examples
    options: dict[str, Any] = {"batch_size": BATCH, "label": task.title}
    if sample.task.output.ranks_gallery:
        captions, ranked = retrieve(model, sample.collator, examples, gallery=gallery, **options)
        return ranked.scores.argmax(1).tolist(), task.measure(captions, ranked).headline
    said = predict(model, sample.collator, examples, **options)
    score = None if unlabelled(examples) else task.measure(examples, said).headline
    return [one.value for one in said], score


@torch.inference_mode()
def seconds_of(
    models: Mapping[str, Any], inputs: Mapping[str, Tensor | None], output: str, rounds: int
) -> dict[str, float]:
    """Median time of a batch in each model; they take turns, so that what else the machine does falls on all."""
    runs = {name: partial(model, **inputs, outputs=(output,)) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}
