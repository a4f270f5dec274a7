"""Scores by type of example: the types that a dataset's files name, and the length of the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.study.results import ByType
from twelve.types.examples import Example

MOST = 70
"""A fact with more values than this is no type; VQA has 65 types of questions."""
LENGTHS = (3, 6, 10, 15)
"""Longest texts, in words, of the types by length."""


def by_type(examples: Sequence[Example], values: NDArray[np.float64]) -> ByType:
    """Kind of type -> type -> (mean score in per cent, examples).

    Args:
        values: (N,) contribution of each example to the score, 0..1.
    """
    rows: dict[str, dict[str, list[float]]] = {}
    for example, value in zip(examples, values, strict=True):
        for kind, name in _types(example):
            rows.setdefault(kind, {}).setdefault(name, []).append(float(value))
    return {
        kind: {name: (round(100 * float(np.mean(each)), 4), len(each)) for name, each in sorted(types.items())}
        for kind, types in rows.items()
        if 1 < len(types) <= MOST and sum(map(len, types.values())) == len(examples)
    }


def length_type(text: str) -> str:
    """The type of a text by its number of words: ``1-3``, ..., ``16+``."""
    count, least = len(text.split()), 1
    for most in LENGTHS:
        if count <= most:
            return f"{least}-{most}"
        least = most + 1
    return f"{least}+"


def _types(example: Example) -> Iterator[tuple[str, str]]:
    yield "words", length_type(example.text)
    if isinstance(example.target, str | bool):
        yield "target", str(example.target)
    yield from _named(example.facts)


def _named(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Facts that are text, also those in a record of facts."""
    for name, value in facts.items():
        if isinstance(value, str):
            yield name, value
        elif is_dataclass(value) and not isinstance(value, type):
            yield from _named({field.name: getattr(value, field.name) for field in fields(value)})
