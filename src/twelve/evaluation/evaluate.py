"""Official numbers of a trained model, each with its protocol, its interval and its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.data.batch import Collator, SeenRegions
from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.data.opening import check_regions
from twelve.data.partial import having_regions
from twelve.data.prepare import Prepared, TaskData, prepare, subset
from twelve.data.text_lengths import cut_of, text_lengths
from twelve.errors import ConfigError, DataError
from twelve.evaluation import recorded
from twelve.evaluation.baselines import answers_of, bag_of_words, derangement, majority
from twelve.evaluation.box_prior import confident_and_large, trained_box_prior
from twelve.evaluation.calibration import expected_calibration_error, score_bins
from twelve.evaluation.confusions import confusions
from twelve.evaluation.galleries import rank, with_shortlist
from twelve.evaluation.option_baseline import bag_of_options
from twelve.evaluation.own_kinds import with_own_kinds
from twelve.evaluation.parts import scored_parts
from twelve.evaluation.predict import ShuffledStore, predict
from twelve.evaluation.remeasured import OURS, Remeasured, is_mean, unknown
from twelve.evaluation.results import CHANCE, Baseline, Confusion, ScoreBin, TaskResult
from twelve.evaluation.submission import check_labelled
from twelve.evaluation.upper_bound import points, upper_bound
from twelve.metrics.bootstrap import Interval, bounds_of_lead, interval
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.outputs.pretraining import Pretraining
from twelve.progress import tell
from twelve.regions.store.region_store import RegionStore
from twelve.settings import EvaluationSettings, RunConfig
from twelve.tasks.base import Task, file_of
from twelve.threads import Threads
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol
from twelve.types.predictions import Prediction, RecordedPrediction

VALIDATED = "training validated on this split"
ZERO_SHOT = "zero-shot: ranked by the heads of pretraining, which were not trained on this task"
SHUFFLED = "shuffled images"
"""The baseline that is the model itself, with every image replaced by another one."""
LEARNT = 100_000
"""Most training examples of the baselines, whose scores are all in memory."""


class Evaluator:
    """Measures a model on the test split of each task.

    Args:
        config: the run's configuration.
        baselines: measure baselines and the upper bound as well.
        image_free: all of them; False: only chance and the model itself with shuffled images.
        data: data of the run, or of the tasks to measure; None to read all tasks' files.
        check: is called with the region store and the image sources of every split before it is predicted.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Twelve,
        processor: TwelveProcessor,
        *,
        baselines: bool = True,
        image_free: bool = True,
        data: Prepared | None = None,
        check: Callable[[RegionStore, Sequence[str]], None] = lambda store, sources: None,
    ) -> None:
        self.check = check
        self.config, self.model, self.processor, self.baselines = config, model, processor, baselines
        self.image_free = image_free
        model.train(False)
        self.threads = Threads(config.training.threads, tell, auto=model.device.type == "cpu")
        self.prepare(data)
        self.settings: EvaluationSettings = config.evaluation
        self.recorded: list[RecordedPrediction] = []
        """Single predictions of every task measured so far, for the report."""
        self.measurements: dict[str, Measurement] = {}
        """Measurements of every task measured so far."""
        self.examples: dict[str, Sequence[Example]] = {}
        """The measured examples of every task, in the order of its measurement's ``per_example``."""
        self.predicted: tuple[Sequence[Example], Any] = ((), ())
        """All examples of the task measured last, labelled or not, and their predictions, as its ``measure`` takes
        them."""
        self.without_images: dict[str, dict[str, NDArray[np.float64]]] = {}
        """Task -> baseline -> (N,) contribution of each example."""
        self.shuffled: dict[str, NDArray[np.float64]] = {}
        """Task -> (N,) contribution of each example with shuffled images, where baselines are measured."""
        self.remeasured: Remeasured | None = None
        """The task measured last, if its metric is no mean over examples."""

    def prepare(self, data: Prepared | None) -> None:
        """Use these data from now on; None to read all tasks' files."""
        self.data: Prepared = data or prepare(
            self.config, self.processor.vocabularies, texts_only=True, recipes=self.processor.region_recipes
        )

    def predict(self, name: str, split: str | None = None) -> tuple[Sequence[Example], list[Prediction]]:
        """The examples of a split, with or without labels, and the model's predictions.

        Raises:
            ConfigError: the task ranks a gallery, which is measured as a whole.
            DataError, RegionError: as :meth:`measure`.
        """
        task = self.data.tasks[name]
        if task.output.ranks_gallery:
            raise ConfigError(f"{task.task.title} has no predictions of single examples", remedy="choose another task")
        examples = self._read(task, split or task.test_split)
        return examples, self._answers(self._collator(task), examples, task.task.title)

    def measure(
        self, name: str, split: str | None = None, predictions: Sequence[Prediction] | None = None
    ) -> TaskResult:
        """Measure one task.

        Args:
            predictions: those of :meth:`predict` for this split; None to make them here.

        Raises:
            DataError, RegionError: the split or its regions cannot be read.
            DataError: its answers are not public.
            RegionError: the regions were made by another extractor than the checkpoint's.
        """
        task = self.data.tasks[name]
        split = split or task.test_split
        examples = self._read(task, split)
        error, bins, confused = None, tuple[ScoreBin, ...](), tuple[Confusion, ...]()
        self.remeasured = None
        protocol = task.task.protocol_on(self.protocol(task, split), examples)
        lengths = text_lengths(examples, self.processor, name)
        cut = cut_of(examples, self.processor, lengths, self.processor.max_text[name])
        collator = self._collator(task)
        if task.output.ranks_gallery:
            examples, ours, baselines, most, protocol = self._ranked(task, collator, examples, protocol)
        else:
            check_labelled(examples, task.task, split, self.data.root.path)
            predictions = predictions or self._answers(collator, examples, task.task.title)
            self.predicted = examples, predictions
            ours, baselines, most = self._decoded(task, collator, examples, protocol, predictions)
            rows = range(len(examples)) if ours.rows is None else ours.rows
            counted = [predictions[row] for row in rows]
            sure = [prediction.confidence for prediction in counted]
            # Rounding may take a confidence to 1, and the error beyond 100%.
            error = min(100.0, 100 * expected_calibration_error(sure, ours.per_example))
            bins = score_bins(sure, ours.per_example)
            confused = confusions(task.output, [examples[row] for row in rows], counted, ours.per_example)
        self.measurements[name] = ours
        self.examples[name] = examples if ours.rows is None else [examples[row] for row in ours.rows]
        score, baselines, missing = self._with_intervals(ours, baselines)
        return TaskResult(
            task=name,
            title=task.task.title,
            protocol=protocol,
            examples=len(ours.per_example),
            groups=len(set(ours.groups)),
            metric=ours.primary,
            score=score,
            metrics=ours.metrics,
            baselines=baselines,
            upper_bound=most,
            calibration_error=error,
            parts=scored_parts(
                task.output,
                self.examples[name],
                ours.per_example,
                ours.groups,
                self.without_images.get(name, {}),
                resamples=self.settings.resamples,
            )
            if self.remeasured is None
            else self.remeasured.parts(task.output),
            calibration=bins,
            confusions=confused,
            no_interval=missing,
            cut=cut if cut.cut else None,
        )

    def _with_intervals(
        self, ours: Measurement, baselines: dict[str, Baseline]
    ) -> tuple[Interval, dict[str, Baseline], str]:
        """The score and the baselines with their intervals, and why there are none."""
        if self.remeasured is None:
            score = self._interval(ours.per_example, ours.groups)
            return replace(score, mean=ours.headline), baselines, ""
        found = self.remeasured.intervals()
        if isinstance(found, str):
            leads = {name: unknown(ours.headline - each.score, lead=True) for name, each in baselines.items()}
            score, missing = unknown(ours.headline, lead=False), found
        else:
            (score, leads), missing = found, ""
        return score, {name: replace(each, advantage=leads[name]) for name, each in baselines.items()}, missing

    def protocol(self, task: TaskData, split: str) -> Protocol:
        """How a split is measured: by the configured protocol, else on the configured gallery."""
        name = self.settings.protocols.get(task.task.name)
        gallery = self.settings.gallery if name is None and task.output.ranks_gallery else None
        found = task.task.protocol(split, name, gallery=gallery)
        notes = [found.note]
        notes += [ZERO_SHOT] if self._zero_shot(task) else []
        notes += [VALIDATED] if task.settings.val_split == split else []
        return replace(found, note="; ".join(filter(None, notes)))

    def _zero_shot(self, task: TaskData) -> bool:
        """Whether the heads of pretraining stand in for that of a task that the model was not trained on."""
        return self.processor.task_outputs.get(task.task.name, task.task.output) != task.task.output

    def _read(self, task: TaskData, split: str) -> Sequence[Example]:
        examples = with_own_kinds(task.task, self.data.root, split, read_examples(task.task, self.data.root, split))
        if task.task.partial:
            examples = having_regions(self.data.store, task.task, examples)
        check_regions(self.data.store, task.task, examples, root=self.data.root, split=split)
        sources = sorted({image.split("/")[0] for image in distinct_images(examples)})
        self.processor.check_regions(self.data.store, sources, insist="--allow-other-features")
        self.check(self.data.store, sources)
        return examples

    def _collator(self, task: TaskData) -> Collator:
        output, key = task.output, task.task.output
        if self._zero_shot(task):
            output, key = get_output(Pretraining.kind), Pretraining.kind
        return Collator(task.task.name, output, key, self.processor, self.data.store)

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
        """The measurement, the baselines and the upper bound of an output that decodes each example."""

        def measured(predictions: Sequence[Prediction], among: Sequence[Example] = examples) -> Measurement:
            return checked(task.task, task.task.measure_by(protocol, among, predictions), len(among))

        title = task.task.title
        ours = measured(answers)
        of = (task.task.name, task.task.kind, protocol.split)
        rows = range(len(examples)) if ours.rows is None else ours.rows
        counted = [examples[row] for row in rows]
        self.recorded += recorded.decoded(*of, counted, [answers[row] for row in rows], ours.per_example)
        said: dict[str, list[Sequence[Prediction]]] = {OURS: [[answers[row] for row in rows]]}
        if not is_mean(ours):
            self.remeasured = Remeasured(measured, counted, ours.groups, said, self.settings.resamples)
        if not self.baselines:
            return ours, {}, None
        vocabulary = self.processor.vocabularies.get(task.task.output, [])
        seen = SeenRegions(self.data.store, examples, self.processor.max_regions)
        regions = dict(zip((example.id for example in examples), seen, strict=True))
        views = [regions[example.id] for example in counted]
        chance: NDArray[np.float64] | None = None
        drawn_from: int | None = None
        if protocol.name == task.task.protocol_name() or not points(task.output, counted):
            among = self._drawn_from(task, vocabulary)
            chance = task.output.prospects(counted, views, among).chance
            drawn_from = len(among) if len(among) < len(vocabulary) else None
        if self.remeasured is not None:  # the expected share of correct examples is no value of this metric
            chance = drawn_from = None
        baselines: dict[str, list[Measurement]] = {}
        for name, predictions in self._image_free(task, examples).items():
            baselines[name], said[name] = [measured(predictions)], [[predictions[row] for row in rows]]
        for seed in range(self.settings.derangements):
            shuffled = replace_images(collator, examples, seed)
            label = f"{title}, images shuffled {seed + 1}/{self.settings.derangements}"
            predictions = self._answers(shuffled, examples, label)
            baselines.setdefault(SHUFFLED, []).append(measured(predictions))
            said.setdefault(SHUFFLED, []).append([predictions[row] for row in rows])
        most: float | None = None
        if self.image_free:
            most = upper_bound(
                task.task, task.output, self.data.root, protocol, examples, lambda e: regions[e.id], vocabulary
            )
        found = self._baselines(task, ours, chance, baselines)
        if drawn_from is not None:
            found[CHANCE] = replace(found[CHANCE], drawn_from=drawn_from)
        return ours, found, most

    def _drawn_from(self, task: TaskData, vocabulary: Sequence[str]) -> Sequence[str]:
        """The answers that chance draws from. The vocabulary of a dataset is that of its questions. A task of one's own
        has that of its base model, most of which no one would give."""
        own = task.settings.kind is not None and task.output.needs_vocabulary
        return (answers_of(chain(task.train, task.validation), vocabulary) if own else ()) or vocabulary

    def _ranked(
        self, task: TaskData, collator: Collator, examples: Sequence[Example], protocol: Protocol
    ) -> tuple[list[Example], Measurement, dict[str, Baseline], float | None, Protocol]:
        """The captions, the measurement, the baselines and the upper bound of an output that ranks galleries, and the
        protocol with the gallery that the split had."""
        ranked = rank(self.model, collator, task.task, examples, protocol, self.settings, self.threads)
        ours = ranked.measurement()
        if self.model.contrasts:
            ours = with_shortlist(ours, self.model, collator, ranked)
        captions, scores = ranked.captions[0], ranked.scores[0]
        self.predicted = ranked.examples, ranked.scores
        of = (task.task.name, task.task.kind, protocol.split)
        self.recorded += recorded.ranked(*of, captions, scores, ours.per_example[: len(captions)])
        if not self.baselines:
            return ranked.examples, ours, {}, None, ranked.protocol
        shuffled = [ranked.shuffled(seed) for seed in range(self.settings.derangements)]
        baselines = self._baselines(task, ours, ranked.chance(), {SHUFFLED: shuffled})
        most = ranked.upper_bound(self.data.root) if self.image_free else None
        return ranked.examples, ours, baselines, most, ranked.protocol

    def _image_free(self, task: TaskData, examples: Sequence[Example]) -> dict[str, list[Prediction]]:
        """Predictions of the image-free baselines."""
        output = task.output
        learnt = subset(task.train, LEARNT, self.config.seed)
        untaught = task.task.name in self.data.lacking
        if output.image_free == "none" or not self.image_free:
            return {}
        if output.image_free == "options":
            return {} if untaught else {"bag of words": bag_of_options(learnt, task.validation, examples)}
        if output.image_free == "boxes":
            lookup = self.data.store.get
            train = [example for example in learnt if example.images[0] in self.data.store]
            prior = {"box prior": confident_and_large(examples, lookup)}
            return prior if untaught else prior | {"trained box prior": trained_box_prior(train, examples, lookup)}
        most = Prediction(majority([output.label(example) for example in examples]), 1.0)
        found = {"majority": [most] * len(examples)}
        if not untaught:
            taught = [(example.text, output.label(example)) for example in learnt]
            held_back = [(example.text, output.label(example)) for example in task.validation]
            found["bag of words"] = bag_of_words(taught, held_back, [example.text for example in examples])
        return found

    def _baselines(
        self,
        task: TaskData,
        ours: Measurement,
        chance: NDArray[np.float64] | None,
        measured: Mapping[str, Sequence[Measurement]],
    ) -> dict[str, Baseline]:
        """Baselines by name: chance, (N,) each example's in 0..1 if known, and the mean of each measured one."""
        found = {} if chance is None else {CHANCE: (100 * float(chance.mean()), chance)}
        for name, each in measured.items():
            if each:
                headline = float(np.mean([measurement.headline for measurement in each]))
                found[name] = headline, np.mean([measurement.per_example for measurement in each], axis=0)
        self.without_images[task.task.name] = {name: per_example for name, (_, per_example) in found.items()}
        if SHUFFLED in found:
            self.shuffled[task.task.name] = found[SHUFFLED][1]
        return {
            name: Baseline(
                name,
                score,
                self._interval(
                    ours.per_example - per_example, ours.groups, bounds_of_lead(per_example, known=name == CHANCE)
                ),
            )
            for name, (score, per_example) in found.items()
        }

    def _interval(
        self, values: NDArray[np.float64], groups: Sequence[str], bounds: tuple[float, float] = (0.0, 1.0)
    ) -> Interval:
        """In per cent; ``bounds`` are those of possible values, in 0..1."""
        found = interval(values, groups, resamples=self.settings.resamples, bounds=bounds)
        return Interval(100 * found.mean, 100 * found.low, 100 * found.high)


def checked(task: Task, found: Measurement, examples: int) -> Measurement:
    """A measurement of this many examples, as a task returns it.

    Raises:
        DataError: it has another number of values or groups, or no value of its primary metric.
    """
    count = examples if found.rows is None else len(found.rows)
    values, groups = len(found.per_example), len(found.groups)
    problem = None
    if not values == groups == count:
        problem = f"expected {count:,} values and groups, one an example, found {values:,} values and {groups:,} groups"
    elif found.primary not in found.metrics:
        problem = f"expected its primary metric among {', '.join(found.metrics) or 'none'}, found {found.primary!r}"
    if problem:
        remedy = f"correct what {type(task).__name__}.measure() returns"
        raise DataError(problem, file=file_of(task), record=task.name, remedy=remedy)
    return replace(found, per_example=np.asarray(found.per_example, dtype=np.float64))


def replace_images(collator: Collator, examples: Sequence[Example], seed: int) -> Collator:
    """The same collator with the images of every example replaced by another example's, in a fixed derangement.

    For outputs that point at regions, each image keeps its boxes and gets another image's features.
    """
    units = [example.images for example in examples]
    swapped = derangement(units, seed)
    replacement: dict[str, str] = {}
    for unit, other in swapped.items():
        replacement |= dict(zip(unit, other, strict=True))  # type: ignore[call-overload]
    store = ShuffledStore(collator.store, replacement, keep_boxes=collator.output.reads == "regions")
    return replace(collator, store=store)
