"""Cards of the report: the first correct and the first wrong predictions of a random sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.outputs import get_output
from twelve.report.image_files import BUDGET, ImageFiles, ShownImage
from twelve.settings import RunConfig
from twelve.types.predictions import Card, RecordedPrediction

SHOWN = 4
"""Number of correct, and of wrong, predictions per task."""
HALF = 0.5
"""Minimum mark of predictions that are shown as correct."""


@dataclass(frozen=True, slots=True)
class ShownCard:
    """The card of a prediction, with its images."""

    id: str
    right: float
    card: Card
    images: Sequence[ShownImage]

    @property
    def verdict(self) -> str:
        if self.right in (0.0, 1.0):
            return "right" if self.right else "wrong"
        return f"partly right: {100 * self.right:.0f} of 100"

    @property
    def mark(self) -> str:
        """The style of the card: right or wrong."""
        return "right" if self.right >= HALF else "wrong"


@dataclass(frozen=True, slots=True)
class Gallery:
    """A task's examples.

    Attributes:
        drawn: number of recorded examples.
        count_right: number of these that are correct.
        note: a sentence about missing images, or "".
    """

    right: Sequence[ShownCard]
    wrong: Sequence[ShownCard]
    drawn: int
    count_right: int
    note: str


def galleries(config: RunConfig, predictions: Mapping[str, Sequence[RecordedPrediction]]) -> dict[str, Gallery]:
    """The galleries of all tasks with predictions, which share the page's budget."""
    try:
        root, problem = DataRoot(config.data, config.sources), ""
    except DataError:
        root, problem = None, f"The data root {config.data} is not on this machine, so there are no images."
    share = BUDGET // max(1, len(predictions))
    return {task: gallery(records, ImageFiles(root, share), problem) for task, records in predictions.items()}


def gallery(records: Sequence[RecordedPrediction], images: ImageFiles, problem: str = "") -> Gallery:
    """Up to four correct and four wrong predictions, of different images if possible."""
    right = [record for record in records if record.right >= HALF]
    wrong = [record for record in records if record.right < HALF]
    chosen = [varied(part) for part in (right, wrong)]
    cards = [[draw(record, images) for record in part] for part in chosen]
    if images.missing and not problem:
        place = Path(images.root.path, "images") if images.root is not None else "the data root"
        problem = f"{len(images.missing)} of these images are not in {place} or cannot be read."
    if images.left_out:
        problem = f"{problem} {len(images.left_out)} images were left out to keep the page small.".strip()
    return Gallery(cards[0], cards[1], len(records), len(right), problem)


def draw(record: RecordedPrediction, images: ImageFiles) -> ShownCard:
    """The card of a prediction, as its output shows it."""
    card = get_output(record.kind).card(record)
    return ShownCard(record.id, record.right, card, [images.show(image) for image in card.images])


def varied(records: Sequence[RecordedPrediction], count: int = SHOWN) -> list[RecordedPrediction]:
    """The first ``count`` records; those that repeat an image or a text come last."""
    seen: set[object] = set()
    fresh: list[RecordedPrediction] = []
    repeated: list[RecordedPrediction] = []
    for record in records:
        keys = {record.text, record.images}
        (repeated if keys & seen else fresh).append(record)
        seen |= keys
    return (fresh + repeated)[:count]
