"""From a configuration to everything a run trains and looks on: read, clean, carve, count the answers.

What was taken out and carved depends on every task of the run. It is kept in the run's folder (:class:`Carved`), so
that measuring one task reads that task's files alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve import files
from twelve.config import RunConfig, TaskSettings
from twelve.data.clean import CleanReport, carve_tasks, clean_splits, held_out_images
from twelve.data.records import read_object
from twelve.data.root import DataRoot
from twelve.data.vocabulary import Coverage, build_vocabulary, coverage
from twelve.errors import DataError, RegionError
from twelve.model.processor import TwelveProcessor
from twelve.outputs import Output, get_output
from twelve.regions.store import GIVEN, RegionStore
from twelve.tasks.base import Example, Task, get


@dataclass(frozen=True, slots=True)
class TaskData:
    """One task of a run, with the run's settings for it."""

    task: Task
    output: Output
    settings: TaskSettings
    train: Sequence[Example]
    look: Sequence[Example]
    """Carved from train by picture: what stop-and-go and early stopping see."""

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
    def report_split(self) -> str:
        return self.settings.report or self.task.report_split


@dataclass(frozen=True, slots=True)
class Carved:
    """Which training pictures a run did not train on.

    Attributes:
        left_out: image ids, in training sets, of pictures that some task is measured on.
        look: image ids that training only looked at.
    """

    left_out: frozenset[str]
    look: frozenset[str]

    def write(self, path: Path) -> None:
        """Write JSON that :meth:`read` reads back."""
        tree = {"left_out": sorted(self.left_out), "look": sorted(self.look)}
        with files.replacing(path) as partial:
            partial.write_text(json.dumps(tree, indent=0), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Carved:
        """Raises DataError when the file is damaged."""
        try:
            record = read_object(path)
            return cls(frozenset(record.strings("left_out")), frozenset(record.strings("look")))
        except DataError as error:
            remedy = "delete it: what it says is then worked out from the files of all the run's tasks"
            raise DataError(error.problem, file=path, record=error.record, remedy=remedy) from None

    def parts(self, examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
        """One task's training examples as (train, look), divided as :func:`prepare` divided them."""
        kept = [example for example in examples if self.left_out.isdisjoint(example.images)]
        # The pictures of one example are always on one side.
        return (
            [example for example in kept if example.images[0] not in self.look],
            [example for example in kept if example.images[0] in self.look],
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run's data."""

    root: DataRoot
    store: RegionStore
    tasks: Mapping[str, TaskData]
    cleaned: CleanReport
    vocabularies: Mapping[str, Sequence[str]]
    carved: Carved
    coverage: Mapping[str, Coverage] = field(default_factory=dict)


def prepare(
    config: RunConfig, vocabularies: Mapping[str, Sequence[str]] | None = None, *, texts_only: bool = False
) -> Prepared:
    """Read every task's training split, take out held-out pictures, carve the look split, build vocabularies.

    Args:
        vocabularies: those of a checkpoint, which then stand as they are.
        texts_only: training pictures will not be looked at, so they need no regions.

    Raises:
        DataError: a file is missing or malformed.
        RegionError: a picture has no regions.
    """
    root, store = open_root(config)
    chosen = {name: get(name) for name in config.tasks}
    reports = {name: settings.report or chosen[name].report_split for name, settings in config.tasks.items()}
    everything = {name: task.read(root, task.train_split) for name, task in chosen.items()}
    held_out = held_out_images(root, mode=config.hold_out, required=reports)
    kept, cleaned = clean_splits(everything, held_out)
    parts = carve_tasks(kept, config.carve, config.seed, held_out.same)
    tasks = {}
    for name, task in chosen.items():
        settings = config.tasks[name]
        train, look = parts[name]
        if settings.max_train is not None:
            train = subset(train, settings.max_train, config.seed)
        if not texts_only:
            check_regions(store, [*train, *look], name)
        tasks[name] = TaskData(task, get_output(task.kind), settings, train, look)
    built = dict(vocabularies) if vocabularies is not None else _vocabularies(config, tasks)
    covered = {
        name: coverage(data.train, built[data.task.output])
        for name, data in tasks.items()
        if data.output.needs_vocabulary
    }
    same = held_out.same
    banned = {same.get(image, image) for image in held_out.images}
    left_out = frozenset(image for image in _images(everything.values()) if same.get(image, image) in banned)
    carved = Carved(left_out, frozenset(_images(look for _, look in parts.values())))
    return Prepared(root, store, tasks, cleaned, built, carved, covered)


def prepare_measuring(
    config: RunConfig,
    vocabularies: Mapping[str, Sequence[str]],
    names: Sequence[str],
    carved: Carved,
    *,
    floors: bool = True,
) -> Prepared:
    """What measuring some tasks of a trained run needs; no other task's files are read.

    Args:
        names: the tasks.
        floors: whether the floors are measured, which learn from training texts; without them none is read.

    Raises:
        DataError: a file of one of these tasks is missing or malformed.
        RegionError: there is no region store.
    """
    root, store = open_root(config)
    tasks = {}
    for name in names:
        task, settings = get(name), config.tasks[name]
        output = get_output(task.kind)
        learns = floors and not output.ranks_gallery
        train, look = carved.parts(task.read(root, task.train_split)) if learns else ([], [])
        if settings.max_train is not None:
            train = subset(train, settings.max_train, config.seed)
        tasks[name] = TaskData(task, output, settings, train, look)
    return Prepared(root, store, tasks, CleanReport(config.hold_out, {}, {}, {}), dict(vocabularies), carved)


def _images(parts: Iterable[Sequence[Example]]) -> set[str]:
    return {image for examples in parts for example in examples for image in example.images}


def open_root(config: RunConfig) -> tuple[DataRoot, RegionStore]:
    """The run's data root and region store.

    Raises:
        DataError: there is no data root.
        RegionError: there is no region store.
    """
    root, folder = DataRoot(config.data, config.sources), config.regions_folder
    if not folder.is_dir():
        raise RegionError(
            "no such region store" if not folder.exists() else "a region store is a folder, this is a file",
            file=folder,
            remedy=f"make it, once for every source of pictures: twelve regions extract --images "
            f"{Path(config.data) / 'images' / 'SOURCE'} --boxes grid --backbone NAME --out {folder}",
        )
    return root, RegionStore(folder)


def check_regions(store: RegionStore, examples: Sequence[Example], task: str) -> None:
    """Every picture of the examples has regions, and those with candidates the regions of these; better said before
    training than in its middle.

    Raises:
        RegionError: names the first picture that has none and how many there are.
    """
    images = dict.fromkeys(image for example in examples for image in example.images)
    missing = [image for image in images if image not in store]
    if missing:
        raise RegionError(
            f"{len(missing)} of {len(images)} pictures of {task} have no regions, the first is {missing[0]}",
            file=Path(store.root) / missing[0].split("/")[0],
            remedy="run twelve regions extract on their folder",
        )
    asked = dict.fromkeys(example.images[0] for example in examples if example.candidates)
    missing = [image for image in asked if not store.has_given(image)]
    if missing:
        source = missing[0].split("/")[0]
        raise RegionError(
            f"{len(missing)} of {len(asked)} pictures of {task} have no regions of the boxes that it gives, "
            f"the first is {missing[0]}",
            file=Path(store.root) / source / GIVEN,
            remedy=f"run twelve regions extract --images images/{source} --boxes given:{task} --data DATA, with the "
            f"--backbone of the detected regions, --out {store.root}",
        )


def subset(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """At most ``count`` examples, whole groups (pictures) in random order, in the file's order."""
    groups = sorted({example.group for example in examples})
    order = np.random.default_rng(seed).permutation(len(groups))
    rank = {groups[index]: position for position, index in enumerate(order)}
    chosen = sorted(range(len(examples)), key=lambda row: (rank[examples[row].group], row))[:count]
    return [examples[row] for row in sorted(chosen)]


def text_lengths(examples: Sequence[Example], processor: TwelveProcessor, task: str) -> NDArray[np.int64]:
    """(N,) word pieces of every example's text."""
    pieces = processor.tokenize([example.text for example in examples], processor.max_text[task])
    return np.array([len(ids) for ids in pieces], dtype=np.int64)


def _vocabularies(config: RunConfig, tasks: Mapping[str, TaskData]) -> dict[str, Sequence[str]]:
    """One answer list per output key, shared by all tasks that use the key."""
    built: dict[str, Sequence[str]] = {}
    for data in tasks.values():
        key = data.task.output
        if not data.output.needs_vocabulary or key in built:
            continue
        sharing = [other.train for other in tasks.values() if other.task.output == key]
        label_map = config.vocabulary.label_maps.get(key)
        built[key] = build_vocabulary(
            sharing, min_count=config.vocabulary.min_count, label_map=None if label_map is None else Path(label_map)
        )
    return built
