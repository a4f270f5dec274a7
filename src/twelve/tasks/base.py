"""What a task is: a dataset, a protocol and the output it uses.

One file beside this one per dataset. Nothing else in the package names a dataset; the registry
below is how the trainer, the evaluator and the shell find them.
"""

from __future__ import annotations

import abc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twelve.errors import ConfigError, nearest
from twelve.types.examples import Box, Example
from twelve.types.measurement import Measurement, Protocol, Scored

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from twelve.formats.data_root import DataRoot


@dataclass(frozen=True, slots=True)
class Defaults:
    """Training settings of the original program's task table; a configuration may override each."""

    batch_size: int
    learning_rate: float
    max_text: int
    epochs: int = 20


class Task(abc.ABC):
    """A dataset in its official layout. Stateless: every method reads from the data root it is given."""

    name: ClassVar[str]
    """Identifier used in configurations, folders and the task-token map."""
    title: ClassVar[str]
    """The dataset's own name, for people."""
    output: ClassVar[str]
    """Key of the output this task uses; tasks with the same key share one head."""
    kind: ClassVar[str]
    """Kind of that output: a file of :mod:`twelve.outputs`."""
    method: ClassVar[str] = ""
    """The method of :class:`twelve.Predictor` that asks it, if it is not the first of its output's methods."""
    token: ClassVar[int]
    """Row of the task-token table in the released model."""
    source: ClassVar[str]
    """Default image source of its images (the data root may name another)."""
    extra: ClassVar[bool] = False
    """Beyond the twelve: a data root without its folder does not lack it."""
    partial: ClassVar[bool] = False
    """Its images cannot all be had: what has regions is used, and how much that is is said."""
    gives_boxes: ClassVar[bool] = False
    """Its examples come with candidates, whose regions are extracted beside the others: :meth:`given_boxes`."""
    page: ClassVar[str] = ""
    """Where its official files are published; errors about a missing file name it."""
    defaults: ClassVar[Defaults]
    train_split: ClassVar[str] = "train"
    splits: ClassVar[tuple[str, ...]] = ()
    """Official splits, where there are others than those that training and measuring read by default."""
    test_split: ClassVar[str]
    """Labelled split that is reported, once, at the end."""
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]]
    """{"test": (...), "val": (...)}: splits whose images must not be trained on, by role."""
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {}
    """Split -> (examples, images) of the complete official files; None where a published source does not say."""
    fact_types: ClassVar[tuple[type, ...]] = ()
    """Dataclasses among the facts of its examples, which a cache must be able to write."""
    scoring_protocols: ClassVar[Mapping[str, str]] = {"official": ""}
    """Ways to score a result file, name -> what it means; the first is the default. None: it cannot be scored."""

    @property
    def folder(self) -> str:
        """Its folder in the data root: named like it, unless several tasks read the same files."""
        return self.name

    @abc.abstractmethod
    def files(self, split: str) -> tuple[str, ...]:
        """Official file names that ``split`` is read from, relative to the task's folder in the data root."""

    @abc.abstractmethod
    def read(self, root: DataRoot, split: str) -> list[Example]:
        """Examples of an official split in file order.

        Raises:
            DataError: a file is missing or malformed; names file, record and remedy.
            ConfigError: the dataset has no such split.
        """

    @property
    def reader(self) -> Task:
        """The task whose examples these are: itself, unless they are lent."""
        return self

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        """What :meth:`read` returns, one after the other. Readers of large files say it without holding them all.

        Raises:
            DataError, ConfigError: as :meth:`read`.
        """
        return iter(self.read(root, split))

    def sources(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        """Every file that :meth:`read` opens for ``split``, there or not: a cache of it is stale when one changes."""
        return tuple(root.path / self.folder / name for name in self.files(split))

    def beside(self, root: DataRoot) -> Iterator[tuple[Path, Callable[[Path], object]]]:
        """Official files in the task's folder that no split is read from but :meth:`score` knows, each with its reader,
        which raises DataError when it is malformed."""
        return iter(())

    def given_boxes(self, root: DataRoot, split: str) -> Mapping[str, list[Box]]:
        """Image id -> distinct boxes that the dataset gives as candidates, which regions must be extracted for.

        Raises:
            DataError, ConfigError: as :meth:`read`.
        """
        found: dict[str, dict[Box, None]] = {}
        for example in self.read(root, split):
            if example.candidates:
                found.setdefault(example.images[0], {}).update(dict.fromkeys(example.candidates))
        return {image: list(boxes) for image, boxes in found.items()}

    def same_images(self, root: DataRoot) -> Mapping[str, str]:
        """Image id -> id of the same photograph in another source, where two datasets took the same photographs.

        Raises:
            MissingData: the file that says so is not there.
            DataError: it is malformed.
        """
        return {}

    @abc.abstractmethod
    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        """How ``split`` is measured; ``full`` asks for the complete gallery where a smaller one is the default."""

    @abc.abstractmethod
    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        """Official metric. ``predictions`` is what the task's output decodes: a list aligned with ``examples``, or,
        for alignment, a :class:`twelve.outputs.alignment.RetrievalScores`."""

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Official metric of a result file in the dataset's own format, whoever's predictions it holds.

        Args:
            truth: official files; they are recognised by their contents.
            predictions: the result file, first.
            protocol: one of :attr:`scoring_protocols`.

        Raises:
            DataError: a file is malformed, of something else, or leaves out what must be predicted.
            ConfigError: there is no such format for this dataset.
        """
        raise ConfigError(
            f"{self.title} has no result format that could be scored", remedy="measure a model with twelve evaluate"
        )

    def submission(self, examples: Sequence[Example], predictions: Sequence[Any]) -> str:
        """The dataset's official file of results: one prediction an example, in the examples' order.

        Raises:
            ConfigError: the dataset has none.
        """
        raise ConfigError(f"{self.title} has no official file of results", remedy="choose a task that has one")


_REGISTRY: dict[str, Task] = {}
_BROKEN: dict[str, str] = {}
"""Entry points of other packages that cannot be used -> why."""


def register(cls: type[Task]) -> type[Task]:
    """Class decorator: make a task known under its name, at its definition."""
    if cls.name in _REGISTRY and type(_REGISTRY[cls.name]) is not cls:
        raise ValueError(f"two tasks are called {cls.name!r}")
    _REGISTRY[cls.name] = cls()
    return cls


def get(name: str, own: Mapping[str, Task] | None = None) -> Task:
    """The task of this name; raises ConfigError that suggests the nearest known name.

    Args:
        own: a run's own tasks, which are known beside the registered ones.
    """
    known = all_tasks(own)
    if name not in known:
        raise ConfigError(
            f"unknown task {name!r}{nearest(name, known)}{broken(name)}",
            remedy=f"choose among {', '.join(sorted(known))}",
        )
    return known[name]


def broken(name: str) -> str:
    """``'; ...'``: why the entry point ``name`` of another package gives no task; nothing when there is none."""
    return f"; {_BROKEN[name]}" if name in _BROKEN else ""


def tasks_of(root: DataRoot) -> dict[str, Task]:
    """Every known task by name that ``root`` should have: of the extra ones, those that it has a folder for."""
    known = all_tasks(root.own_tasks)
    return {name: task for name, task in known.items() if not task.extra or (root.path / task.folder).is_dir()}


def all_tasks(own: Mapping[str, Task] | None = None) -> dict[str, Task]:
    """Every known task by name: those of this package, of the entry point ``twelve.tasks``, and a run's own.

    An entry point that cannot be used is passed over, with one warning on standard error.
    """
    import importlib
    import pkgutil
    from importlib.metadata import entry_points

    import twelve.tasks as package

    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for point in entry_points(group="twelve.tasks"):
        if point.name not in _BROKEN:
            _load(point)
    return {**_REGISTRY, **(own or {})}


def _load(point: EntryPoint) -> None:
    """Register the task of another package, or remember why there is none."""
    try:
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Task)):
            raise TypeError(f"{point.value} is no subclass of twelve.tasks.base.Task")
        register(loaded)
    except Exception as error:  # whatever another package's code raises
        package = f" of the package {point.dist.name}" if point.dist is not None else ""
        why = f"the entry point {point.name!r}{package} ({point.value}) cannot be used: {type(error).__name__}: {error}"
        _BROKEN[point.name] = why
        print(f"twelve: passed over: {why} -> mend or uninstall that package", file=sys.stderr)
