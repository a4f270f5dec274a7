"""The official number of a harness's log beside the harness's own, and why they differ."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from twelve.errors import ConfigError, DataError, MissingData, nearest
from twelve.harness import lmms_eval, vlmevalkit
from twelve.harness.answers import check_once, matched, matched_boxes
from twelve.harness.boxes import AS_WRITTEN, READINGS, found_in, in_pixels, reading_of
from twelve.io.files import replacing
from twelve.score import WARNING, Scores, score
from twelve.tasks.base import Task, all_tasks, get
from twelve.types.examples import Example
from twelve.types.logged import HarnessLog, Logged
from twelve.types.predictions import Prediction

HARNESSES: dict[str, ModuleType] = {lmms_eval.NAME: lmms_eval, vlmevalkit.NAME: vlmevalkit}
SHOWN = 5
"""Answers that are shown of those that count differently."""
_FROM_LOG = (
    "the correct answers are taken from the log, where the harness may have changed them; --truth takes them from the "
    "official files, and gives every official number"
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An answer that the harness and the official program score differently, 0..1."""

    place: str
    text: str
    prediction: str
    theirs: float
    official: float


@dataclass(frozen=True, slots=True)
class LogComparison:
    """A harness's number and the official one of the same answers, in per cent.

    Attributes:
        metric: the harness's name of its number, which is ``theirs``, over ``theirs_examples``.
        truth: the official files; empty if what is right is taken from the log itself.
        scores: all official numbers; None without official files.
        differing: how many answers count differently; ``shown`` are the first of them.
        reasons: why, in general.
        notes: how the log was read.
    """

    task: str
    title: str
    harness: str
    log: str
    metric: str
    theirs: float
    theirs_examples: int
    official: float
    examples: int
    protocol: str
    truth: tuple[str, ...]
    scores: Scores | None
    differing: int
    shown: tuple[Disagreement, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def apart(self) -> bool:
        """Whether the two numbers differ as they are shown, to two decimals."""
        return f"{self.theirs:.2f}" != f"{self.official:.2f}"


def compare(
    task: str,
    harness: str,
    log: Path,
    truth: Sequence[Path] = (),
    protocol: str | None = None,
    boxes: str | None = None,
    save: Path | None = None,
) -> LogComparison:
    """Score a harness's log officially.

    Args:
        harness: a key of :data:`HARNESSES`.
        truth: official files, as :func:`twelve.score.score` takes them; without them, what is right must be in the log.
        boxes: how answers write boxes, a key of :data:`twelve.harness.boxes.READINGS`; None: as the harness asks for.
        save: write the answers to this file, in the official result format; needs ``truth``, whose ids they get.

    Raises:
        ConfigError: no such harness, protocol or reading, the harness does not measure the task, or ``save`` without
            ``truth``.
        DataError: the log or an official file is missing, malformed, or of something else.
    """
    found, reader = get(task), HARNESSES.get(harness)
    if reader is None:
        names = ", ".join(HARNESSES)
        raise ConfigError(f"unknown harness {harness!r}{nearest(harness, HARNESSES)}", remedy=f"choose among {names}")
    chosen = found.protocol_name(protocol, found.scoring_protocols or found.protocols)
    if save is not None and not truth:
        raise ConfigError("--save needs the ids of the official files", remedy="give them with --truth FILE")
    for path in (log, *truth):
        if not path.is_file():
            raise MissingData("no such file", file=path, remedy="check the path")
    kind, rows = _read(found, harness, reader, log)
    told = [_told(found, row, log) for row in rows]
    if not truth:
        check_once(log, rows, [reader.name_of(row) for row in rows])
    if boxes is not None and found.kind != "region":
        raise ConfigError(f"answers of {found.title} are not boxes", remedy="leave --boxes out")
    examples = _examples(found, told, rows, log, truth)
    predicted, notes = _predictions(found, rows, examples, log, boxes or kind.boxes)
    if found.kind == "region" and not truth and chosen != next(iter(found.scoring_protocols)):
        _in_pixels(examples, rows, log, chosen)
    scores = _official(found, examples, predicted, truth, chosen, log, save) if truth else None
    each = [found.contribution(e, value, chosen) for e, value in zip(examples, predicted, strict=True)]
    own = [row.own for row in rows if row.own is not None]
    differing = _differing(rows, each)
    theirs = 100 * float(np.mean(own))
    written = reader.told(log, kind)
    if written is not None and abs(written[1] - theirs) > 0.01:
        notes.append(f"{WARNING}{written[0].name} says {written[1]:.2f}, the answers of the log give {theirs:.2f}")
    if not truth:
        notes.append(_FROM_LOG)
    return LogComparison(
        task=found.name,
        title=found.title,
        harness=harness,
        log=str(log),
        metric=kind.metric,
        theirs=theirs,
        theirs_examples=len(own),
        official=100 * float(np.mean(each)) if scores is None else scores.numbers[scores.primary].value,
        examples=len(each),
        protocol=chosen,
        truth=tuple(map(str, truth)),
        scores=scores,
        differing=len(differing),
        shown=tuple(differing[:SHOWN]),
        reasons=kind.differs,
        notes=tuple(notes),
    )


def _differing(rows: Sequence[Logged], official: Sequence[float]) -> list[Disagreement]:
    """The answers that count differently."""
    return [
        Disagreement(row.place, row.text, row.prediction, row.own, value)
        for row, value in zip(rows, official, strict=True)
        if row.own is not None and abs(row.own - value) > 1e-9
    ]


def _read(task: Task, harness: str, reader: ModuleType, log: Path) -> tuple[HarnessLog, list[Logged]]:
    """The kind of a log and its answers to this task."""
    kinds = task.harnesses.get(harness, ())
    if not kinds:
        able = sorted(name for name, each in all_tasks().items() if harness in each.harnesses)
        raise ConfigError(
            f"{task.title} has no logs of {harness}: {task.no_harness}", remedy=f"choose among {', '.join(able)}"
        )
    name = reader.dataset_of(log)
    if name and not any(_names(kind, name) for kind in kinds):
        others = [o.name for o in all_tasks().values() for k in o.harnesses.get(harness, ()) if _names(k, name)]
        if others:
            remedy = f"twelve score {others[0]} --from {harness} LOG"
            raise DataError(f"this log is of {name}, not of {task.title}", file=log, remedy=remedy)
    kind, rows = reader.read(log, kinds)
    rows = [row for row in rows if task.is_logged(row)]
    if not rows:
        raise DataError(f"contains no answers to {task.title}", file=log, remedy="give the log of this dataset")
    return kind, rows


def _names(kind: HarnessLog, name: str) -> bool:
    return re.search(f"(^|_){kind.datasets}$", name) is not None


def _told(task: Task, row: Logged, log: Path) -> Example | None:
    try:
        return task.logged_example(row)
    except (ValueError, TypeError) as error:
        raise DataError(str(error), file=log, record=row.place, remedy="give the log as the harness wrote it") from None


def _examples(
    task: Task, told: Sequence[Example | None], rows: Sequence[Logged], log: Path, truth: Sequence[Path]
) -> list[Example]:
    """The example of every answer: of the official files, or as the log tells it; raises DataError where it does not
    tell what is right."""
    if truth:
        known = task.truth_examples(truth)
        return matched_boxes(log, rows, told, known) if task.kind == "region" else matched(log, rows, known)
    for row, example in zip(rows, told, strict=True):
        if example is None:
            raise DataError(
                "the log does not tell what is right",
                file=log,
                record=row.place,
                remedy="give the official files of the logged split: --truth FILE (docs/score.md)",
            )
    return [example for example in told if example is not None]


def _predictions(
    task: Task, rows: Sequence[Logged], examples: Sequence[Example], log: Path, asked: str
) -> tuple[list[Any], list[str]]:
    """The answers, and notes on how they were read: texts, or boxes in pixels (in fractions where the examples are)."""
    if task.kind != "region":
        return [row.prediction for row in rows], []
    written = [found_in(row.prediction) for row in rows]
    reading = reading_of(written) if asked == AS_WRITTEN else asked
    if not reading:
        problem = (
            "some boxes have numbers above 1,000, and others none" if asked else "boxes can be pixels or thousandths"
        )
        raise DataError(
            problem, file=log, remedy="say how the model writes boxes: --boxes pixels, thousandths or fractions"
        )
    if reading not in READINGS:
        raise ConfigError(f"unknown way to write boxes: {reading!r}", remedy=f"choose among {', '.join(READINGS)}")
    boxes = []
    for row, box, example in zip(rows, written, examples, strict=True):
        try:
            boxes.append(in_pixels(box, reading, example.facts["size"]))
        except ValueError as error:
            raise DataError(
                f"{error}, which the log does not tell",
                file=log,
                record=row.place,
                remedy="give the official files: --truth 'refs(...).p' --truth instances.json",
            ) from None
    without = sum(box is None for box in boxes)
    note = f"boxes are read as {reading}" + (", by the largest number of all" if asked == AS_WRITTEN else "")
    return boxes, [note + (f"; without a box, counted as wrong: {without:,}" if without else "")]


def _in_pixels(examples: Sequence[Example], rows: Sequence[Logged], log: Path, protocol: str) -> None:
    """Raise DataError where boxes are fractions, which a protocol that counts edge pixels cannot compare."""
    for row, example in zip(rows, examples, strict=True):
        if example.facts["size"] == (1.0, 1.0):
            raise DataError(
                f"protocol {protocol} counts pixels, and the log tells boxes as fractions",
                file=log,
                record=row.place,
                remedy="give the official files with --truth, or leave --protocol out",
            )


def _official(
    task: Task,
    examples: Sequence[Example],
    predicted: Sequence[Any],
    truth: Sequence[Path],
    protocol: str,
    log: Path,
    save: Path | None,
) -> Scores:
    """Score the answers as an official result file, and keep that file as ``save``."""
    told = task.submission(examples, [Prediction(value, 1.0) for value in predicted])
    content = told if isinstance(told, bytes) else told.encode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / task.result_name("log")
        file.write_bytes(content)
        try:
            scores = score(task.name, truth, file, protocol)
        except DataError as error:
            if error.file != file:
                raise
            remedy = "log the whole split, or leave --truth out where the log tells what is right"
            raise DataError(error.problem, file=log, record=error.record, remedy=remedy) from None
    if save is not None:
        with replacing(save) as new:
            new.write_bytes(content)
    return scores
