"""Published scores as a table and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from itertools import groupby

from twelve.published import GRADES, RECALLED, PublishedNumber, find, scores

NOT_STATED = "not stated"
WIDTH = 80
"""Columns of a terminal."""
_READ = "read"
_INDENT = " " * 21
"""Width of the columns before the model."""


def table(*tasks: str) -> str:
    """The scores of some tasks, or of all, below what was measured: split, metric and protocol.

    A score that was read and is also recalled is one row. Different scores of one model are marked as such.

    Raises:
        ConfigError: no score of one of these tasks was published.
    """
    found = _of(tasks, _by_task)
    lines: list[str] = []
    for _, group in groupby(found, key=_measured):
        lines += [*_group(list(group)), ""]
    known = {number.grade for number in found}
    for grade, meaning in _LEGEND.items():
        if grade in known:
            lines += textwrap.wrap(f"{_known(grade)}: {meaning}", WIDTH)
    return "\n".join([*lines, "M: million parameters", _COMPARE])


_COMPARE = "Compare your score only with those of the same split, metric and protocol."
_LEGEND = {
    "S": GRADES["S"].removeprefix("read "),
    "C": GRADES["C"].removeprefix("read "),
    "R": "from memory. The value, its split and its protocol were not checked against the paper. The values agree with "
    "their averages and with those that were read.",
}


def _known(grade: str) -> str:
    return RECALLED if grade == "R" else _READ


def _measured(number: PublishedNumber) -> tuple[str, ...]:
    return number.task, number.split, number.unit, number.protocol


def _group(numbers: Sequence[PublishedNumber]) -> list[str]:
    """The lines about scores of one measurement."""
    task, split, unit, protocol = _measured(numbers[0])
    lines = [f"{task}: {unit} on {split or f'a split {NOT_STATED}'}, protocol {protocol or NOT_STATED}"]
    for number in (shown := merged(numbers)):
        others = [each for each in shown if each.model == number.model and each is not number]
        remarks = [
            number.note,
            number.apart,
            *(f"another source: {each.plain()}, {_known(each.grade)}" for each in others),
        ]
        words = ", ".join(filter(None, [number.model, _parameters(number)]))
        words += f" ({'; '.join(filter(None, remarks))})" if any(remarks) else ""
        start = f"  {number.plain():>6}  {_known(number.grade):<8}"
        lines += textwrap.wrap(words, WIDTH, initial_indent=f"{start:<{len(_INDENT)}}", subsequent_indent=_INDENT)
    return lines


def merged(numbers: Iterable[PublishedNumber]) -> list[PublishedNumber]:
    """Scores of one measurement, without recalled ones that are also read; the latter take their parameters."""
    kept: list[PublishedNumber] = []
    for number in numbers:
        place = next((row for row, other in enumerate(kept) if _same(number, other)), None)
        if place is None:
            kept.append(number)
            continue
        first, last = sorted((kept[place], number), key=lambda each: each.recalled)
        millions = last if first.parameters is None else first
        kept[place] = replace(first, parameters=millions.parameters, table=millions.table, row=millions.row)
    return kept


def _same(one: PublishedNumber, other: PublishedNumber) -> bool:
    digits = min(one.digits, other.digits)
    return one.model == other.model and round(one.value, digits) == round(other.value, digits)


def _by_task(task: str | None) -> list[PublishedNumber]:
    """The scores of one task after those of another, in the paper's order of tasks, those of one measurement
    together."""
    found = scores(task)
    order = list(dict.fromkeys(number.task for number in scores()))
    first = list(dict.fromkeys(map(_measured, found)))
    return sorted(found, key=lambda number: (order.index(number.task), first.index(_measured(number))))


def _of(tasks: Sequence[str], find_scores: Callable[[str | None], Sequence[PublishedNumber]]) -> list[PublishedNumber]:
    """The scores of some tasks, each once, in the given order; without a task, of all."""
    return [number for task in dict.fromkeys(tasks or (None,)) for number in find_scores(task)]


def as_json(*tasks: str) -> str:
    """The same for programs; ``grade`` is explained by ``grades``."""
    return json.dumps({"grades": GRADES, "scores": [asdict(number) for number in _of(tasks, scores)]}, indent=1)


def _parameters(number: PublishedNumber) -> str:
    if number.parameters is None:
        return ""
    models = find(number.table, number.row, "models")
    several = f" in {models.plain()} models" if models is not None and models.value > 1 else ""
    return f"{number.parameters:,.0f} M{several}"
