"""Confusions for the page: a square table for a few classes, a list of wrong pairs for answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twelve.errors import shortened
from twelve.evaluation.confusions import CLASSES
from twelve.evaluation.results import Confusion, TaskResult

SHOWN = 10
"""Most pairs of answers that are listed."""


@dataclass(frozen=True, slots=True)
class MixedUp:
    """What a task confuses.

    Attributes:
        classes: of a square table; empty for a list.
        rows: (correct class, its examples, how often each class was predicted, in the order of ``classes``).
        pairs: the most frequent wrong pairs.
    """

    title: str
    classes: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[int]]]
    pairs: Sequence[Confusion]


def mixed_up(results: Sequence[TaskResult]) -> list[MixedUp]:
    """The confusions of every task that has some."""
    return [_of(result) for result in results if result.confusions]


def _of(result: TaskResult) -> MixedUp:
    classes = sorted({name for each in result.confusions for name in (each.wanted, each.said)})
    total = sum(each.examples for each in result.confusions)
    if len(classes) <= CLASSES and total == result.examples:
        counts = {(each.wanted, each.said): each.examples for each in result.confusions}
        of = {each.wanted: each.of for each in result.confusions}
        rows = [(name, of[name], [counts.get((name, other), 0) for other in classes]) for name in classes if name in of]
        return MixedUp(result.title, classes, rows, ())
    pairs = [
        Confusion(_short(each.wanted), _short(each.said), each.examples, each.of) for each in result.confusions[:SHOWN]
    ]
    return MixedUp(result.title, (), (), pairs)


def _short(value: str) -> str:
    return shortened(value, 60) or "(no accepted answer)"
