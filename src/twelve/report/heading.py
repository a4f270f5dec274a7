"""What a report is about, for its title: the configuration, the date, the data, and whether they are synthetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from twelve.config import load, shipped
from twelve.errors import TwelveError
from twelve.evaluation.published_scores import DRAWN
from twelve.formats.data_root import is_drawn
from twelve.progress import counted
from twelve.report import words
from twelve.report.reading import Run
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig

PLACES = ("run", "data", "regions")
"""Keys that say where files are, not what is trained."""
GENERIC = "run"
"""A folder's name that tells nothing without the folder above it."""
NAMED = 3
"""Most tasks that the title names."""
CHANGES = 3
"""Most changes with which a run is still called after a shipped configuration."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a report.

    Attributes:
        name: the shipped configuration that the run follows, with what it changes; else the run's folder and its tasks.
        day: of the evaluation, or of the last training step, in words.
        data: what the model was trained and measured on, in words.
        place: the folder of the data.
        size: tasks, parameters, iterations and time, in words; of a single task also epochs and learning rate.
    """

    name: str
    day: str
    data: str
    place: str
    synthetic: bool
    size: str

    @property
    def title(self) -> str:
        return f"{self.name}, {self.day}, {self.data}"


def heading(run: Run) -> Heading:
    """The title of a run's report."""
    synthetic = is_synthetic(run)
    kind, data = "synthetic images" if synthetic else "data", Path(run.config.data).resolve()
    place = str(data.relative_to(Path.cwd()) if data.is_relative_to(Path.cwd()) else data)
    return Heading(
        name=configuration(run.config) or folder_and_tasks(run),
        day=f"{_day(run):%d %B %Y}".lstrip("0"),
        data=f"{kind} in {place}",
        place=place,
        synthetic=synthetic,
        size=_size(run),
    )


def is_synthetic(run: Run) -> bool:
    """Whether the run's data are a generated world."""
    known = run.facts.get(DRAWN)
    if isinstance(known, bool):
        return known
    try:
        return is_drawn(Path(run.config.data))
    except TwelveError:
        return False


def configuration(config: RunConfig) -> str:
    """The shipped configuration that differs least from this one, and in what, in words; "" if too much differs. One
    whose run has a folder of the same name comes before others."""
    ours, found = dict(_flat(config.absolute())), list[tuple[bool, int, str]]()
    for name, path in shipped().items():
        try:
            other = load(path)
        except TwelveError:  # it continues from a run that is not there
            continue
        theirs = dict(_flat(other.absolute()))
        changed = [key for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
        changes = [f"{key}={ours.get(key)}" for key in changed]
        told = f" with {changes[0]}" if len(changes) == 1 else f" with {len(changes)} changes" if changes else ""
        if len(changes) <= CHANGES:
            found.append((Path(other.run).name != Path(config.run).name, len(changes), name + told))
    return min(found, default=(False, 0, ""))[-1]


def folder_and_tasks(run: Run) -> str:
    """A run by the name of its folder and the titles of its tasks: ``Run “first”, tasks VQA v2 and “mine”``."""
    folder = run.folder.resolve()
    name = f"{folder.parent.name}/{folder.name}" if folder.name == GENERIC else folder.name
    tasks = list(dict.fromkeys([*run.config.tasks, *run.results]))
    if [run.task(task).title for task in tasks] in ([], [folder.name]):
        return f"Run “{name}”"
    if len(tasks) > NAMED:
        return f"Run “{name}”, {len(tasks)} tasks"
    # A title of one's own may be any word.
    *others, last = (f"“{run.task(task).title}”" if run.is_own(task) else run.task(task).title for task in tasks)
    told = f"tasks {', '.join(others)} and {last}" if others else f"task {last}"
    return f"Run “{name}”, {told}"


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of everything but places."""
    for key, value in tree.items():
        if above or key not in PLACES:
            if isinstance(value, Mapping) and value:
                yield from _flat(value, f"{above}{key}.")
            else:
                yield f"{above}{key}", value


def _day(run: Run) -> date:
    """The day of the evaluation; of results of earlier versions, or without results, that of the newest file."""
    try:
        return date.fromisoformat(str(run.facts.get("date")))
    except ValueError:
        files = RunFolder(run.folder)
        known = [file for file in (files.evaluation, files.metrics, files.config) if file.is_file()]
        return datetime.fromtimestamp(max(file.stat().st_mtime for file in known), UTC).date()


def _size(run: Run) -> str:
    facts, history = run.facts, run.history
    count = len({*run.config.tasks, *run.results})
    parts = ["one task" if count == 1 else f"one model for {count} tasks"]
    parts += [f"{facts['parameters'] / 1e6:.1f} M parameters"] if "parameters" in facts else []
    trained = counted(history.iterations, "iteration")
    if run.epochs is not None:
        trained += f" ({words.epochs(run.epochs)})"
    if history.seconds:
        trained += f" in {words.minutes(history.seconds)}"
    parts += [trained] if history.iterations else []
    if run.config.model.init is not None:
        parts.append(f"begun with {'/'.join(Path(run.config.model.init).parts[-2:])}")
    parts += [f"learning rate {words.rate(run.learning_rate(run.alone))}"] if run.alone and history.iterations else []
    return ", ".join(parts)
