"""Published numbers, each with how it is known: the paper's, and those of other models on the same tasks.

Source: Lu, Goswami, Rohrbach, Parikh, Lee: "12-in-1: Multi-Task Vision and Language Representation Learning" (CVPR
2020).
numbers.tsv has one number a line:

    table  row               column  value  unit      grade  task  split     protocol  model              ...
    main   all tasks, clean  vqa     72.57  accuracy  R      vqa   test-dev  official  12-in-1, all tasks, clean

Tables: ``main`` (ways to train x tasks, ``average``, ``parameters``, ``models``), ``relations`` (how much a group gains
from another, as a share of its score), ``ablations``, ``results`` (of the fine-tuned models), ``claims`` and ``others``
(other models). Tasks, splits and protocols have the project's names; groups are called after the skill of their tasks
(``Output.skill``). An empty split or protocol is one that the source, as it was read, does not state.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from twelve.errors import ConfigError, nearest

GRADES = {"S": "read in a published source", "C": "read in the authors' program", "R": "recalled"}
"""Grade -> how a number is known. Recalled numbers were written down from memory: they agree with their own averages,
but could not be compared with the paper."""
RECALLED = "recalled"


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """One published number.

    Attributes:
        value: in ``unit``; scores in per cent.
        digits: number of decimals that were published.
        grade: one of :data:`GRADES`.
        task, split, protocol, model: of a score, what was measured; "" is unknown. ``unit`` is its metric.
        parameters: millions of the model's; None: unknown.
        apart: why it is compared with no other number, or "".
        note: what else must be known to read it, or "".
    """

    table: str
    row: str
    column: str
    value: float
    digits: int
    unit: str
    grade: str
    task: str
    split: str
    protocol: str
    model: str
    parameters: float | None
    apart: str
    note: str

    @property
    def recalled(self) -> bool:
        return self.grade == "R"

    def __str__(self) -> str:
        """The number as it may be printed anywhere: with its grade, if it is recalled."""
        return f"{self.plain()} ({RECALLED})" if self.recalled else self.plain()

    def plain(self, signed: bool = False) -> str:
        """The number alone, for a table whose head is made by :func:`heading`."""
        return f"{self.value:{'+' if signed else ''},.{self.digits}f}"


def tables() -> tuple[str, ...]:
    """Names of the tables."""
    return tuple(dict.fromkeys(number.table for number in _numbers()))


def rows(table: str) -> tuple[PublishedNumber, ...]:
    """All numbers of a table, in the paper's order.

    Raises:
        ConfigError: there is no such table.
    """
    found = tuple(number for number in _numbers() if number.table == table)
    if not found:
        raise ConfigError(
            f"expected a table of published numbers, found {table!r}{nearest(table, tables())}",
            remedy=f"name one of {', '.join(tables())}",
        )
    return found


def find(table: str, row: str, column: str) -> PublishedNumber | None:
    """One number; None if the paper has none there.

    Raises:
        ConfigError: there is no such table.
    """
    return next((number for number in rows(table) if (number.row, number.column) == (row, column)), None)


def scores(task: str | None = None) -> tuple[PublishedNumber, ...]:
    """All scores, of one task or of all.

    Raises:
        ConfigError: no score of this task was published.
    """
    found = tuple(number for number in _numbers() if number.task and task in (None, number.task))
    if not found:
        known = tuple(dict.fromkeys(number.task for number in scores()))
        raise ConfigError(
            f"no published score of {task!r}{nearest(str(task), known)}", remedy=f"name one of {', '.join(known)}"
        )
    return found


def heading(numbers: Sequence[PublishedNumber], what: str = "the paper") -> str:
    """The head of a column of numbers: it says "recalled" if one of them is."""
    return f"{what}, {RECALLED}" if any(number.recalled for number in numbers) else what


@cache
def _numbers() -> tuple[PublishedNumber, ...]:
    text = files(__name__).joinpath("numbers.tsv").read_text(encoding="utf-8")
    found = []
    for line in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        value, parameters = line.pop("value"), line.pop("parameters")
        typed = {"value": float(value), "digits": len(value.partition(".")[2])}
        typed["parameters"] = float(parameters) if parameters else None  # type: ignore[assignment]
        found.append(PublishedNumber(**line, **typed))  # type: ignore[arg-type]
    return tuple(found)
