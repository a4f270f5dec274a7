"""``twelve score``: the official metric of anybody's predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from twelve.data.root import MissingData
from twelve.errors import ConfigError, found_in, nearest
from twelve.evaluation.bootstrap import Interval, interval
from twelve.tasks.base import get


@dataclass(frozen=True, slots=True)
class Number:
    """One official number, and the examples it is about (None: all, or not about examples)."""

    value: float
    examples: int | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything that is known of a result file.

    Attributes:
        truth, predictions: the files.
        protocol: name of the way in which they were measured; ``default``: nobody asked for it.
        rules: the same in words.
        primary: the headline number's name in ``numbers``; ``headline``: its mean and 95 % interval, per cent.
        numbers: name -> number, in per cent unless its name says otherwise.
        examples: how many make up the headline number; ``groups``: of how many pictures (see ``unit``), which the
            interval resamples.
        notes: what was left out, passed over or assumed.
    """

    task: str
    title: str
    truth: tuple[str, ...]
    predictions: tuple[str, ...]
    protocol: str
    default: bool
    rules: str
    primary: str
    headline: Interval
    numbers: Mapping[str, Number]
    examples: int
    groups: int
    unit: str
    notes: tuple[str, ...]


def score(task: str, truth: Sequence[Path], predictions: Path | Sequence[Path], protocol: str | None = None) -> Scores:
    """Measure predictions in the official result format against the official files.

    Args:
        task: name of a task.
        truth: the official files that hold what is right; docs/score.md names them for every task.
        predictions: the result file (and the attentions beside it, where a task measures them).
        protocol: one of the task's ``scoring_protocols``; the first when absent.

    Raises:
        ConfigError: no such task or protocol, or a task whose predictions have no official format.
        DataError: a file is missing, malformed, or of something else; names file, record and remedy.
    """
    found = get(task)
    names = list(found.scoring_protocols)
    if protocol is not None and protocol not in names:
        raise ConfigError(
            f"{found.title} has no protocol {protocol!r}{nearest(protocol, names)}",
            remedy=f"choose among {', '.join(names)}",
        )
    results = [predictions] if isinstance(predictions, Path) else list(predictions)
    for path in (*truth, *results):
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "is a pipe or a device" if path.exists() else "no such file"
            raise MissingData(problem, file=path, remedy="give a file" if path.exists() else "check the path")
    if not truth or not results:
        raise ConfigError("nothing to compare", remedy="give the official files and the predictions")
    chosen = protocol or names[0]
    with found_in(results[0]):
        scored = found.score(list(truth), results, chosen)
    measured = scored.measurement
    return Scores(
        task=found.name,
        title=found.title,
        truth=tuple(map(str, truth)),
        predictions=tuple(map(str, results)),
        protocol=chosen,
        default=protocol is None,
        rules="; ".join(part for part in (found.scoring_protocols[chosen], scored.rules) if part),
        primary=measured.primary,
        headline=_per_cent(interval(measured.per_example, measured.groups)),
        numbers={name: Number(value, scored.counts.get(name)) for name, value in measured.metrics.items()},
        examples=len(measured.per_example),
        groups=len(set(measured.groups)),
        unit=scored.unit,
        notes=tuple(scored.notes),
    )


def _per_cent(found: Interval) -> Interval:
    return Interval(100 * found.mean, 100 * found.low, 100 * found.high)


def as_json(scores: Scores) -> str:
    """All of it, for programs; the fields are those of :class:`Scores`."""
    return json.dumps(asdict(scores), indent=1, ensure_ascii=False)


def table(scores: Scores) -> str:
    """Every number, the headline's interval, and how it was measured; for people."""
    headline = scores.numbers[scores.primary].value
    choice = " (the default)" if scores.default else ""
    lines = [
        f"{scores.title}, {scores.primary}: {headline:.2f} %, 95 % interval [{scores.headline.low:.2f}, "
        f"{scores.headline.high:.2f}]",
        f"{scores.examples:,} examples, resampled by {scores.groups:,} {scores.unit}",
        f"protocol {scores.protocol}{choice}: {scores.rules}",
        *(f"note: {note}" for note in scores.notes),
        "",
    ]
    width = max(len(name) for name in scores.numbers) + 2
    lines.append(f"{'':<{width}}{'score':>8}{'examples':>10}")
    for name, number in scores.numbers.items():
        examples = "" if number.examples is None else f"{number.examples:,}"
        lines.append(f"{name:<{width}}{number.value:8.2f}{examples:>10}".rstrip())
    return "\n".join(lines)
