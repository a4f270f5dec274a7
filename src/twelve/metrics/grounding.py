"""Phrase grounding on Flickr30k Entities: recall among the first boxes, at an IoU of at least one half.

There is no official program. Where an entity has several boxes, papers differ in what counts: the box around all of
them, or any one of them ("MDETR", Kamath et al. 2021, tells both). The original 12-in-1 code took the first. Overlap
is referring.py's.
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
"""When a box is right, by name, in words."""
TYPES = ("people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other")
"""Types of entities, in the order in which papers tell them."""
FIRST = (1, 5, 10)
"""Recall is told among so many first boxes."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is known of a phrase: the entity's boxes (x1, y1, x2, y2 in pixels), of which there is one at least, and its
    types."""

    boxes: Sequence[Box]
    types: Sequence[str]


@dataclass(frozen=True, slots=True)
class Scores:
    """In 0..1.

    Attributes:
        recall: k -> share of the phrases of whose first k boxes one is right; those k that some prediction reaches.
        by_type: type -> recall of the first box over the phrases of that type; a phrase may have several.
        counts: type -> phrases.
        correct: whether the first box is right, of each phrase.
    """

    recall: Mapping[int, float]
    by_type: Mapping[str, float]
    counts: Mapping[str, int]
    correct: Sequence[bool]


def evaluate(phrases: Sequence[Phrase], ranked: Sequence[Sequence[Box]], protocol: str = UNION) -> Scores:
    """Recall of at least one phrase; ``ranked`` holds the predicted boxes of each, the best first, or none."""
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
    return Scores(recall, by_type, counts, correct)


def union(boxes: Sequence[Box]) -> tuple[float, float, float, float]:
    """The smallest box around all of them."""
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


_RIGHT: Mapping[str, Callable[[Box, Sequence[Box]], bool]] = {
    UNION: lambda box, boxes: CONVENTIONS["google"](box, union(boxes)),
    ANY: lambda box, boxes: any(CONVENTIONS["google"](box, one) for one in boxes),
    ORIGINAL: lambda box, boxes: CONVENTIONS["original"](box, boxes[0]),
}
