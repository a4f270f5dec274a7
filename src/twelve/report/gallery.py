"""Which predictions are shown: the first right and the first wrong ones of a random draw, as cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import DataError
from twelve.evaluation.record import Recorded
from twelve.formats.data_root import DataRoot
from twelve.report.drawing import Card, draw
from twelve.report.image_files import BUDGET, ImageFiles
from twelve.settings import RunConfig

SHOWN = 4
"""Right ones and wrong ones of a task, each."""
HALF = 0.5
"""Mark from which an answer counts as right here; partial marks are written out."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """A task's examples.

    Attributes:
        drawn: how many examples were recorded; ``count_right`` of them were right.
        note: what is missing, in words, or "".
    """

    right: Sequence[Card]
    wrong: Sequence[Card]
    drawn: int
    count_right: int
    note: str


def galleries(config: RunConfig, predictions: Mapping[str, Sequence[Recorded]]) -> dict[str, Gallery]:
    """The gallery of every task that has predictions; all together stay within the budget of the page."""
    try:
        root, problem = DataRoot(config.data, config.sources), ""
    except DataError:
        root, problem = None, f"The data root {config.data} is not on this machine, so there are no images."
    share = BUDGET // max(1, len(predictions))
    return {task: gallery(records, ImageFiles(root, share), problem) for task, records in predictions.items()}


def gallery(records: Sequence[Recorded], images: ImageFiles, problem: str = "") -> Gallery:
    """Up to four right and four wrong predictions, of different images as far as there are enough."""
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


def varied(records: Sequence[Recorded], count: int = SHOWN) -> list[Recorded]:
    """The first ``count`` records, those that repeat an image or a text after those that do not."""
    seen: set[object] = set()
    fresh: list[Recorded] = []
    repeated: list[Recorded] = []
    for record in records:
        keys = {record.text, record.images}
        (repeated if keys & seen else fresh).append(record)
        seen |= keys
    return (fresh + repeated)[:count]
