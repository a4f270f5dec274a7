"""Tables of a study beside the paper's numbers, which are the published ones of :mod:`twelve.published`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twelve import published
from twelve.metrics.bootstrap import Interval
from twelve.published import PublishedNumber
from twelve.study.cells import gain_of
from twelve.study.finding_types import Cell, Comparison, Findings, Row, Score
from twelve.tasks.base import is_stand_in

MAIN: Mapping[str, tuple[str, ...]] = {
    "joint-vs-single": ("single-task, clean", "all tasks, clean"),
    "real-photographs": ("single-task, clean", "all tasks, clean", "all, then fine-tuned, clean"),
    "groups": ("single-task, clean", "group, clean", "all tasks, clean", "all but verification, clean"),
    "fine-tuning": ("single-task, clean", "all tasks, clean", "all, then fine-tuned, clean"),
}
"""Study -> rows of the paper's main table that answer the same question."""
OTHER: Mapping[str, str] = {
    "ablations": "ablations",
    "joint-vs-single": "claims",
    "real-photographs": "claims",
    "fine-tuning": "claims",
}
"""Study -> a further table of the paper that answers the same question."""


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task: scores of the arms and of the paper; None where there is none."""

    row: Row
    scores: tuple[Score | None, ...]
    paper: tuple[PublishedNumber | None, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """The table of scores.

    Attributes:
        paper: (row of the paper's main table, its heading, which says "recalled" where a number is).
        average: the paper's mean over the twelve tasks, in the order of ``paper``.
    """

    lines: tuple[TaskLine, ...]
    paper: tuple[tuple[str, str], ...]
    average: tuple[PublishedNumber | None, ...]

    @property
    def by_arm(self) -> bool:
        """Whether arms are rows and tasks are columns: where there are more arms than tasks."""
        return any(len(line.scores) > len(self.lines) for line in self.lines)


def beside(found: Findings) -> Beside:
    """Every task of a study, with the rows of the paper that answer the same question."""
    names = MAIN.get(found.title, ())
    known = {row.name for row in found.rows if not is_stand_in(row.name, short(found, row.name))}
    columns = []
    for name in names:
        numbers = [number for number in published.rows("main") if number.row == name and number.column in known]
        if numbers:
            columns.append((name, published.heading(numbers)))
    lines = tuple(
        TaskLine(
            row,
            tuple(row.scores.get(arm.name) for arm in found.arms),
            tuple(published.find("main", name, row.name) if row.name in known else None for name, _ in columns),
        )
        for row in found.rows
    )
    average = tuple(published.find("main", name, "average") for name, _ in columns)
    return Beside(lines, tuple(columns), average)


def further(found: Findings) -> tuple[PublishedNumber, ...]:
    """Numbers of the paper on the same question that are not of a task."""
    table = OTHER.get(found.title)
    return published.rows(table) if table else ()


def unlearned(comparison: Comparison) -> list[Cell]:
    """Cells of a comparison that are no gain and no loss."""
    return [cell for cell in comparison.cells if not cell.learned]


def titled(found: Findings, tasks: Sequence[str]) -> list[str]:
    """Titles of tasks without their metrics."""
    return [short(found, task) for task in tasks]


def short(found: Findings, task: str) -> str:
    """Title of a task without its metric."""
    row = found.row(task)
    return task if row is None else row.short


def signed(interval: Interval | None) -> str:
    """``+1.2 [+0.3, +2.1]``, or a dash."""
    return "–" if interval is None else minus(gain_of(interval))


def minus(text: str) -> str:
    """With the minus sign, U+2212, before numbers."""
    return re.sub(r"(?<![\w.)-])-(?=\d)", "−", text)
