"""Cards of the report: correct and wrong predictions of a random sample."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from textwrap import wrap

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.outputs import get_output
from twelve.progress import counted
from twelve.report.image_files import BUDGET, ImageFiles, ShownImage
from twelve.report.one_answer import ASKED
from twelve.report.reading import Run
from twelve.types.predictions import Card, RecordedPrediction

RIGHT_SHOWN, WRONG_SHOWN = 4, 8
"""Number of correct, and of wrong, predictions per task that are shown with their images."""
GLIMPSES = 3
"""Number of tasks that have examples on the first screen."""
ALONE = 2
"""Correct, and wrong, examples of the only task on the first screen; of several tasks, one each."""
LONG = 160
"""Characters of an example's texts above which a shorter one is shown on the first screen, if there is one."""
ROW, ROWS = 28, 3
"""Characters of a row, and rows, of a text on the first screen. One row more is shown, too; of longer texts, the whole
is in the section of the task."""
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
            return "correct" if self.right else "wrong"
        return f"partly correct: {100 * self.right:.0f} of 100"

    @property
    def start(self) -> str:
        """The text for the first screen: its beginning, if it is long."""
        lines = [wrap(line, ROW, break_long_words=False) or [""] for line in self.card.text.splitlines()]
        if sum(map(len, lines)) <= ROWS + 1:
            return self.card.text
        kept, left = list[str](), ROWS
        while left > 0:
            rows = lines.pop(0)
            kept.append(" ".join(rows[:left]))
            left -= len(rows)
        return "\n".join(kept)

    @property
    def outcome(self) -> tuple[str, str]:
        """What the model says and what is correct, for the first screen: of boxes, only which of the drawn ones."""
        said, wanted = self.card.says, self.card.wanted
        if any(frame.role == "predicted" for image in self.images for frame in image.frames):
            return re.split("[,;]", said)[0], re.split("[,;]", wanted)[0]
        return said, wanted

    @property
    def mark(self) -> str:
        """The style of the card: correct or wrong."""
        return "correct" if self.right >= HALF else "wrong"


@dataclass(frozen=True, slots=True)
class Gallery:
    """A task's examples.

    Attributes:
        further: the other wrong ones, without images.
        drawn: number of recorded examples.
        count_right: number of these that are correct.
        note: a sentence about missing images, or "".
    """

    right: Sequence[ShownCard]
    wrong: Sequence[ShownCard]
    further: Sequence[ShownCard]
    drawn: int
    count_right: int
    note: str

    @property
    def count_wrong(self) -> int:
        return self.drawn - self.count_right


def galleries(run: Run) -> dict[str, Gallery]:
    """The galleries of all tasks with predictions, which share the page's budget."""
    config, predictions = run.config, run.predictions
    try:
        root, problem = DataRoot(config.data, config.sources), ""
    except DataError:
        root, problem = None, f"The data root {config.data} is not on this machine, so there are no images."
    share = BUDGET // max(1, len(predictions))
    found = {}
    for task, records in predictions.items():
        readable = run.task(task).readable
        shown = [replace(record, text=readable(record.text)) for record in records]
        found[task] = gallery(shown, ImageFiles(root, share), problem)
    return found


def gallery(records: Sequence[RecordedPrediction], images: ImageFiles, problem: str = "") -> Gallery:
    """Some correct and some wrong predictions with images, different ones if possible, and all other wrong ones."""
    right = [record for record in records if record.right >= HALF]
    wrong = [record for record in records if record.right < HALF]
    shown_wrong = varied(wrong, WRONG_SHOWN)
    seen = set(map(id, shown_wrong))
    without = ImageFiles(None)
    further = [replace(draw(record, without), images=()) for record in wrong if id(record) not in seen]
    cards = [draw(record, images) for record in shown_wrong]
    correct = [draw(record, images) for record in varied(right, RIGHT_SHOWN)]
    if images.missing and not problem:
        place = Path(images.root.path, "images") if images.root is not None else "the data root"
        problem = f"{len(images.missing)} of these images are not in {place} or cannot be read."
    if images.left_out:
        problem = f"{problem} {counted(len(images.left_out), 'image', 'were')} left out to keep the page small.".strip()
    return Gallery(correct, cards, further, len(records), len(right), problem)


def glimpses(tasks: Iterable[str], shown: Mapping[str, Gallery]) -> list[tuple[str, ShownCard]]:
    """(task, card) of one correct and one wrong example with an image, of each of the first :data:`GLIMPSES` tasks that
    have any, with a task instead of the last one whose answers are boxes, if none of them is; of the only task, of
    :data:`ALONE` each, the correct ones first."""
    found = list[list[tuple[str, ShownCard]]]()
    tasks = list(tasks)
    most = ALONE if len(tasks) == 1 else 1
    for task in tasks:
        if task in shown:
            with_image = (
                [card for card in cards if card.images and card.images[0].uri]
                for cards in (shown[task].right, shown[task].wrong)
            )
            found.append([(task, card) for cards in with_image for card in sorted(cards, key=_is_long)[:most]])
    found = list(filter(None, found))
    first, others = found[:GLIMPSES], found[GLIMPSES:]
    if not any(map(_has_boxes, first)) and (boxes := next(filter(_has_boxes, others), None)):
        first[-1] = boxes
    return [each for cards in first for each in cards]


def _has_boxes(cards: Iterable[tuple[str, ShownCard]]) -> bool:
    return any(image.frames for _, shown in cards for image in shown.images)


def _is_long(shown: ShownCard) -> bool:
    return len(shown.card.text + shown.card.says + shown.card.wanted) > LONG


def draw(record: RecordedPrediction, images: ImageFiles) -> ShownCard:
    """The card of a prediction, as its output shows it."""
    card = get_output(record.kind).card(record)
    return ShownCard(record.id, record.right, card, [images.show(image) for image in card.images])


def varied(records: Sequence[RecordedPrediction], count: int) -> list[RecordedPrediction]:
    """The first ``count`` records, one of each answer in turn; those that repeat an image or a text come last among
    those of their answer. Otherwise all could show the same answer, and tell nothing about the others."""
    seen: set[object] = set()
    fresh: list[RecordedPrediction] = []
    repeated: list[RecordedPrediction] = []
    for record in records:
        keys = {record.text, record.images}
        (repeated if keys & seen else fresh).append(record)
        seen |= keys
    turns = dict[str, list[RecordedPrediction]]()
    for record in fresh + repeated:
        turns.setdefault(_answer(record), []).append(record)
    each = chain.from_iterable(zip_longest(*turns.values()))
    return [record for record in each if record is not None][:count]


def _answer(record: RecordedPrediction) -> str:
    """What the model answers, if it chooses among named answers; "" of boxes and images, which all differ."""
    return get_output(record.kind).name(record.value) if record.kind in ASKED else ""
