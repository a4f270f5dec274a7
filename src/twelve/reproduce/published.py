"""Which measurements can be put beside what is published, and the published numbers beside them."""

from __future__ import annotations

from dataclasses import dataclass

from twelve import published
from twelve.evaluation.published_scores import PAPER, beside
from twelve.evaluation.results import TaskResult
from twelve.published import PublishedNumber
from twelve.reproduce.measures import Counts, Measure
from twelve.tasks.base import Task, get

JOINT = PAPER[0]
"""What the paper calls the model that was released."""
RELEASED = "12-in-1, the released model"
"""The same model as others than the authors measured it."""
MODELS = (*PAPER, RELEASED)


@dataclass(frozen=True, slots=True)
class NumberBeside:
    """A published number of a measurement's task.

    Attributes:
        differs: what keeps the two from being compared; empty if nothing does.
        unchecked: what could not be checked, or "".
    """

    number: PublishedNumber
    differs: tuple[str, ...]
    unchecked: str


def measures_of(task: Task) -> list[Measure]:
    """The measurements of a task under the protocols that the released model's numbers were published under, on the
    labelled split."""
    numbers = [number for number in published.scores(task.name) if number.model == JOINT]
    protocols = dict.fromkeys(number.protocol for number in numbers if number.protocol in task.protocols)
    return [Measure(task.name, task.test_split, name) for name in protocols or [task.protocol_name()]]


def compared(result: TaskResult, counts: Counts) -> list[NumberBeside]:
    """The published numbers of a result's task, that of the released model first."""
    found = [
        NumberBeside(each.number, (*each.differs, *_other_model(each.number), *_images(result, counts)), each.unchecked)
        for each in beside(result, drawn=False, models=MODELS)
    ]
    return sorted(found, key=lambda each: MODELS.index(each.number.model))


def _other_model(number: PublishedNumber) -> tuple[str, ...]:
    return () if number.model in (JOINT, RELEASED) else ("another model",)


def _images(result: TaskResult, counts: Counts) -> tuple[str, ...]:
    """Says so if the files have another number of images than the official ones; :func:`beside` says it of results
    without a gallery."""
    if result.protocol.gallery is None:
        return ()
    official = get(result.task).official_counts.get(result.protocol.split, (None, None))[1]
    if official is None or official == counts.images:
        return ()
    return (f"data: {counts.images:,} of {official:,} images",)
