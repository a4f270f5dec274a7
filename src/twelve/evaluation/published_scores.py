"""Published scores beside a measured one: which are of the same split, metric, protocol and data, and which are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twelve import published
from twelve.errors import ConfigError
from twelve.evaluation.results import TaskResult
from twelve.published import PublishedNumber
from twelve.tasks.base import Task, all_tasks, is_stand_in

PAPER = ("12-in-1, all tasks, clean", "12-in-1, all, then fine-tuned")
"""The paper's models that a result is shown beside: one for all tasks, and one fine-tuned for each."""
DRAWN = "drawn"
"""A fact of an evaluation: whether its data are the microworld's."""


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A published score and what keeps a measured one from being compared with it.

    Attributes:
        differs: each in a few words; none if they may be compared.
        unchecked: what could not be checked, in a few words, or "".
    """

    number: PublishedNumber
    differs: tuple[str, ...]
    unchecked: str = ""


def beside(result: TaskResult, *, drawn: bool, models: Sequence[str] = PAPER) -> list[PublishedScore]:
    """Published scores of a task by these models, the comparable ones first; of each model, the one that differs least.

    Args:
        drawn: the data are the microworld's.
    """
    try:
        numbers, task = published.scores(result.task), all_tasks()[result.task]
    except (ConfigError, KeyError):  # a task of the run's own, or one beyond the twelve
        return []
    if is_stand_in(result.task, result.title):
        return []
    found: dict[str, PublishedScore] = {}
    for number in numbers:
        if number.model in models:
            each = _compared(result, task, number, drawn)
            if number.model not in found or _rank(each) < _rank(found[number.model]):
                found[number.model] = each
    return sorted(found.values(), key=_rank)


def _rank(each: PublishedScore) -> tuple[int, bool]:
    """What differs least comes first; of equals, a number that was read."""
    return len(each.differs), each.number.recalled


def _compared(result: TaskResult, task: Task, number: PublishedNumber, drawn: bool) -> PublishedScore:
    protocol = result.protocol
    differs = ["synthetic data"] if drawn else []
    if number.split != protocol.split:
        differs.append(f"split {_instead(protocol.split, number.split)}")
    if number.unit != result.metric:
        differs.append(f"metric {_instead(result.metric, number.unit)}")
    if protocol.name not in task.same_protocols(protocol.split, number.protocol):
        differs.append(f"protocol {_instead(protocol.name, number.protocol)}")
    if protocol.shortlist is not None:
        differs.append(f"shortlists of {protocol.shortlist}")
    if protocol.contrast_weight:
        differs.append("the contrast head's logit added")
    official, images = task.official_counts.get(protocol.split, (None, None))
    if protocol.gallery is None:  # metrics of other galleries say so
        if official not in (None, result.examples):
            differs.append(f"{result.examples:,} of {official:,} examples")
        elif official is None and images not in (
            None,
            result.groups,
        ):  # only images are counted where groups are images
            differs.append(f"{result.groups:,} of {images:,} images")
    if number.apart:
        differs.append(number.apart)
    unchecked = "size of the split unchecked" if official is None and images is None else ""
    return PublishedScore(number, tuple(differs), unchecked)


def _instead(ours: str, theirs: str | None) -> str:
    """Two names that differ; in quotes, because they may be words such as "all"."""
    return f'"{ours}" instead of ' + (f'"{theirs}"' if theirs else "one that is not stated")


def in_words(result: TaskResult, *, drawn: bool) -> str | None:
    """What a sentence says of a result: the paper's scores that it can be compared with, or what differs from the
    nearest one; None if there are none."""
    found = beside(result, drawn=drawn)
    if not found:
        return None
    same = [each for each in found if not each.differs]
    if not same:
        *others, last = found[0].differs
        why = " and ".join(filter(None, (", ".join(others), last)))
        return f"cannot be compared with {_named(found[0].number)}: {why}"
    unchecked = next((f"; {each.unchecked}" for each in same if each.unchecked), "")
    return f"can be compared with {' and '.join(_named(each.number) for each in same)}{unchecked}"


def _named(number: PublishedNumber) -> str:
    return f"the published {number} of {number.model}"


def lines(results: Sequence[TaskResult], *, drawn: bool) -> list[str]:
    """A line for each result about the paper's scores; a single one if the data are synthetic."""
    if drawn:
        return ["published numbers: not shown for synthetic data (twelve published lists them)"]
    said = ((result, in_words(result, drawn=False)) for result in results)
    return [f"{each.title}, {each.metric}: {each.score.mean:.2f} {words}" for each, words in said if words is not None]
