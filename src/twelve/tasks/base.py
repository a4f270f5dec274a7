"""The base class of tasks: a dataset, its protocol and the output it uses.

Each dataset has one file beside this one. All other code finds tasks in the registry below and names no dataset.
"""

from __future__ import annotations

import abc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twelve.errors import ConfigError, DataError, nearest, one_line, places
from twelve.tasks.formats.shared import unknown_split
from twelve.types.examples import Box, Example
from twelve.types.logged import HarnessLog, Logged
from twelve.types.measurement import OFFICIAL, Measurement, Protocol, Scored

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from twelve.formats.data_root import DataRoot


@dataclass(frozen=True, slots=True)
class Defaults:
    """Training settings from the original program's task table; a configuration can override them."""

    batch_size: int
    learning_rate: float
    max_text: int
    epochs: int = 20


class Task(abc.ABC):
    """A dataset in its official layout. Tasks are stateless: every method reads from the data root passed to it.

    A subclass implements :meth:`read` or, for large files, :meth:`iterate`.
    """

    name: ClassVar[str]
    """Identifier in configurations, folder names and the task-token table."""
    title: ClassVar[str]
    """Display name of the dataset."""
    output: ClassVar[str]
    """Key of the task's output; tasks with the same key share one head."""
    kind: ClassVar[str]
    """Kind of that output: a file of :mod:`twelve.outputs`."""
    method: ClassVar[str] = ""
    """The :class:`twelve.Predictor` method that asks this kind of question, if not the first of the output's
    methods."""
    token: ClassVar[int] = 2000
    """Row in the released model's task-token table, 0 to 19, which no other task may name. Any larger number stands for
    a free row."""
    source: ClassVar[str]
    """Default image source; the data root can name another."""
    extra: ClassVar[bool] = False
    """Whether the task is beyond the twelve (tasks/extra): a data root may lack its folder."""
    partial: ClassVar[bool] = False
    """Whether some images are no longer available: examples with regions are used, and their share is reported."""
    has_candidates: ClassVar[bool] = False
    """Whether examples come with candidate boxes, whose regions are extracted too: :meth:`candidate_boxes`."""
    page: ClassVar[str] = ""
    """Where the official files are published, for errors about missing files."""
    note: ClassVar[str] = ""
    """How the task is measured, see :class:`twelve.types.measurement.Protocol`."""
    defaults: ClassVar[Defaults]
    train_split: ClassVar[str] = "train"
    file_names: ClassVar[Mapping[str, str]] = {}
    """Split -> its official file, relative to the task's folder in the data root; see :meth:`files`."""
    splits: ClassVar[tuple[str, ...]] = ()
    """All official splits, if there are more than training and evaluation read by default."""
    test_split: ClassVar[str]
    """Labelled split that final scores are reported on."""
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]]
    """{"test": (...), "val": (...)}: splits whose images must be excluded from training, by role."""
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {}
    """Split -> (examples, images) in the complete official files; None where no published source says."""
    fact_types: ClassVar[tuple[type, ...]] = ()
    """Dataclasses that occur in the facts of examples, for the cache."""
    scoring_protocols: ClassVar[Mapping[str, str]] = {OFFICIAL: ""}
    """Protocols for scoring a result file, name -> meaning; the first is the default. Empty: files cannot be scored."""
    unit: ClassVar[str] = "image"
    """What the examples of a cluster have in common, in a word: confidence intervals resample clusters."""
    no_harness: ClassVar[str] = "neither lmms-eval nor VLMEvalKit measures it"
    """Why a log of a harness that is not among :attr:`harnesses` cannot be scored."""
    result_file: ClassVar[str] = ""
    """Customary name of a result file, ``{split}`` standing for the split; see :meth:`result_name`."""

    @property
    def protocols(self) -> Mapping[str, str]:
        """Protocols for evaluating a model, name -> meaning; the first is the default. They are the protocols of result
        files, if the dataset has any."""
        return self.scoring_protocols or {OFFICIAL: ""}

    @property
    def folder(self) -> str:
        """The task's folder in the data root; its name, unless several tasks read the same files."""
        return self.name

    def files(self, split: str) -> tuple[str, ...]:
        """Official files of ``split``, relative to the task's folder in the data root.

        Raises:
            ConfigError: the dataset has no such split.
        """
        if split not in self.file_names:
            raise unknown_split(self.name, split, self.file_names)
        return (self.file_names[split],)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        """Examples of an official split in file order.

        Raises:
            DataError: a file is missing or malformed; the error names file, record and remedy.
            ConfigError: the dataset has no such split.
        """
        return list(self.iterate(root, split))

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        """The examples that :meth:`read` returns, one at a time; does not hold large files in memory.

        Raises:
            DataError, ConfigError: as :meth:`read`.
        """
        return iter(self.read(root, split))

    def flaws(self, root: DataRoot, split: str) -> Iterator[DataError]:
        """What is wrong with each line of a split that :meth:`read` refuses, where lines can be read on their own."""
        return iter(())

    def readable(self, text: str) -> str:
        """The text of an example for people, of several lines if it is a dialogue; by default as the model reads it."""
        return text if self.reader is self else self.reader.readable(text)

    @property
    def reader(self) -> Task:
        """The task whose examples this task uses: itself, or the task from which it borrows them."""
        return self

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        """Every file that :meth:`read` would open for ``split``, existing or not; the cache depends on them."""
        return tuple(root.path / self.folder / name for name in self.files(split))

    def beside(self, root: DataRoot) -> Iterator[tuple[Path, Callable[[Path], object]]]:
        """Official files in the task's folder that only :meth:`score` reads, with readers that raise DataError if
        the file is malformed."""
        return iter(())

    def candidate_boxes(self, root: DataRoot, split: str) -> Mapping[str, list[Box]]:
        """Image id -> distinct candidate boxes of the dataset, for which regions must be extracted.

        Raises:
            DataError, ConfigError: as :meth:`read`.
        """
        found: dict[str, dict[Box, None]] = {}
        for example in self.read(root, split):
            if example.candidates:
                found.setdefault(example.images[0], {}).update(dict.fromkeys(example.candidates))
        return {image: list(boxes) for image, boxes in found.items()}

    def image_sizes(self, root: DataRoot, split: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """(image id, its width and height in pixels) wherever the files of ``split`` state them, in file order.

        Raises:
            DataError, ConfigError: as :meth:`read`.
        """
        return iter(())

    def same_images(self, root: DataRoot) -> Mapping[str, str]:
        """Image id -> id of the same photograph in another image source, where datasets share photographs.

        Raises:
            MissingData: the file with this mapping is missing.
            DataError: it is malformed.
        """
        return {}

    def protocol(self, split: str, name: str | None = None, *, gallery: int | None = None) -> Protocol:
        """How ``split`` is measured.

        Args:
            name: one of :attr:`protocols`; None: the first.
            gallery: number of images in the gallery, instead of the protocol's number.

        Raises:
            ConfigError: the task has no such protocol, or ranks no gallery.
        """
        if gallery is not None:
            raise ConfigError(f"{self.title} ranks no gallery", remedy="leave --gallery out, or name a retrieval task")
        name = self.protocol_name(name)
        note = "; ".join(part for part in (self.note, self.protocols[name]) if part)
        return Protocol(split=split, boxes="given" if self.has_candidates else "detected", note=note, name=name)

    def protocol_on(self, protocol: Protocol, examples: Sequence[Example]) -> Protocol:
        """The protocol, without what does not matter on these examples."""
        return protocol

    def protocol_name(self, name: str | None = None, known: Mapping[str, str] | None = None) -> str:
        """The name of a protocol; None: of the default one.

        Args:
            known: the protocols to choose among; by default :attr:`protocols`.

        Raises:
            ConfigError: ``name`` is none of the protocols.
        """
        known = self.protocols if known is None else known
        if name is not None and name not in known:
            raise ConfigError(
                f"{self.title} has no protocol {name!r}{nearest(name, known)}",
                remedy=f"choose among {', '.join(known)}",
            )
        return name or next(iter(known))

    @abc.abstractmethod
    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        """Compute the official metric under the default protocol. ``predictions`` is what the task's output decodes: a
        list aligned with ``examples`` or, for alignment, a :class:`twelve.outputs.alignment.RetrievalScores`."""

    def measure_by(self, protocol: Protocol, examples: Sequence[Example], predictions: Any) -> Measurement:
        """:meth:`measure` under another protocol. A task with several protocols implements it; for a protocol of
        several galleries, ``examples`` and ``predictions`` are lists with an item for each gallery."""
        return self.measure(examples, predictions)

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Compute the official metric of a result file in the dataset's own format.

        Args:
            truth: official files, recognized by their content.
            predictions: the result file, then further files if the task takes any.
            protocol: one of :attr:`scoring_protocols`.

        Raises:
            DataError: a file is malformed, of another dataset, or lacks required predictions.
            ConfigError: the dataset has no such format.
        """
        raise ConfigError(
            f"{self.title} has no result format to score", remedy="evaluate a model with twelve evaluate instead"
        )

    @property
    def harnesses(self) -> Mapping[str, tuple[HarnessLog, ...]]:
        """Other evaluation programs by name, and their logs that can be scored; see :mod:`twelve.harness`."""
        return {}

    def truth_examples(self, truth: Sequence[Path]) -> list[Example]:
        """The labelled examples in official files, in file order, in which to find the examples of a harness's log.

        Raises:
            DataError: a file is malformed or of another dataset.
        """
        raise NotImplementedError

    def is_logged(self, logged: Logged) -> bool:
        """Whether an answer in a log of several datasets is about this one."""
        return True

    def logged_example(self, logged: Logged) -> Example | None:
        """The labelled example that a harness's log describes; None if the log does not tell what is right.

        Raises:
            ValueError: what the log tells is malformed.
        """
        return None

    def contribution(self, example: Example, predicted: Any, protocol: str) -> float:
        """What one prediction adds to the official headline number, 0..1."""
        raise NotImplementedError

    def result_name(self, split: str) -> str:
        """File name of the results of ``split``; "" if the dataset has no format that :meth:`score` reads."""
        return self.result_file.format(split=split) if self.scoring_protocols else ""

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        """Official files with which :meth:`score` measures a result file of all of ``split``; none if there are no
        files of just this split."""
        return tuple(root.path / self.folder / name for name in self.files(split))

    def result_protocol(self, protocol: Protocol, examples: Sequence[Example]) -> str:
        """The protocol among :attr:`scoring_protocols` with which a result file gives the numbers that were measured on
        these examples under ``protocol``."""
        return protocol.name if protocol.name in self.scoring_protocols else next(iter(self.scoring_protocols))

    def same_protocols(self, split: str, protocol: str) -> frozenset[str]:
        """Names of all protocols that are one and the same on the complete ``split``."""
        return frozenset({protocol})

    def submission(self, examples: Sequence[Example], predictions: Any) -> str | bytes:
        """Content of the dataset's official result file.

        Args:
            predictions: as for :meth:`measure`, one per example, in order.

        Raises:
            ConfigError: the dataset has no official result file.
        """
        raise ConfigError(f"{self.title} has no official result file", remedy="choose a task that has one")


TOKEN_ROWS = 20
"""Rows of the released model's task-token table."""
_REGISTRY: dict[str, Task] = {}
_BROKEN: dict[str, str] = {}
"""Unusable entry point of another package -> reason."""


def register(cls: type[Task]) -> type[Task]:
    """Class decorator that registers a task under its name. A class that is defined again, as in a cell of a notebook,
    replaces itself, also under another name.

    Raises:
        TypeError: the class lacks an attribute or a method.
        ValueError: another task has its name, or its row of the released model's task tokens.
    """
    lacking = [name for name in Task.__annotations__ if not hasattr(cls, name)]
    lacking += ["read()"] if cls.read is Task.read and cls.iterate is Task.iterate else []
    if lacking:
        raise TypeError(f"the task {cls.__name__} lacks {', '.join(lacking)}")
    made = "<locals>" in cls.__qualname__  # by a function, which may make a class for each of several names
    again = {n for n, task in _REGISTRY.items() if same_class(type(task), cls) and (n == cls.name or not made)}
    others = {name: task for name, task in _REGISTRY.items() if name not in again}
    if cls.name in others:
        raise ValueError(f"two tasks are named {cls.name!r}")
    if same := [name for name, task in others.items() if task.token == cls.token < TOKEN_ROWS]:
        taken = {task.token for task in others.values()}
        free = "".join(f"{row}, " for row in range(TOKEN_ROWS) if row not in taken)
        raise ValueError(
            f"the tasks {same[0]!r} and {cls.name!r} have the same token, {cls.token}: leave token out, or set a free "
            f"one ({free}or any from {TOKEN_ROWS})"
        )
    for name in again - {cls.name}:  # what it was called before
        del _REGISTRY[name]
    _REGISTRY[cls.name] = cls()
    return cls


def same_class(one: type, other: type) -> bool:
    """Whether two classes are one, which may have been defined again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def get(name: str, own: Mapping[str, Task] | None = None) -> Task:
    """Return the task of this name, or raise a ConfigError that suggests the nearest one.

    Args:
        own: a run's own tasks, in addition to the registered ones.
    """
    known = all_tasks(own)
    if name not in known:
        raise ConfigError(
            f"unknown task {name!r}{nearest(name, known)}{broken(name)}",
            remedy=remedy_for(name, sorted(known)),
        )
    return known[name]


def foreign(task: Task) -> bool:
    """Whether a task is defined outside of this package."""
    return not type(task.reader).__module__.startswith("twelve.")


def file_of(task: Task) -> str | None:
    """The file that defines a task; None if a notebook does."""
    return getattr(sys.modules.get(type(task).__module__), "__file__", None)


def at_fault(error: Exception) -> tuple[str, str] | None:
    """Where an error arose in code of a package that defines a registered task, and what to do; None if in none."""
    packages: dict[str, list[str]] = {}
    for name, task in _REGISTRY.items():
        if foreign(task):
            packages.setdefault(type(task).__module__.partition(".")[0], []).append(repr(name))
    for file, line, function, module in reversed(places(error)):
        if (package := module.partition(".")[0]) in packages:
            which = f"the task{'s' * (len(packages[package]) > 1)} {', '.join(packages[package])}"
            return f"{file}, line {line}, in {function}()", f"correct it there: {package}, not twelve, defines {which}"
    return None


def broken(name: str) -> str:
    """``'; REASON'`` if the entry point ``name`` is unusable, else an empty string."""
    return f"; {_BROKEN[name]}" if name in _BROKEN else ""


def remedy_for(name: str, known: Sequence[str]) -> str:
    """What to do about the name of an unknown task."""
    package = "fix that package" if name in _BROKEN else "install the package that defines it"
    return f"choose among {', '.join(known)}, or {package}"


def called(task: Task, title: str | None) -> Task:
    """A task under another title, because other data stand in for the dataset's; None keeps its own."""
    if title is None or title == task.title:
        return task
    other = copy(task)
    other.title = title  # type: ignore[misc]  # of this object alone
    return other


def is_stand_in(name: str, title: str) -> bool:
    """Whether other data stand in for those of a known task, under their own title."""
    return name in _REGISTRY and title != _REGISTRY[name].title


def tasks_of(root: DataRoot) -> dict[str, Task]:
    """The known tasks by name that apply to ``root``: extra tasks only if they have a folder there."""
    known = all_tasks(root.own_tasks)
    return {name: task for name, task in known.items() if not task.extra or (root.path / task.folder).is_dir()}


def all_tasks(own: Mapping[str, Task] | None = None) -> dict[str, Task]:
    """All known tasks by name: from this package, from entry points of group ``twelve.tasks``, and a run's own.

    An unusable entry point is skipped with one warning on standard error.
    """
    import importlib
    import pkgutil

    import twelve.tasks as package

    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for point in _entry_points(*sys.path):
        if point.name not in _BROKEN:
            _load(point)
    return {**_REGISTRY, **(own or {})}


@lru_cache(maxsize=1)
def _entry_points(*_path: str) -> Sequence[EntryPoint]:
    """The tasks of other packages. Finding them opens a file of every package on Python's path: it is done once, unless
    the path changes."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group="twelve.tasks"))


def _load(point: EntryPoint) -> None:
    """Register the task of another package, or record why that failed."""
    try:
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Task)):
            raise TypeError(f"{point.value} is not a subclass of twelve.tasks.base.Task")
        register(loaded)
    except Exception as error:  # another package's code can raise anything
        package = f" of the package {point.dist.name}" if point.dist is not None else ""
        why = f"the entry point {point.name!r}{package} ({point.value}) cannot be used: {type(error).__name__}: {error}"
        _BROKEN[point.name] = why
        print(one_line(f"twelve: skipped: {why} -> fix or uninstall that package"), file=sys.stderr)
