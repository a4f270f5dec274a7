"""The stages of a reproduction, in order; see the package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from twelve.downloads import registry
from twelve.downloads.download import Download
from twelve.downloads.fetch import fetch
from twelve.downloads.report import Fetched
from twelve.errors import ConfigError, MissingData, TwelveError
from twelve.io import files
from twelve.outputs import get_output
from twelve.progress import clock, tell
from twelve.reproduce import conversion, features, measures, needs, table
from twelve.reproduce.folders import Folders
from twelve.reproduce.measures import Measure
from twelve.reproduce.plan import WorkAhead, ahead
from twelve.reproduce.published import measures_of
from twelve.tasks.base import Task, get
from twelve.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a reproduction is asked to do.

    Attributes:
        root: the data root, which need not exist.
        tasks: names; all twelve if empty.
        downloads: the registry of official and released files.
        mirrors: see :func:`twelve.downloads.fetch.fetch`.
        extract: extract regions from images instead of importing the released features.
        labels: output -> file with the names of its answers, if not the released one.
    """

    root: Path
    tasks: Sequence[str] = ()
    downloads: Sequence[Download] = field(default_factory=registry.shipped)
    mirrors: Sequence[str] = ()
    extract: bool = False
    labels: Mapping[str, Path] = field(default_factory=dict)


class Reproduction:
    """The stages. Each can be interrupted; a new object for the same folder goes on with it.

    Attributes:
        tasks: those that are asked for.
        failures: task -> why it has no number.
    """

    def __init__(self, asked: Asked, console: Console | None = None) -> None:
        self.asked, self.console = asked, console
        known = needs.twelve_tasks()
        for name in asked.tasks:
            if get(name).name not in known:
                raise ConfigError(f"{name} is none of the paper's tasks", remedy=f"choose among {', '.join(known)}")
        self.tasks = [task for name, task in known.items() if name in asked.tasks or not asked.tasks]
        self.measures: dict[str, list[Measure]] = {task.name: measures_of(task) for task in self.tasks}
        self.folders = Folders(asked.root, extract=asked.extract)
        self.failures: dict[str, TwelveError] = {}
        everything = list(asked.downloads)
        named = {*asked.labels, *needs.labels(asked.root, known.values())}
        self._nameless = [
            task for task in self.tasks if get_output(task.kind).needs_vocabulary and task.output not in named
        ]
        self._shared = needs.shared(everything, asked.extract, answers=bool(self._nameless))
        self._own = {
            task.name: needs.own(everything, task, self.measures[task.name], asked.extract) for task in self.tasks
        }

    @property
    def wanted(self) -> list[Download]:
        """All files that are fetched, those of one dataset together."""
        every = {one.key: one for own in (self._shared, *self._own.values()) for one in own}
        datasets = list(dict.fromkeys(one.dataset for one in every.values()))
        return sorted(every.values(), key=lambda one: datasets.index(one.dataset))

    def ahead(self) -> WorkAhead:
        """What is going to be done; ``str()`` of it is to be shown before :meth:`run`."""
        measures = {task: self.measures[task.name] for task in self.tasks}
        return ahead(self.folders, self.wanted, measures, extract=self.asked.extract)

    def run(self) -> table.Table:
        """Do what is not done yet, and write the table. A task that fails is left out, and the others go on.

        Raises:
            TwelveError: something that all tasks need has failed, or every task has.
        """
        self.folders.root.mkdir(parents=True, exist_ok=True)
        with files.alone(self.folders.run.path):
            self._fetch()
            model = self._convert()
            for task in self.tasks:
                if task.name not in self.failures:
                    try:
                        self._measure(task, model)
                    except TwelveError as error:
                        self._fail([task], error)
            if len(self.failures) == len(self.tasks):
                raise next(iter(self.failures.values()))
            measured = [
                (measure, *measures.result(self.folders, measure))
                for task in self.tasks
                for measure in self.measures[task.name]
                if task.name not in self.failures
            ]
            return table.write(self.folders, measured, self.failures, extracted=self.asked.extract)

    def _fail(self, tasks: Iterable[Task], error: TwelveError) -> None:
        for task in tasks:
            self.failures.setdefault(task.name, error)
        tell(f"not measured: {', '.join(task.name for task in tasks)}: {error}", self.console)

    def _fetch(self) -> None:
        """Fetch all files; a task whose own file cannot be had fails alone.

        Raises:
            MissingData: a file of the model cannot be had.
        """
        report = fetch(self.wanted, self.folders.root, mirrors=self.asked.mirrors)
        self.folders.ledger.trust(self.folders.root)
        for each in (each for each in report.files if each.outcome == "failed" or self._lacks(each)):
            problem, _, remedy = each.note.partition(" -> ")
            file, problem, remedy = each.download.key, f"{each.outcome}: {problem}", remedy or _asking(each)
            if each.download not in self._shared:
                users = [task for task in self.tasks if each.download in self._own[task.name]]
                self._fail(users, MissingData(problem, file=file, remedy=remedy))
            elif each.download.file == needs.VOCABULARY:
                tell(f"{file}: {problem}; the hub's own client is asked for it", self.console)
            elif needs.ANSWERS not in each.download.tasks:
                raise MissingData(problem, file=file, remedy=remedy)
            else:
                for task in self._nameless:
                    other = f"{remedy}; or give the names of the answers: --labels {task.output}=FILE"
                    self._fail([task], MissingData(problem, file=file, remedy=other))

    def _lacks(self, each: Fetched) -> bool:
        """Whether a file must be asked for, and nobody has put it into its place."""
        places = [self.folders.root / place for _, place in each.download.places]
        return each.outcome == "asked" and not all(place.exists() for place in places)

    def _convert(self) -> str:
        """Convert the model; returns a digest of all its files."""
        inputs = conversion.inputs(self.folders, self.asked.labels, self.asked.extract)
        if "weights" not in inputs:
            raise MissingData(
                "no such file",
                file=self.folders.root / "released" / needs.MODEL,
                remedy="put it there, or name a --mirror",
            )
        digests = {role: self.folders.ledger.digest(file) for role, file in inputs.items()}
        model = [self.folders.run.model, self.folders.run.config]
        self._stage("conversion", digests, lambda: conversion.make(self.folders, inputs), lambda: model)
        for task in (task for task in self.tasks if task.name not in self.failures):
            if get_output(task.kind).needs_vocabulary and f"labels {task.output}" not in inputs:
                problem = f"the names of the answers of {task.title} are not here"
                remedy = f"fetch the authors' archive of all files, or give them: --labels {task.output}=FILE"
                self._fail([task], MissingData(problem, file=self.folders.root / "released", remedy=remedy))
        files = self.folders.ledger.digests([self.folders.run.model])
        return features.digest([*files.values(), conversion.PRECISION])

    def _measure(self, task: Task, model: str) -> None:
        """Make a task's regions, and measure it under each protocol."""
        wanted, ledger = self.measures[task.name], self.folders.ledger
        images = measures.images(self.folders, wanted)
        origins = features.origins(self.folders, task, images)
        inputs: dict[str, Any] = {"images": features.digest(images), "extract": self.asked.extract}
        inputs |= {} if self.asked.extract else ledger.digests(origin.path for origin in origins)
        self._stage(
            f"regions of {task.name}",
            inputs,
            lambda: features.make(self.folders, task, images, extract=self.asked.extract),
            lambda: features.holding(self.folders.regions, task, images),
        )
        regions = ledger.digests(features.holding(self.folders.regions, task, images))
        for measure in wanted:
            inputs = {"model": model, "regions": regions, "version": __version__}
            inputs |= {"files": ledger.digests(measures.official_files(self.folders, task, measure))}
            self._stage(
                f"evaluation of {measure}",
                inputs,
                partial(measures.evaluate, self.folders, measure),
                partial(_listed, measures.result_file(self.folders, measure)),
            )

    def _stage(
        self, name: str, inputs: Mapping[str, Any], work: Callable[[], Any], outputs: Callable[[], Iterable[Path]]
    ) -> None:
        """Do the work of a stage, unless it is finished with the same inputs."""
        ledger = self.folders.ledger
        if ledger.finished(name, inputs):
            tell(f"{name}: done before ({clock(ledger.seconds(name) or 0)})", self.console)
            return
        tell(f"{name} ...", self.console)
        started = time.monotonic()
        work()
        ledger.record(name, inputs, outputs(), time.monotonic() - started)


def _asking(each: Fetched) -> str:
    """What to do about a file that must be asked for."""
    places = ", ".join(place for _, place in each.download.places)
    return f"ask for it at {each.download.page} and put it into the data root as {places}, then run the command again"


def _listed(file: Path) -> list[Path]:
    return [file]
