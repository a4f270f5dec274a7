"""``twelve score``: the official metric of anybody's predictions."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from twelve.errors import ConfigError, DataError, MissingData, TwelveError, found_in, nearest, one_line
from twelve.formats.results import Mismatch
from twelve.io.json_file import readable
from twelve.metrics.bootstrap import Interval, interval
from twelve.tasks.base import Task, all_tasks, broken

if TYPE_CHECKING:
    from twelve.types.measurement import Scored

Files: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One file or several."""


WARNING = "warning: "


@dataclass(frozen=True, slots=True)
class Number:
    """One official number, and the examples it is about (None: a mean of numbers about different ones)."""

    value: float
    examples: int | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything that is known of a result file.

    Attributes:
        truth, predictions: the files.
        protocol: name of the way in which they were measured; ``protocol_is_default``: nobody asked for it.
        rules: the same in words.
        primary: the headline number's name in ``numbers``; ``headline``: its mean and 95 % interval, per cent.
        numbers: name -> number, in per cent unless its name says otherwise.
        examples: how many make up the headline number; ``groups``: of how many images (see ``unit``), which the
            interval resamples unless each has one example that is right or wrong.
        notes: what was left out, passed over or assumed; those that may make the numbers wrong begin with "warning: ".
    """

    task: str
    title: str
    truth: tuple[str, ...]
    predictions: tuple[str, ...]
    protocol: str
    protocol_is_default: bool
    rules: str
    primary: str
    headline: Interval
    numbers: Mapping[str, Number]
    examples: int
    groups: int
    unit: str
    notes: tuple[str, ...]


def score(task: str, truth: Files, predictions: Files, protocol: str | None = None) -> Scores:
    """Measure predictions in the official result format against the official files.

    Args:
        task: name of a task.
        truth: the official files with the correct answers; docs/score.md names them for every task.
        predictions: the result file (and the attentions beside it, where a task measures them).
        protocol: one of the task's ``scoring_protocols``; the first when absent.

    Raises:
        ConfigError: no such task or protocol, or a task whose predictions have no official format.
        DataError: a file is missing, malformed, or of another dataset; the message names file, record and remedy.
    """
    found = scorable(task)
    chosen = found.protocol_name(protocol, found.scoring_protocols)
    official, results = _paths(truth), _paths(predictions)
    for path in (*official, *results):
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "is a pipe or a device" if path.exists() else "no such file"
            raise MissingData(problem, file=path, remedy="give a file" if path.exists() else "check the path")
    if not official or not results:
        raise ConfigError("nothing to compare", remedy="give the official files and the predictions")
    for path in results:
        twin = next((other for other in official if _same(path, other)), None)
        if twin is not None:
            problem = f"the predictions are the official file {twin.name} itself"
            raise DataError(problem, file=path, remedy="give the file that holds what was predicted")
    scored = _scored(found, official, results, chosen)
    measured = scored.measurement
    return Scores(
        task=found.name,
        title=found.title,
        truth=tuple(map(str, official)),
        predictions=tuple(map(str, results)),
        protocol=chosen,
        protocol_is_default=protocol is None,
        rules="; ".join(part for part in (found.scoring_protocols[chosen], scored.rules) if part),
        primary=measured.primary,
        headline=_per_cent(interval(measured.per_example, measured.groups)),
        numbers={name: Number(value, scored.counts.get(name)) for name, value in measured.metrics.items()},
        examples=len(measured.per_example),
        groups=len(set(measured.groups)),
        unit=scored.unit,
        notes=tuple(scored.notes),
    )


def _same(path: Path, other: Path) -> bool:
    """Whether two files are one, or hold the same."""
    try:
        return os.path.samefile(path, other) or filecmp.cmp(path, other, shallow=False)
    except OSError:  # said where it is read
        return False


def _paths(files: Files) -> list[Path]:
    return [Path(files)] if isinstance(files, str | os.PathLike) else [Path(file) for file in files]


def scorable(name: str) -> Task:
    """The task of this name; raises ConfigError when there is none, or its predictions cannot be scored."""
    known = all_tasks()
    able = sorted(each for each, task in known.items() if task.scoring_protocols and type(task).score is not Task.score)
    own = "a task of your own has no official format; measure it with its model: twelve evaluate RUN"
    if name not in known:
        raise ConfigError(
            f"unknown task {name!r}{nearest(name, able)}{broken(name)}",
            remedy=f"choose among {', '.join(able)}; {own}",
        )
    if name not in able:
        raise ConfigError(
            f"{known[name].title} has no result format that could be scored",
            remedy=f"measure a model with twelve evaluate, or choose among {', '.join(able)}",
        )
    return known[name]


def _scored(task: Task, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
    """What the task says; an error about the truth says so where truth and predictions look swapped."""
    with found_in(predictions[0]):
        try:
            return task.score(truth, predictions, protocol)
        except DataError as error:
            wrong = [path for path in truth if path == error.file] or list(truth)
            if error.file in predictions or not _fits(task, predictions, wrong, protocol):
                raise
            raise DataError(
                f"{error.problem}; truth and predictions look swapped: {predictions[0]} reads as truth",
                file=wrong[0],
                record=error.record,
                remedy=f"give --truth {predictions[0]} --predictions {wrong[0]}",
            ) from None


def _fits(task: Task, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> bool:
    """Whether these files can be read as truth and predictions, even of different examples."""
    try:
        task.score(truth, predictions, protocol)
    except Mismatch:
        return True
    except TwelveError:
        return False
    return True


def _per_cent(found: Interval) -> Interval:
    return Interval(100 * found.mean, 100 * found.low, 100 * found.high)


def warnings(scores: Scores) -> list[str]:
    """The notes that may make the numbers wrong, a line each; the command also prints them to stderr."""
    return [one_line(note) for note in scores.notes if note.startswith(WARNING)]


def as_json(scores: Scores) -> str:
    """All of it, for programs; the fields are those of :class:`Scores`."""
    return readable(asdict(scores), indent=1)


def table(scores: Scores) -> str:
    """A table of every number, with the interval of the headline number and the protocol."""
    headline = scores.numbers[scores.primary].value
    choice = " (the default)" if scores.protocol_is_default else ""
    lines = [
        f"{scores.title}, {scores.primary}: {headline:.2f} %, 95 % interval [{scores.headline.low:.2f}, "
        f"{scores.headline.high:.2f}]",
        f"{scores.examples:,} examples, resampled by {scores.groups:,} {scores.unit}",
        f"protocol {scores.protocol}{choice}: {scores.rules}",
        *(one_line(note if note.startswith(WARNING) else f"note: {note}") for note in scores.notes),
        "",
    ]
    width = max(len(one_line(name)) for name in scores.numbers) + 2
    lines.append(f"{'':<{width}}{'score':>8}{'examples':>10}")
    for name, number in ((one_line(name), number) for name, number in scores.numbers.items()):
        examples = "" if number.examples is None else f"{number.examples:,}"
        lines.append(f"{name:<{width}}{number.value:8.2f}{examples:>10}".rstrip())
    return "\n".join(lines)
