"""Kinds of examples, whatever the task: by its text, its candidates, and the types that the dataset's files name.

kind        values
words       length of the text in words: 1-3, 4-6, ...
opening     the first two words of the text, where many texts begin so
colour      the one colour word of the text, none, several
count       whether the text asks how many, or names a number
candidates  number of candidate boxes: 1-5, 6-10, ...
target      the answer itself, where it is one of few words, true or false
others      facts that are text (question_type, structural, ..., and the data root's own kinds, own_kinds.py)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from twelve.types.examples import Example

MOST = 70
"""A kind with more values than this says nothing; the dataset with the most named types of questions has 65."""
OPENINGS = 12
"""Most openings; all others are one value."""
OTHER = "other"
TARGET = "target"
ANSWERS = (TARGET, "label")
"""Kinds whose values are answers: ``label`` is a fact of tasks with open answers."""
WORDS = (3, 6, 10, 15)
"""Longest texts, in words, of the values of ``words``."""
BOXES = (5, 10, 15, 20)
"""Most candidates of the values of ``candidates``."""
COLOURS = frozenset(
    ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray", "grey", "silver",
     "gold", "golden", "tan", "beige", "turquoise", "violet", "cyan", "magenta")
)  # fmt: skip
NUMBERS = frozenset(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"))
"""Without "one", which mostly stands for a thing ("the left one")."""
_WORD = re.compile(r"[^\W_]+")


def kinds_of(examples: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    """Kind -> (N,) value of each example, for the kinds that all examples have and that divide them."""
    columns: dict[str, list[str]] = {}
    for example in examples:
        for kind, value in _values(example):
            columns.setdefault(kind, []).append(value)
    if "opening" in columns:
        columns["opening"] = _frequent(columns["opening"], OPENINGS)
    return {
        kind: tuple(values)
        for kind, values in columns.items()
        if len(values) == len(examples) and 1 < len(set(values)) <= MOST
    }


def length_type(count: int, limits: Sequence[int]) -> str:
    """The range that a number falls in: of the limits (3, 6), ``1-3``, ``4-6`` or ``7+``."""
    least = 1
    for most in limits:
        if count <= most:
            return f"{least}-{most}"
        least = most + 1
    return f"{least}+"


def _values(example: Example) -> Iterator[tuple[str, str]]:
    words = _WORD.findall(example.text.lower())
    yield "words", length_type(len(example.text.split()), WORDS)
    yield "opening", " ".join(words[:2])
    named = sorted(COLOURS.intersection(words))
    yield "colour", "none" if not named else named[0] if len(named) == 1 else "several"
    many = "how many" in " ".join(words)
    yield "count", "how many" if many else "a number" if any(map(_is_number, words)) else "none"
    if example.candidates:
        yield "candidates", length_type(len(example.candidates), BOXES)
    if isinstance(example.target, str | bool):
        yield TARGET, str(example.target)
    yield from _named(example.facts)


def _is_number(word: str) -> bool:
    return word.isdigit() or word in NUMBERS


def _named(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Facts that are text, also those in a record of facts."""
    for name, value in facts.items():
        if isinstance(value, str):
            yield name, value
        elif is_dataclass(value) and not isinstance(value, type):
            yield from _named({field.name: getattr(value, field.name) for field in fields(value)})


def _frequent(values: Sequence[str], most: int) -> list[str]:
    """The values with all but the ``most`` most frequent ones replaced."""
    kept = {value for value, _ in Counter(values).most_common(most)}
    return [value if value in kept else OTHER for value in values]
