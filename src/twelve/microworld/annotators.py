"""Simulates ten annotators who partly disagree, for the answers in VQA's annotation files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from twelve.microworld.facts import VALUES
from twelve.microworld.scene import GROUNDS

PEOPLE = 10
AGREE = (10, 9, 9, 8, 8, 7, 7, 6, 5, 4)
"""Possible numbers of people who give the right answer, all equally likely."""
DOUBT = 0.02
"""How often only three do, so that the official metric scores the right answer 0.9."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "yes": ("yeah", "yep"),
    "no": ("nope", "not really"),
    "0": ("none", "zero"),
    "1": ("one",),
    "2": ("two",),
    "3": ("three",),
    "4": ("four",),
    "ball": ("sphere",),
    "umbrella": ("parasol",),
    "car": ("automobile",),
    "boat": ("ship", "sailboat"),
    "cup": ("mug", "a cup"),
    "plant": ("potted plant", "flower"),
    "clock": ("watch",),
    "book": ("a book",),
    "red": ("dark red", "crimson"),
    "purple": ("violet",),
    "blue": ("light blue",),
    "white": ("off white",),
    "large": ("big",),
    "small": ("little", "tiny"),
    "striped": ("stripes",),
    "dotted": ("dots", "polka dots"),
    "plain": ("solid", "no pattern"),
    "grass": ("lawn",),
    "sand": ("beach",),
    "stone": ("rock", "pavement"),
    "middle": ("center",),
    "kitchenware": ("dishes",),
    "household": ("household item",),
}
"""Synonyms that people use; the official metric distinguishes some of them."""

_POOLS: Sequence[Sequence[str]] = (
    ("yes", "no"),
    tuple(str(number) for number in range(9)),
    GROUNDS,
    ("left", "right", "above", "below"),
    *VALUES.values(),
)


def answer_type(answer: str) -> str:
    """VQA's type of an answer."""
    return "yes/no" if answer in ("yes", "no") else "number" if answer.isdigit() else "other"


def ten_answers(answer: str, random: Random) -> list[dict[str, Any]]:
    """The field ``answers`` of an annotation: most people give ``answer``, and no two make the same mistake."""
    agree = 3 if random.random() < DOUBT and answer_type(answer) == "other" else random.choice(AGREE)
    others = [*SYNONYMS.get(answer, ()) * 2, *_slips(answer, random)]
    random.shuffle(others)
    said = [answer] * agree + others[: PEOPLE - agree]
    said += [answer] * (PEOPLE - len(said))
    random.shuffle(said)
    return [
        {
            "answer": text,
            "answer_confidence": random.choice(("yes", "yes", "yes", "maybe") if text == answer else ("maybe", "no")),
            "answer_id": number + 1,
        }
        for number, text in enumerate(said)
    ]


def _slips(answer: str, random: Random) -> list[str]:
    """Plausible wrong answers."""
    pool = next(pool for pool in _POOLS if answer in pool)
    if answer.isdigit():
        return [str(number) for number in (int(answer) - 1, int(answer) + 1) if number >= 0]
    others = [other for other in pool if other != answer]
    return random.sample(others, min(2, len(others)))
