"""Official numbers of a trained model, each with its protocol, its interval and the baselines it must beat."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twelve.data.batch import Collator, seen_regions
from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.data.partial import having_regions
from twelve.data.prepare import Prepared, TaskData, check_regions, prepare, subset
from twelve.errors import ConfigError
from twelve.evaluation import record
from twelve.evaluation.baselines import bag_of_words, derangement, majority
from twelve.evaluation.box_prior import confident_and_large, trained_box_prior
from twelve.evaluation.calibration import expected_calibration_error
from twelve.evaluation.option_baseline import bag_of_options
from twelve.evaluation.predict import ShuffledStore, predict, retrieve
from twelve.evaluation.results import Baseline, Result
from twelve.evaluation.submission import check_labelled
from twelve.evaluation.upper_bound import gallery_upper_bound, upper_bound
from twelve.metrics.bootstrap import Interval, interval
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs.alignment import RetrievalScores
from twelve.outputs.base import Prediction
from twelve.progress import tell
from twelve.settings import EvaluationSettings, RunConfig
from twelve.threads import Threads
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol

LEARNT = 100_000
"""Training examples that the baselines learn from at most: the scores of all of them stand in memory."""


class Evaluator:
    """Measures a model on the reported split of each task.

    Args:
        config: the run's configuration.
        full: measure with the complete protocol (retrieval: the whole gallery).
        data: the run's data, or that of the tasks that will be measured; read from all tasks' files when absent.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Twelve,
        processor: TwelveProcessor,
        *,
        full: bool = False,
        baselines: bool = True,
        data: Prepared | None = None,
    ) -> None:
        self.config, self.model, self.processor, self.full, self.baselines = config, model, processor, full, baselines
        model.train(False)
        self.threads = Threads(config.training.threads, tell, auto=model.device.type == "cpu")
        self.prepare(data)
        self.settings: EvaluationSettings = config.evaluation
        self.recorded: list[record.Recorded] = []
        """Single predictions of every task measured so far, for the report."""
        self.measurements: dict[str, Measurement] = {}
        """What every example of the tasks measured so far contributed."""

    def prepare(self, data: Prepared | None) -> None:
        """Measure with these data from now on; read all tasks' files when there are none."""
        self.data: Prepared = data or prepare(
            self.config, self.processor.vocabularies, texts_only=True, recipes=self.processor.region_recipes
        )

    def predict(self, name: str, split: str | None = None) -> tuple[Sequence[Example], list[Prediction]]:
        """The examples of a split, which need no labels, and the model's predictions.

        Raises:
            ConfigError: the task ranks a gallery, which is measured as a whole.
            DataError, RegionError: as :meth:`measure`.
        """
        task = self.data.tasks[name]
        if task.output.ranks_gallery:
            raise ConfigError(f"{task.task.title} has no predictions of single examples", remedy="choose another task")
        examples = self._read(task, split or task.test_split)
        return examples, self._predicted(task, self._collator(task), examples)

    def measure(self, name: str, split: str | None = None, predictions: Sequence[Prediction] | None = None) -> Result:
        """Measure one task.

        Args:
            predictions: what :meth:`predict` found for this split; predicted here when absent.

        Raises:
            DataError, RegionError: the split or its regions cannot be read.
            DataError: its answers are not public.
            RegionError: the regions were made by another extractor than the checkpoint's.
        """
        task = self.data.tasks[name]
        split = split or task.test_split
        examples = self._read(task, split)
        error: float | None = None
        protocol = task.task.protocol(split, full=self.full)
        collator = self._collator(task)
        if task.output.ranks_gallery:
            examples, ours, baselines, most = self._ranked(task, collator, examples, protocol)
        else:
            check_labelled(examples, task.task, split, self.data.root.path)
            predictions = predictions or self._predicted(task, collator, examples)
            ours, baselines, most = self._decoded(task, collator, examples, protocol, predictions)
            rows = range(len(examples)) if ours.rows is None else ours.rows
            error = 100 * expected_calibration_error([predictions[row].score for row in rows], ours.per_example)
        self.measurements[name] = ours
        score = self._interval(ours.per_example, ours.groups)
        return Result(
            task=name,
            title=task.task.title,
            protocol=protocol,
            examples=len(ours.per_example),
            groups=len(set(ours.groups)),
            metric=ours.primary,
            score=replace(score, mean=ours.headline),
            metrics=ours.metrics,
            baselines=baselines,
            upper_bound=most,
            calibration_error=error,
        )

    def _read(self, task: TaskData, split: str) -> Sequence[Example]:
        examples = read_examples(task.task, self.data.root, split)
        if task.task.partial:
            examples = having_regions(self.data.store, task.task, examples)
        check_regions(self.data.store, task.task, examples)
        sources = sorted({image.split("/")[0] for image in distinct_images(examples)})
        self.processor.check_regions(self.data.store, sources, insist="--allow-other-features")
        return examples

    def _collator(self, task: TaskData) -> Collator:
        return Collator(task.task.name, task.output, task.task.output, self.processor, self.data.store)

    def _predicted(self, task: TaskData, collator: Collator, examples: Sequence[Example]) -> list[Prediction]:
        return self._answers(collator, examples, task.task.title)

    def _answers(self, collator: Collator, examples: Sequence[Example], label: str) -> list[Prediction]:
        size = self.settings.batch_size
        return predict(self.model, collator, examples, batch_size=size, label=label, threads=self.threads)

    def _decoded(
        self,
        task: TaskData,
        collator: Collator,
        examples: Sequence[Example],
        protocol: Protocol,
        answers: Sequence[Prediction],
    ) -> tuple[Measurement, dict[str, Baseline], float | None]:
        """Outputs that answer example by example."""

        def measured(predictions: Sequence[Prediction]) -> Measurement:
            return task.task.measure(examples, predictions)

        title = task.task.title
        ours = measured(answers)
        of = (task.task.name, task.task.kind, protocol.split)
        rows = range(len(examples)) if ours.rows is None else ours.rows
        counted = [examples[row] for row in rows]
        self.recorded += record.decoded(*of, counted, [answers[row] for row in rows], ours.per_example)
        if not self.baselines:
            return ours, {}, None
        vocabulary = self.processor.vocabularies.get(task.task.output, [])
        seen = seen_regions(self.data.store, examples, self.processor.max_regions)
        regions = dict(zip((example.id for example in examples), seen, strict=True))
        views = [regions[example.id] for example in counted]
        chance = task.output.prospects(counted, views, vocabulary).chance
        baselines: dict[str, list[Measurement]] = {
            name: [measured(predictions)] for name, predictions in self._image_free(task, examples).items()
        }
        for seed in range(self.settings.derangements):
            shuffled = replace_images(collator, examples, seed)
            label = f"{title}, images shuffled {seed + 1}/{self.settings.derangements}"
            predictions = self._answers(shuffled, examples, label)
            baselines.setdefault("shuffled images", []).append(measured(predictions))
        most = upper_bound(
            task.task, task.output, self.data.root, protocol.split, examples, lambda e: regions[e.id], vocabulary
        )
        return ours, {"chance": self._chance(ours, chance)} | self._baselines(ours, baselines), most

    def _ranked(
        self, task: TaskData, collator: Collator, examples: Sequence[Example], protocol: Protocol
    ) -> tuple[list[Example], Measurement, dict[str, Baseline], float | None]:
        """Outputs that rank a gallery of images for every text."""
        captions, scores = retrieve(
            self.model,
            collator,
            examples,
            gallery=protocol.gallery,
            batch_size=self.settings.batch_size,
            label=task.task.title,
            threads=self.threads,
        )
        ours = task.task.measure(captions, scores)
        of = (task.task.name, task.task.kind, protocol.split)
        self.recorded += record.ranked(*of, captions, scores, ours.per_example)
        if not self.baselines:
            return captions, ours, {}, None
        shuffled = [
            task.task.measure(captions, shuffle_gallery(scores, seed)) for seed in range(self.settings.derangements)
        ]
        chance = np.full(len(captions), 1 / len(scores.image_ids))
        baselines = {"chance": self._chance(ours, chance)} | self._baselines(ours, {"shuffled images": shuffled})
        return captions, ours, baselines, gallery_upper_bound(task.task, self.data.root, protocol.split, scores)

    def _image_free(self, task: TaskData, examples: Sequence[Example]) -> dict[str, list[Prediction]]:
        """Predictions of the baselines that never see an image."""
        output = task.output
        learnt = subset(task.train, LEARNT, self.config.seed)
        untaught = task.task.name in self.data.lacking
        if any(example.options for example in examples):
            return {} if untaught else {"bag of words": bag_of_options(learnt, task.validation, examples)}
        if any(output.label(example) is None for example in (examples if untaught else learnt)):
            lookup = self.data.store.get
            train = [example for example in learnt if example.images[0] in self.data.store]
            prior = {"box prior": confident_and_large(examples, lookup)}
            return prior if untaught else prior | {"trained box prior": trained_box_prior(train, examples, lookup)}
        known: Callable[[Sequence[Example]], list[tuple[str, Hashable]]] = lambda split: [  # noqa: E731
            (example.text, output.label(example)) for example in split
        ]
        most = Prediction(majority([output.label(example) for example in examples]), 1.0)
        constant = {"majority": [most] * len(examples)}
        if untaught:
            return constant
        return constant | {
            "bag of words": bag_of_words(known(learnt), known(task.validation), [example.text for example in examples])
        }

    def _chance(self, ours: Measurement, chance: NDArray[np.float64]) -> Baseline:
        """``chance`` (N,) is each example's, 0..1."""
        return Baseline("chance", 100 * float(chance.mean()), self._interval(ours.per_example - chance, ours.groups))

    def _baselines(self, ours: Measurement, baselines: Mapping[str, Sequence[Measurement]]) -> dict[str, Baseline]:
        return {name: self._baseline(name, ours, found) for name, found in baselines.items() if found}

    def _baseline(self, name: str, ours: Measurement, found: Sequence[Measurement]) -> Baseline:
        per_example = np.mean([measurement.per_example for measurement in found], axis=0)
        return Baseline(
            name=name,
            score=float(np.mean([measurement.headline for measurement in found])),
            advantage=self._interval(ours.per_example - per_example, ours.groups),
        )

    def _interval(self, values: NDArray[np.float64], groups: Sequence[str]) -> Interval:
        found = interval(values, groups, resamples=self.settings.resamples)
        return Interval(100 * found.mean, 100 * found.low, 100 * found.high)


def replace_images(collator: Collator, examples: Sequence[Example], seed: int) -> Collator:
    """The same collator with every example's images replaced by another example's, one fixed derangement.

    Outputs that point at regions keep each image's boxes, and only the features are another image's.
    """
    units = [example.images for example in examples]
    swapped = derangement(units, seed)
    replacement: dict[str, str] = {}
    for unit, other in swapped.items():
        replacement |= dict(zip(unit, other, strict=True))  # type: ignore[call-overload]
    store = ShuffledStore(collator.store, replacement, keep_boxes=collator.output.reads == "regions")
    return replace(collator, store=store)  # type: ignore[arg-type]


def shuffle_gallery(scores: RetrievalScores, seed: int) -> RetrievalScores:
    """What the scores would be if every image showed another one: the same matrix with its columns deranged."""
    columns = {image: column for column, image in enumerate(scores.image_ids)}
    swapped = derangement(scores.image_ids, seed)
    order = [columns[str(swapped[image])] for image in scores.image_ids]
    return replace(scores, scores=np.ascontiguousarray(scores.scores[:, order]))
