"""``twelve score``: the official metric of anybody's predictions, and the difference of two result files."""

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
from twelve.metrics.bootstrap import FEW, Interval, bounds_of_lead, few_groups, interval, is_share
from twelve.progress import counted
from twelve.tasks.base import Task, all_tasks, broken

if TYPE_CHECKING:
    from twelve.types.measurement import ExampleValues, Scored

Files: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One file or several."""


WARNING = "warning: "
TWO_TRAININGS = "the intervals do not cover retraining: other trainings of the same methods may differ by more"
"""A note of every difference: a file says nothing about the variance between seeds."""


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
        primary: the headline number's name in ``numbers``; ``headline``: its mean and 95% interval, per cent, which
            leaves out how much another training of the model would differ.
        numbers: name -> number, in per cent unless its name says otherwise.
        examples: how many make up the headline number; ``groups``: of how many images (see ``unit``), which the
            interval resamples unless each has one example that is right or wrong.
        few: why the interval cannot be trusted, if it resamples few images; otherwise empty.
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
    few: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PairedNumber:
    """One number of two result files.

    Attributes:
        first, second: the number of each file, per cent unless the name says otherwise.
        value: the first minus the second.
        interval: the mean over the resampled examples and its paired 95% interval; None if the number is no mean over
            examples.
        examples: as in :class:`Number`; None also if the files differ in it.
        groups: of how many images (see :attr:`Scores.unit`) these examples are; None without an interval.
    """

    first: float
    second: float
    value: float
    interval: Interval | None
    examples: int | None
    groups: int | None


@dataclass(frozen=True, slots=True)
class Differences:
    """Two result files of the same examples.

    Attributes:
        first, second: the scores of each file.
        primary: the headline number's name in ``numbers``.
        numbers: name -> the difference, of every number that both files have.
        few: why the intervals cannot be trusted, if they resample few images; otherwise empty.
        notes: what concerns both files; those that may make the numbers wrong begin with "warning: ".
    """

    first: Scores
    second: Scores
    primary: str
    numbers: Mapping[str, PairedNumber]
    few: str
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
    found, chosen = _task(task, protocol)
    official, results, scored = _read(found, truth, predictions, chosen)
    return _scores(found, official, results, chosen, scored, is_default=protocol is None)


def difference(task: str, truth: Files, predictions: Files, minus: Files, protocol: str | None = None) -> Differences:
    """Measure two result files of the same examples, and their difference: the first one's scores minus the second's.

    The interval of a difference is from a paired bootstrap: every resample has the same images for both files. It is of
    these two trained models, and leaves out how much another training of each, with another seed, would differ. Whether
    one method of training is better than another is a question for several seeds (``twelve study``).

    Args:
        task, truth, predictions, protocol: as :func:`score` takes them.
        minus: the second result file.

    Raises:
        ConfigError, DataError: as :func:`score`.
        DataError: the files are about different examples; the message names the first of these.
    """
    found, chosen = _task(task, protocol)
    read = [_read(found, truth, files, chosen) for files in (predictions, minus)]
    (official, results, one), (_, others, other) = read
    first, second = (
        _scores(found, official, files, chosen, scored, is_default=protocol is None) for _, files, scored in read
    )
    primary = one.measurement.primary
    if any(scored.measurement.primary not in scored.means for scored in (one, other)):
        raise ConfigError(
            f"{found.title} has no values of single examples, which a paired interval needs",
            remedy="score each file alone, without --minus",
        )
    if primary != other.measurement.primary:
        raise DataError(
            f"expected the headline number {primary}, as in {results[0]}, found {other.measurement.primary}",
            file=others[0],
            remedy="predict the same with both models, such as both directions of retrieval",
        )
    _check_same_examples(one, other, (results[0], others[0]))
    equal = len(results) == len(others) and all(map(_same, results, others))
    numbers = {}
    for name, number in first.numbers.items():
        if name in second.numbers:
            about = number.examples if number.examples == second.numbers[name].examples else None
            numbers[name] = PairedNumber(
                first=number.value,
                second=second.numbers[name].value,
                value=number.value - second.numbers[name].value,
                interval=(paired := _paired(one.means.get(name), other.means.get(name), equal=equal)),
                examples=about,
                groups=None if paired is None else len(set(one.means[name].groups)),
            )
    apart = sorted(first.numbers.keys() ^ second.numbers.keys())
    notes = [f"{WARNING}both files hold the same predictions; give two different files"] if equal else []
    notes += [f"left out, because only one file has them: {', '.join(apart)}"] if apart else []
    notes += [] if equal else [TWO_TRAININGS]
    few = few_groups(first.groups, first.unit)
    if not few and any(number.groups is not None and number.groups < FEW for number in numbers.values()):
        notes.append(f"intervals of parts with fewer than {FEW} {first.unit} are often too narrow")
    return Differences(first, second, primary, numbers, few, tuple(notes))


def _task(name: str, protocol: str | None) -> tuple[Task, str]:
    """The task and the name of its protocol; raises ConfigError where there is none."""
    found = scorable(name)
    return found, found.protocol_name(protocol, found.scoring_protocols)


def _read(task: Task, truth: Files, predictions: Files, protocol: str) -> tuple[list[Path], list[Path], Scored]:
    """The official files, the result files, and what they give; raises DataError as :func:`score`."""
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
    return official, results, _scored(task, official, results, protocol)


def _scores(
    task: Task, official: Sequence[Path], results: Sequence[Path], protocol: str, scored: Scored, *, is_default: bool
) -> Scores:
    measured = scored.measurement
    groups = len(set(measured.groups))
    return Scores(
        task=task.name,
        title=task.title,
        truth=tuple(map(str, official)),
        predictions=tuple(map(str, results)),
        protocol=protocol,
        protocol_is_default=is_default,
        rules="; ".join(part for part in (task.scoring_protocols[protocol], scored.rules) if part),
        primary=measured.primary,
        headline=_per_cent(interval(measured.per_example, measured.groups)),
        numbers={name: Number(value, scored.counts.get(name)) for name, value in measured.metrics.items()},
        examples=len(measured.per_example),
        groups=groups,
        unit=scored.unit,
        few="" if is_share(measured.per_example, measured.groups) else few_groups(groups, scored.unit),
        notes=tuple(scored.notes),
    )


def _check_same_examples(first: Scored, second: Scored, files: Sequence[Path]) -> None:
    """Raise DataError where the headline numbers of two files are about different examples."""
    ids = [list(scored.means[scored.measurement.primary].ids) for scored in (first, second)]
    for here, there in ((0, 1), (1, 0)):
        known = set(ids[there])
        missing = [key for key in ids[here] if key not in known]
        if missing:
            raise DataError(
                f"expected the {len(ids[here]):,} examples of {files[here]}, found no prediction for {len(missing):,}",
                file=files[there],
                record=missing[0],
                remedy=f"predict the same examples with both models, or remove these from {files[here]}",
            )


def _paired(first: ExampleValues | None, second: ExampleValues | None, *, equal: bool) -> Interval | None:
    """Interval of the difference of two means over the same examples, per cent; None if the examples differ.

    Args:
        equal: the files are the same, so that no resample has a difference. (Two models that agree on all examples may
            differ on others, see :func:`twelve.metrics.bootstrap.widened`.)
    """
    if first is None or second is None:
        return None
    if list(first.ids) != list(second.ids):
        row = {key: number for number, key in enumerate(second.ids)}
        if row.keys() != set(first.ids) or len(row) != len(first.ids):
            return None
        second = second.at([row[key] for key in first.ids])
    if equal:
        return Interval(0.0, 0.0, 0.0)
    gain = first.values - second.values
    return _per_cent(interval(gain, first.groups, bounds=bounds_of_lead(second.values, known=False)))


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


def warnings(found: Scores | Differences) -> list[str]:
    """What may make the numbers or their intervals wrong, a line each; the command also prints them to stderr."""
    return [line for line in _notes(found) if line.startswith(WARNING)]


def _notes(found: Scores | Differences) -> list[str]:
    """A line for each note, and one where intervals are from few images."""
    notes = list(found.notes)
    if isinstance(found, Differences):
        notes += [_of_file(note, scores) for scores in (found.first, found.second) for note in scores.notes]
    lines = [note if note.startswith(WARNING) else f"note: {note}" for note in notes]
    return [one_line(line) for line in (*lines, *([f"{WARNING}{found.few}"] if found.few else []))]


def _of_file(note: str, scores: Scores) -> str:
    """A note with the file that it is about."""
    begin = WARNING if note.startswith(WARNING) else ""
    return f"{begin}{scores.predictions[0]}: {note.removeprefix(WARNING)}"


def as_json(scores: Scores | Differences) -> str:
    """All of it, for programs; the fields are those of :class:`Scores` or :class:`Differences`."""
    return readable(asdict(scores), indent=1)


def table(scores: Scores) -> str:
    """A table of every number, with the interval of the headline number and the protocol."""
    headline = scores.numbers[scores.primary].value
    lines = [
        f"{scores.title}, {scores.primary}: {headline:.2f}%, 95% interval [{scores.headline.low:.2f}, "
        f"{scores.headline.high:.2f}]",
        f"{counted(scores.examples, 'example')}, resampled by {scores.groups:,} {scores.unit}; "
        "the interval does not cover retraining with another seed",
        _protocol(scores),
        *_notes(scores),
        "",
    ]
    width = max(len(one_line(name)) for name in scores.numbers) + 2
    lines.append(f"{'':<{width}}{'score':>8}{'examples':>10}")
    for name, number in ((one_line(name), number) for name, number in scores.numbers.items()):
        examples = "" if number.examples is None else f"{number.examples:,}"
        lines.append(f"{name:<{width}}{number.value:8.2f}{examples:>10}".rstrip())
    return "\n".join(lines)


def difference_table(found: Differences) -> str:
    """A table of every number of both files, with the difference and its paired interval."""
    scores, headline = found.first, found.numbers[found.primary]
    assert headline.interval is not None
    lines = [
        f"{scores.title}, {found.primary}: {headline.first:.2f}% minus {headline.second:.2f}% is "
        f"{headline.value:+.2f}, 95% interval {_range(headline.interval)}",
        *(
            one_line(f"{name}: {' and '.join(each.predictions)}")
            for name, each in (("first", found.first), ("second", found.second))
        ),
        f"{counted(scores.examples, 'example')}, resampled by {scores.groups:,} {scores.unit}, "
        "the same ones for both files",
        _protocol(scores),
        *_notes(found),
        "",
    ]
    width, unit = max(len(one_line(name)) for name in found.numbers) + 2, len(scores.unit) + 2
    head = f"{'first':>8}{'second':>8}{'difference':>12}  {'95% interval':<18}{'examples':>10}"
    lines.append(f"{'':<{width}}{head}{scores.unit:>{unit}}")
    for name, each in found.numbers.items():
        spread = "" if each.interval is None else _range(each.interval)
        examples, groups = ("" if count is None else f"{count:,}" for count in (each.examples, each.groups))
        row = f"{each.first:8.2f}{each.second:8.2f}{each.value:+12.2f}  {spread:<18}{examples:>10}{groups:>{unit}}"
        lines.append(f"{one_line(name):<{width}}{row}".rstrip())
    return "\n".join(lines)


def _protocol(scores: Scores) -> str:
    choice = " (the default)" if scores.protocol_is_default else ""
    return f"protocol {scores.protocol}{choice}: {scores.rules}"


def _range(found: Interval) -> str:
    return f"[{found.low:+.2f}, {found.high:+.2f}]"
