"""Phrase grounding on Flickr30k Entities: recall among the first boxes at an IoU of at least 0.5.

There is no official program. Where an entity has several boxes, papers differ in what counts: the union box, or any one
of them ("MDETR", Kamath et al. 2021, reports both). The original 12-in-1 code took the first. IoU as in referring.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from twelve.metrics.referring import CONVENTIONS, Box

UNION, ANY, ORIGINAL = "union", "any", "original"
PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        UNION: "IoU of at least 0.5 with the box around all of the entity's boxes",
        ANY: "IoU of at least 0.5 with any of the entity's boxes",
        ORIGINAL: "IoU of more than 0.5 with the entity's first box, both edge pixels belong to a box, as the original "
        "12-in-1 code",
    }
)
"""Protocol -> when it counts a box as correct."""
TYPES = ("people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other")
"""Types of entities, in the order in which papers report them."""
FIRST = (1, 5, 10)
"""Values of k for which recall@k is reported."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """The boxes (x1, y1, x2, y2 in pixels; at least one) and the types of a phrase's entity."""

    boxes: Sequence[Box]
    types: Sequence[str]


@dataclass(frozen=True, slots=True)
class GroundingScores:
    """Shares in 0..1.

    Attributes:
        recall: k -> share of phrases with a correct box among the first k, for each k that some prediction reaches.
        by_type: type -> recall@1 over the phrases of that type; a phrase may have several types.
        counts: type -> number of phrases.
        correct: (N,) whether the first box of each phrase is correct.
        places: (N,) place of the first correct box of each phrase, from 0; None if there is none.
    """

    recall: Mapping[int, float]
    by_type: Mapping[str, float]
    counts: Mapping[str, int]
    correct: Sequence[bool]
    places: Sequence[int | None]


def evaluate(phrases: Sequence[Phrase], ranked: Sequence[Sequence[Box]], protocol: str = UNION) -> GroundingScores:
    """Recall over at least one phrase; ``ranked`` lists the predicted boxes of each, best first, and may be empty."""
    right = _RIGHT[protocol]
    places = [
        next((place for place, box in enumerate(boxes[: FIRST[-1]]) if right(box, phrase.boxes)), None)
        for phrase, boxes in zip(phrases, ranked, strict=True)
    ]
    longest = max(map(len, ranked))
    recall = {
        k: sum(place is not None and place < k for place in places) / len(places)
        for k in FIRST
        if k == 1 or k <= longest
    }
    correct = [place == 0 for place in places]
    by_type, counts = {}, {}
    for name in TYPES:
        among = [hit for hit, phrase in zip(correct, phrases, strict=True) if name in phrase.types]
        if among:
            by_type[name], counts[name] = sum(among) / len(among), len(among)
    return GroundingScores(recall, by_type, counts, correct, places)


def union(boxes: Sequence[Box]) -> tuple[float, float, float, float]:
    """The smallest box that contains all of them."""
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


_RIGHT: Mapping[str, Callable[[Box, Sequence[Box]], bool]] = {
    UNION: lambda box, boxes: CONVENTIONS["google"](box, union(boxes)),
    ANY: lambda box, boxes: any(CONVENTIONS["google"](box, one) for one in boxes),
    ORIGINAL: lambda box, boxes: CONVENTIONS["original"](box, boxes[0]),
}
