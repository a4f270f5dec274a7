"""From a configuration to the data of a run: read, clean, split, and build vocabularies.

Which images are held out and held back depends on all tasks of the run. It is written to the run's folder
(:class:`ValidationImages`), so that evaluating one task reads the files of that task alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from twelve.data.clean import CleanReport, HeldOutImages, clean_splits, held_out_images, split_validation
from twelve.data.examples.columns import distinct_images, groups_of, images_of, take
from twelve.data.examples.reading import read_examples
from twelve.data.files_there import check_annotations
from twelve.data.opening import check_regions, open_root
from twelve.data.own_files import none_left
from twelve.data.partial import with_regions
from twelve.data.vocabulary import (
    Coverage,
    coverage,
    frequent_labels,
    labels_of,
    read_label_map,
    vocabulary_of,
)
from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.io import files
from twelve.outputs import Output, get_output
from twelve.regions.store.region_store import RegionStore
from twelve.settings import RunConfig, TaskSettings
from twelve.tasks.base import Task, called, get
from twelve.tasks.custom import FileTask, own_tasks
from twelve.types.examples import Example


@dataclass(frozen=True, slots=True)
class TaskData:
    """One task of a run, with the run's settings for it."""

    task: Task
    output: Output
    settings: TaskSettings
    train: Sequence[Example]
    validation: Sequence[Example]
    """What stop-and-go and early stopping validate on: images held back from training, or the split in the settings."""

    @property
    def batch_size(self) -> int:
        return self.settings.batch_size or self.task.defaults.batch_size

    @property
    def learning_rate(self) -> float:
        return self.settings.learning_rate or self.task.defaults.learning_rate

    @property
    def max_text(self) -> int:
        return self.settings.max_text or self.task.defaults.max_text

    @property
    def test_split(self) -> str:
        return self.settings.test_split or self.task.test_split


@dataclass(frozen=True, slots=True)
class ValidationImages:
    """Images of the training sets that a run does not train on.

    Attributes:
        left_out: ids of images that some task is evaluated on.
        validation: ids of images that training validates on.
    """

    left_out: frozenset[str]
    validation: frozenset[str]

    def write(self, path: Path) -> None:
        """Write JSON that :meth:`read` reads back."""
        tree = {"left_out": sorted(self.left_out), "validation": sorted(self.validation)}
        with files.replacing(path) as partial:
            partial.write_text(json.dumps(tree, indent=0), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> ValidationImages:
        """Raises DataError when the file is damaged."""
        try:
            record = read_object(path)
            return cls(frozenset(record.strings("left_out")), frozenset(record.strings("validation")))
        except DataError as error:
            remedy = "delete it: its content is then computed from the files of all tasks of the run"
            raise DataError(error.problem, file=path, record=error.record, remedy=remedy) from None

    def parts(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """One task's training examples as (train, validation), split as :func:`prepare` split them."""
        column = images_of(examples)
        kept = column.where(self.left_out.isdisjoint(images) for images in column.values)
        # The images of one example are always on one side.
        validation = column.where(images[0] in self.validation for images in column.values)
        return take(examples, kept & ~validation), take(examples, kept & validation)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data of a run.

    Attributes:
        root, store: where the data and the regions are read from.
        tasks: by name.
        cleaned: what each task lost to clean splits.
        vocabularies: output key -> labels.
        validation_images: the images that are held back.
        coverage: of tasks whose images are only partly here.
        found: task of which only a part is here -> how much of it.
        held_out: the images of all held-out splits; none where only an evaluation is prepared.
        lacking: task without training files, so that no baseline can be fitted -> a line that says so.
    """

    root: DataRoot
    store: RegionStore
    tasks: Mapping[str, TaskData]
    cleaned: CleanReport
    vocabularies: Mapping[str, Sequence[str]]
    validation_images: ValidationImages
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    held_out: HeldOutImages = field(default_factory=lambda: HeldOutImages("none", ()))


def prepare(
    config: RunConfig,
    vocabularies: Mapping[str, Sequence[str]] | None = None,
    *,
    adding: Collection[str] = (),
    texts_only: bool = False,
    recipes: Mapping[str, str] | None = None,
) -> Prepared:
    """Read the training split of every task, remove held-out images, hold back validation sets, build vocabularies.

    Args:
        vocabularies: those of a checkpoint, whose answers keep their rows.
        adding: tasks that the checkpoint does not know, whose answers get further rows.
        texts_only: the images are not needed, and need no regions.
        recipes: image source -> how the checkpoint's regions were made, for errors about regions.

    Raises:
        DataError: a file is missing or malformed.
        RegionError: an image has no regions.
    """
    check_annotations(config)  # before regions are asked for: hours of extraction are no use without them
    root, store = open_root(config, config.tasks, recipes)
    chosen = {name: get(name, root.own_tasks) for name in config.tasks}
    apart = config.validation_images == "apart"
    tested = {name: settings.test_split or chosen[name].test_split for name, settings in config.tasks.items()}
    everything = {name: _trained_on(task, root, config.tasks[name]) for name, task in chosen.items()}
    held_out = held_out_images(root, mode=config.hold_out, required=tested if apart else None)
    kept, cleaned = clean_splits(everything, held_out)
    kept, found = ({**kept}, {}) if texts_only else with_regions(kept, chosen, store)
    given: Mapping[str, Sequence[Example]] = {
        name: read_examples(chosen[name], root, settings.val_split)
        for name, settings in config.tasks.items()
        if settings.val_split
    }
    given = _unmeasured(given, held_out) if apart else given
    if not texts_only:  # missing regions are a better error than too few images to split
        for name in (name for name, settings in config.tasks.items() if settings.max_train is None):
            check_regions(store, chosen[name], kept[name], given.get(name, ()), root=root)
    for name, task in chosen.items():
        if isinstance(task, FileTask):
            _check_left(task, root, cleaned, least_images(config)(name))
    parts, validated = _divide(kept, given, config, held_out.same)
    tasks = {}
    for name, task in chosen.items():
        settings = config.tasks[name]
        train, validation = parts[name]
        if settings.max_train is not None:
            train = subset(train, settings.max_train, config.seed)
            if not texts_only:
                check_regions(store, task, train, validation, root=root)
        tasks[name] = TaskData(called(task, settings.title), get_output(task.kind), settings, train, validation)
    built = (
        _vocabularies(config, tasks, root)
        if vocabularies is None
        else _joined(config, vocabularies, tasks, adding, root)
    )
    covered = {
        name: coverage(data.train, built[data.task.output])
        for name, data in tasks.items()
        if data.output.needs_vocabulary
    }
    held_back = _held_back(distinct_images(*everything.values()), validated, held_out)
    return Prepared(root, store, tasks, cleaned, built, held_back, covered, found, held_out=held_out)


def least_images(config: RunConfig) -> Callable[[str], int]:
    """How many training images of a task of one's own must be left without those of splits for evaluation: two, so that
    one can be held back, or one if the task has a validation split; 0 if no image is removed."""
    removed = config.hold_out != "none" or config.validation_images == "apart"
    return lambda task: 0 if not removed else 1 if task in config.tasks and config.tasks[task].val_split else 2


def _check_left(task: FileTask, root: DataRoot, cleaned: CleanReport, least: int) -> None:
    """Raise DataError if fewer than ``least`` images of a task of one's own are left because splits for evaluation have
    the others."""
    sizes, left_out = cleaned.removed[task.name], [name for name, count in cleaned.overlap[task.name].items() if count]
    if not left_out or sizes.images_after >= least:
        return
    before, after = sizes.images_before, sizes.images_after
    if task.images_each > 1:
        before, after = sizes.examples_before, sizes.examples_after
    owners = [name.split(" ", 1) for name in left_out]
    splits = [split if owner == task.name else f"{split} of {owner}" for owner, split in owners]
    raise none_left(task, root, splits, before - after, before)


def _held_back(known: Sequence[str], validated: Sequence[str], held_out: HeldOutImages) -> ValidationImages:
    """Of the ``known`` images of the training sets, those that are held out, and those that are ``validated``; either
    includes the same photographs in other sources."""
    identity = {image: held_out.same.get(image, image) for image in (*known, *validated, *held_out.images)}
    banned = {identity[image] for image in held_out.images}
    left_out = frozenset(image for image in known if identity[image] in banned)
    seen = {identity[image] for image in validated}
    return ValidationImages(
        left_out,
        frozenset(validated).union(image for image in known if image not in left_out and identity[image] in seen),
    )


def prepare_measuring(
    config: RunConfig,
    vocabularies: Mapping[str, Sequence[str]],
    names: Sequence[str],
    held_back: ValidationImages,
    *,
    baselines: bool = True,
    recipes: Mapping[str, str] | None = None,
) -> Prepared:
    """The data to evaluate some tasks of a trained run; reads the files of these tasks alone.

    Args:
        names: the tasks.
        baselines: also read the training sets, which baselines are fitted to.
        recipes: image source -> how the run's regions were made, for errors about regions.

    Raises:
        DataError: a file of one of these tasks is malformed.
        RegionError: there is no region store.
    """
    root, store = open_root(config, names, recipes)
    tasks, lacking = {}, {}
    for name in names:
        task, settings = get(name, root.own_tasks), config.tasks[name]
        output = get_output(task.kind)
        train: Sequence[Example] = []
        validation: Sequence[Example] = []
        if baselines and not output.ranks_gallery:
            try:
                train, validation = held_back.parts(_trained_on(task, root, settings))
                if settings.val_split:
                    validation = read_examples(task, root, settings.val_split)
                    if config.validation_images == "apart":
                        validation = held_back.parts(validation)[1]
            except MissingData as error:
                train, validation = [], []
                lacking[name] = f"{task.title}: baselines that learn from its training texts are not measured: {error}"
        if settings.max_train is not None:
            train = subset(train, settings.max_train, config.seed)
        tasks[name] = TaskData(called(task, settings.title), output, settings, train, validation)
    return Prepared(
        root, store, tasks, CleanReport(config.hold_out, {}, {}, {}), dict(vocabularies), held_back, lacking=lacking
    )


def _trained_on(task: Task, root: DataRoot, settings: TaskSettings) -> Sequence[Example]:
    return read_examples(task, root, settings.train or task.train_split)


def _unmeasured(validations: Mapping[str, Sequence[Example]], held_out: HeldOutImages) -> dict[str, Sequence[Example]]:
    """Validation splits without the images that some task is tested on or reports.

    Raises:
        DataError: nothing is left of a split.
    """
    tested = tuple(split for split in held_out.splits if split.role != "val")
    left, _ = clean_splits(validations, replace(held_out, splits=tested))
    for name, examples in left.items():
        if not examples:
            raise DataError(
                "every image of the validation split is one that some task is measured on",
                record=f"tasks.{name}.val_split",
                remedy="validate on another split, or leave val_split out",
            )
    return left


def _divide(
    kept: Mapping[str, Sequence[Example]],
    given: Mapping[str, Sequence[Example]],
    config: RunConfig,
    same: Mapping[str, str],
) -> tuple[dict[str, tuple[Sequence[Example], Sequence[Example]]], Sequence[str]]:
    """task -> (train, validation), and the images that no task trains on because some task validates on them.

    Args:
        given: task -> validation split, for tasks that have one; for the others, images are held back.
    """
    divided = {name: kept[name] for name in kept if name not in given}
    counted = [name for name in own_tasks(config.tasks) if name in divided]
    held_back = split_validation(divided, config.val_fraction, config.seed, same, counted)
    kept_apart = given.values() if config.validation_images == "apart" else ()
    validated = distinct_images(*kept_apart, *(validation for _, validation in held_back.values()))
    seen = {same.get(image, image) for image in validated}
    parts = {}
    for name, examples in kept.items():
        train, validation = held_back.get(name, (examples, given.get(name, ())))
        column = images_of(train)
        unseen = (seen.isdisjoint(same.get(image, image) for image in images) for images in column.values)
        train = take(train, column.where(unseen))
        if not train:
            remedy = f"name another split: --set tasks.{name}.val_split=SPLIT"
            raise DataError(f"{name} has no training image that no task validates on", remedy=remedy)
        parts[name] = (train, validation)
    return parts, validated


def sources_of(data: Prepared) -> list[str]:
    """Sources of the training and validation images."""
    parts = (part for task in data.tasks.values() for part in (task.train, task.validation))
    return sorted({image.split("/")[0] for image in distinct_images(*parts)})


def subset(examples: Sequence[Example], count: int, seed: int) -> Sequence[Example]:
    """At most ``count`` examples, of whole groups (images) that are chosen at random, in file order."""
    column = groups_of(examples)
    order = np.random.default_rng(seed).permutation(len(column.values))
    rank = np.empty(len(order), np.int64)
    rank[np.argsort(column.values)[order]] = np.arange(len(order))
    chosen = np.argsort(rank[column.codes], kind="stable")[:count]
    return take(examples, np.sort(chosen))


def _vocabularies(config: RunConfig, tasks: Mapping[str, TaskData], root: DataRoot) -> dict[str, Sequence[str]]:
    """Output key -> answers, for all tasks that share the key."""
    built: dict[str, Sequence[str]] = {}
    for data in tasks.values():
        key = data.task.output
        if not data.output.needs_vocabulary or key in built:
            continue
        label_map = config.vocabulary.label_maps.get(key)
        built[key] = (
            vocabulary_of(_counts(config, key, tasks, root), config.vocabulary.min_count)
            if label_map is None
            else read_label_map(Path(label_map))
        )
    return built


def _counts(config: RunConfig, key: str, tasks: Mapping[str, TaskData], root: DataRoot) -> list[Counter[str]]:
    """For each task the number of its questions with an answer: of those that train with an output, or of the splits
    that the configuration names."""
    if key not in config.vocabulary.counted:
        return [labels_of(data.train) for data in tasks.values() if data.task.output == key]
    named = config.vocabulary.counted[key].items()
    return [
        sum((labels_of(read_examples(get(name, root.own_tasks), root, split)) for split in splits), Counter())
        for name, splits in named
    ]


def _joined(
    config: RunConfig,
    known: Mapping[str, Sequence[str]],
    tasks: Mapping[str, TaskData],
    adding: Collection[str],
    root: DataRoot,
) -> dict[str, Sequence[str]]:
    """A checkpoint's answers in their rows, followed by the answers of new tasks, most frequent first.

    Raises:
        DataError: a head has no answer at all.
    """
    new = {name: data for name, data in tasks.items() if name in adding}
    joined = dict(known)
    for key in dict.fromkeys(data.task.output for data in new.values() if data.output.needs_vocabulary):
        sharing = {name: data for name, data in new.items() if data.task.output == key}
        if key not in known:
            joined |= _vocabularies(config, sharing, root)
            continue
        label_map = config.vocabulary.label_maps.get(key)
        found = (
            frequent_labels(_counts(config, key, sharing, root), config.vocabulary.min_count)
            if label_map is None
            else read_label_map(Path(label_map))
        )
        joined[key] = list(dict.fromkeys([*known[key], *found]))
    return joined
