"""Differences between arms on test examples that are like those of training in one respect, such as their wording, and
on examples that are not (evaluation/own_kinds.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twelve.metrics.bootstrap import Interval
from twelve.progress import with_sign
from twelve.study.bootstrap import by_bootstrap_alone, significant
from twelve.study.cells import MARK, gain_of, table
from twelve.study.finding_types import Cell, Comparison, Findings, Part

MOST_NAMED = 3
"""Most differences that the sentence names."""


def told(found: Findings) -> list[str]:
    """Which significant differences come mostly from examples unlike those of training, in one sentence for each
    kind."""
    every = list(_owed(found))
    return [
        _said(found, [each for each in every if each[2].kind == kind])
        for kind in dict.fromkeys(part.kind for _, _, part in every)
    ]


def _owed(found: Findings) -> Iterator[tuple[Comparison, Cell, Part]]:
    """Significant differences on learned tasks that are less than half as large on the examples that are like those of
    training; with the difference on these examples."""
    for comparison in found.comparisons:
        for cell in comparison.cells:
            if not (cell.learned and cell.significant):
                continue
            for part in cell.parts:
                if part.seen and cell.significant * part.points.mean < abs(cell.points.mean) / 2:
                    yield comparison, cell, part


def _said(found: Findings, every: list[tuple[Comparison, Cell, Part]]) -> str:
    kind, several = every[0][2].kind, len(found.comparisons) > 1
    named = [
        f"{f'{comparison.contrast.name} on ' * several}{_title(found, cell)} {with_sign(cell.points.mean)} "
        f"(seen: {gain_of(seen.points)})"
        for comparison, cell, seen in every[:MOST_NAMED]
    ]
    more = f"; and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    head = "Differences" if len(every) > 1 else "Difference"
    return f"{head} mostly on unseen {kind}s: {'; '.join(named)}{more}."


def _title(found: Findings, cell: Cell) -> str:
    row = found.row(cell.task)
    return cell.task if row is None else row.title


def by_part(found: Findings, *, marked: bool = False) -> str:
    """A table of the differences on both parts of the examples of each learned task; empty if no kind was recorded.

    Args:
        marked: whether significant ones are bold, as in the other tables of the page.
    """
    kinds = list(dict.fromkeys(part.kind for each in found.comparisons for cell in each.cells for part in cell.parts))
    rows = [
        [each.contrast.name, _title(found, cell), _gain(cell.points, cell.seeds, marked),
         *(_part(cell, kind, seen, marked) for kind in kinds for seen in (True, False))]
        for each in found.comparisons
        for cell in each.cells
        if cell.learned and cell.parts
    ]  # fmt: skip
    if not rows:
        return ""
    columns = [f"{kind} {value}" for kind in kinds for value in ("seen", "unseen (share)")]
    said = "Seen: the training set has texts of this wording or combination; unseen: only the test set has."
    header = ["difference, official metric", "task", "all", *columns]
    return f"{said}\n\n" + table(header, rows)


def _gain(gain: Interval, seeds: Sequence[float], marked: bool) -> str:
    bold = "**" * (marked and significant(gain, seeds) != 0)
    return f"{bold}{gain_of(gain)}{bold}{MARK * by_bootstrap_alone(gain, seeds)}"


def _part(cell: Cell, kind: str, seen: bool, marked: bool) -> str:
    for part in cell.parts:
        if (part.kind, part.seen) == (kind, seen):
            share = "" if seen else f" ({part.share:.0f}%)"
            return _gain(part.points, part.seeds, marked) + share
    return ""
