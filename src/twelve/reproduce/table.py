"""The table: what was measured, with its interval, beside what is published, with how that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from twelve.errors import TwelveError, one_line
from twelve.evaluation.results import TaskResult
from twelve.io import files
from twelve.progress import with_sign
from twelve.published import GRADES
from twelve.reproduce.folders import Folders
from twelve.reproduce.measures import Counts, Measure
from twelve.reproduce.published import compared
from twelve.tasks.base import get

EXTRACTED = "regions: extracted here, not the released features"


@dataclass(frozen=True, slots=True)
class TableRow:
    """One measured number and one published one.

    Attributes:
        gallery: images that were ranked, where they are fewer than the protocol's; else None.
        score, low, high: the measured number and its 95% interval, per cent.
        published: of a model, per cent, with its number of decimals; None if there is no such number.
        grade: how that is known, see :data:`twelve.published.GRADES`.
        differs, unchecked: see :class:`~twelve.reproduce.published.NumberBeside`.
        note: what else must be known to read the published number, or "".
    """

    task: str
    title: str
    split: str
    protocol: str
    metric: str
    examples: int
    score: float
    low: float
    high: float
    gallery: int | None = None
    published: float | None = None
    digits: int = 1
    model: str = ""
    grade: str = ""
    differs: tuple[str, ...] = ()
    unchecked: str = ""
    note: str = ""

    @property
    def difference(self) -> float | None:
        return None if self.published is None else self.score - self.published

    @property
    def verdict(self) -> str:
        """What may be concluded."""
        if self.published is None:
            return "not published"
        if self.differs:
            return "not comparable: " + "; ".join(self.differs)
        inside = self.low <= self.published <= self.high
        found = f"the published number lies {'within' if inside else 'outside'} the interval"
        return f"{found}; {self.unchecked}" if self.unchecked else found


@dataclass(frozen=True, slots=True)
class Table:
    """All rows, and the tasks without one.

    Attributes:
        failures: task -> why it was not measured.
    """

    rows: Sequence[TableRow]
    failures: Mapping[str, str]

    def __str__(self) -> str:
        """Markdown."""
        head = ("task", "split, metric, protocol", "here [95%]", "published", "known", "difference", "verdict")
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in self.rows]
        for task, why in self.failures.items():
            lines.append(f"| {get(task).title} | | not measured | | | | {_cell(why)} |")
        return "\n".join(lines)


def write(
    folders: Folders,
    measured: Sequence[tuple[Measure, TaskResult, Counts]],
    failures: Mapping[str, TwelveError],
    *,
    extracted: bool,
) -> Table:
    """Make the table, and write it as Markdown and as JSON."""
    rows = [row for each in measured for row in _rows(*each, (EXTRACTED,) if extracted else ())]
    table = Table(rows, {task: str(error) for task, error in failures.items()})
    with files.replacing(folders.table) as partial:
        partial.write_text(f"{table}\n", encoding="utf-8")
    with files.replacing(folders.numbers) as partial:
        tree = {
            "rows": [asdict(row) | {"difference": row.difference, "verdict": row.verdict} for row in rows],
            "failures": table.failures,
        }
        partial.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return table


def _rows(measure: Measure, result: TaskResult, counts: Counts, differs: tuple[str, ...]) -> list[TableRow]:
    row = TableRow(
        task=measure.task,
        title=result.title,
        split=result.protocol.split,
        protocol=measure.protocol,
        metric=result.metric,
        examples=result.examples,
        score=result.score.mean,
        low=result.score.low,
        high=result.score.high,
        gallery=_smaller_gallery(measure, result),
    )
    return [
        replace(
            row,
            published=each.number.value,
            digits=each.number.digits,
            model=each.number.model,
            grade=each.number.grade,
            differs=(*each.differs, *differs),
            unchecked=each.unchecked,
            note=each.number.note,
        )
        for each in compared(result, counts)
    ] or [row]


def _smaller_gallery(measure: Measure, result: TaskResult) -> int | None:
    ranked = result.protocol.gallery
    asked = get(measure.task).protocol(measure.split, measure.protocol).gallery
    return ranked if ranked is not None and asked is not None and ranked < asked else None


def _cells(row: TableRow) -> list[str]:
    published = known = difference = ""
    if row.published is not None and row.difference is not None:
        published = f"{row.published:.{row.digits}f} ({row.model}{', ' if row.note else ''}{row.note})"
        known, difference = GRADES[row.grade], with_sign(row.difference)
    here = f"{row.score:.2f} [{row.low:.2f}, {row.high:.2f}]"
    protocol = row.protocol if row.gallery is None else f"a gallery of all {row.gallery:,} images"
    what = f"{row.split}, {row.metric}, {protocol}; {row.examples:,} examples"
    return [_cell(text) for text in (row.title, what, here, published, known, difference, row.verdict)]


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")
