"""A run folder as the report reads it: everything but the configuration may be missing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from twelve.config import load
from twelve.errors import ConfigError, DataError, quoted
from twelve.evaluation import record
from twelve.evaluation.record import Recorded
from twelve.evaluation.results import read_results
from twelve.formats.records import finite
from twelve.io.files import is_there
from twelve.io.json_file import decode, log_lines, read_object
from twelve.io.yaml_text import read_text
from twelve.settings import RunConfig
from twelve.tasks.base import Task, get
from twelve.tasks.custom import own_tasks


@dataclass(frozen=True, slots=True)
class _Cleaned:
    removed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    overlap: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sizes:
    train: int = 0
    validation: int = 0


@dataclass(frozen=True, slots=True)
class _Data:
    """What the report takes from data.json."""

    cleaned: _Cleaned = field(default_factory=_Cleaned)
    tasks: Mapping[str, _Sizes] = field(default_factory=dict)
    coverage: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class History:
    """What metrics.jsonl tells, task by task; iterations are counted from 1.

    Attributes:
        losses: task -> (iteration, mean loss since the line before).
        scores: task -> (iteration, score in 0..1 on the validation split).
        changes: task -> (iteration, "stop" or "go").
        kept: task that was learnt in an earlier run -> its score before the first step, and that of the model kept.
        iterations, pairs, seconds: where the run stands.
    """

    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    scores: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    changes: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    kept: dict[str, tuple[float, float]] = field(default_factory=dict)
    iterations: int = 0
    pairs: int = 0
    seconds: float = 0.0

    def stopped(self, task: str) -> list[tuple[int, int]]:
        """(from, to) iterations in which a task stood still."""
        spans, since = [], None
        for iteration, change in self.changes.get(task, ()):
            if change == "stop" and since is None:
                since = iteration
            elif change == "go" and since is not None:
                spans.append((since, iteration))
                since = None
        if since is not None and since < self.iterations:
            spans.append((since, self.iterations))
        return spans


@dataclass(frozen=True, slots=True)
class Run:
    """The files of a run folder, as plain trees; those that are not there are empty."""

    folder: Path
    config: RunConfig
    config_text: str
    data: Mapping[str, Any]
    machine: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    history: History
    predictions: Mapping[str, Sequence[Recorded]]

    def task(self, name: str) -> Task:
        """A task by its name, among them the run's own; raises ConfigError when there is none."""
        return get(name, own_tasks(self.config.tasks))


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        ConfigError: the folder holds no run, or its configuration is not valid.
        DataError: one of its files is damaged; names it.
    """
    path = folder / "config.yaml"
    if not is_there(path, ConfigError):
        problem = "this folder holds no run" if folder.is_dir() else "no such run"
        raise ConfigError(problem, file=folder, remedy="train one: twelve train CONFIG")
    config = load(path)
    predictions, evaluation = folder / record.FILE, folder / "evaluation.json"
    if is_there(evaluation, DataError):
        read_results(evaluation)  # nothing of it is shown before all of it is sound
    again = f"it is written again by: twelve train {quoted(path)} --resume"
    return Run(
        folder=folder,
        config=config,
        config_text=read_text(path),
        data=_data(folder / "data.json", again),
        machine=_tree(folder / "machine.json", again),
        evaluation=_tree(evaluation, f"measure it again: twelve evaluate {quoted(folder)}"),
        history=read_history(folder / "metrics.jsonl"),
        predictions=record.read(predictions) if is_there(predictions, DataError) else {},
    )


def read_history(path: Path) -> History:
    """What a run logged. A run that was resumed has some iterations twice: the later ones count."""
    lines: list[dict[str, Any]] = []
    step = latest = 0
    for text in log_lines(path):
        try:
            line = decode(text, strict=False)
        except ValueError:  # the last line of a run that was killed while writing it
            continue
        if not isinstance(line, dict) or type(line.get("iteration")) is not int:
            continue
        at, kind = line["iteration"], line.get("kind")
        if kind in ("step", "validation"):
            if at < latest or (kind == "step" and at == step):
                lines = [earlier for earlier in lines if earlier["iteration"] < at]
            latest, step = at, at if kind == "step" else min(step, at)
        lines.append(line)
    history = History()
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):  # a damaged line says nothing
            _take(history, line)
    return history


def _number(value: object) -> float:
    if not finite(value):
        raise ValueError("not a number")
    return float(value)  # type: ignore[arg-type]


def _take(history: History, line: Mapping[str, Any]) -> None:
    iteration, kind = line["iteration"], line.get("kind")
    if kind == "step":
        history.iterations = max(history.iterations, iteration)
        history.pairs = max(history.pairs, int(_number(line.get("pairs", 0))))
        history.seconds = max(history.seconds, _number(line.get("seconds", 0.0)))
        for task, loss in line.get("losses", {}).items():
            history.losses.setdefault(str(task), []).append((iteration, _number(loss)))
    elif kind == "validation":
        history.iterations = max(history.iterations, iteration)
        history.seconds = max(history.seconds, _number(line.get("seconds", 0.0)))
        history.scores.setdefault(str(line["task"]), []).append((iteration, _number(line["score"])))
    elif kind == "kept":
        history.kept[str(line["task"])] = _number(line["before"]), _number(line["after"])
    elif kind == "event" and line.get("event") in ("stop", "go") and "task" in line:
        history.changes.setdefault(str(line["task"]), []).append((iteration, line["event"]))
    elif kind == "event" and line.get("event") == "reset":  # every task goes again
        for task in history.changes:
            history.changes[task].append((iteration, "go"))


def _data(path: Path, remedy: str) -> Mapping[str, Any]:
    tree = _tree(path, remedy)
    try:
        TypeAdapter(_Data).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{first['msg']}, found {repr(first['input'])[:40]}"
        record = ".".join(map(str, first["loc"]))
        raise DataError(problem, file=path, record=record, remedy=remedy) from None
    return tree


def _tree(path: Path, remedy: str) -> Mapping[str, Any]:
    if not is_there(path, DataError):
        return {}
    return read_object(path, DataError, remedy=remedy)
