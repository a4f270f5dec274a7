"""Clean splits: no task trains on an image that any task is evaluated on. Also holds back the validation sets.

The original removes the images of all test sets from all training sets, and keeps those of validation sets ("12-in-1",
Lu et al. 2020, section 3). Here, validation sets can be held out as well, and the split that a run reports is, unless
the run asks for the original's sets (``validation_images: shared``).
Images are compared by their ids, which include their source. Where two sources hold the same photograph, the tasks that
know it say so (:meth:`twelve.tasks.base.Task.same_images`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from twelve.data.examples.columns import distinct_images, distinct_pairs, groups_of, images_of, take
from twelve.data.examples.reading import reading
from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.progress import counted
from twelve.tasks.base import Task, tasks_of
from twelve.types.examples import Example

NO_FOLDER = "the data root has no folder for it"
_SENTENCES = 3
"""Most numbers of the table that are also told in sentences."""
Mode: TypeAlias = Literal["none", "test", "test+val"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Images of one split that must not be trained on.

    Attributes:
        role: the reason: "test", "val", or "reported" for a reported split that is neither.
    """

    task: str
    split: str
    role: str
    images: frozenset[str]


@dataclass(frozen=True, slots=True)
class HeldOutImages:
    """All images that must not be trained on.

    Attributes:
        skipped: "task split" -> why it could not be held out.
        same: image id -> id of the same photograph in another source.
    """

    mode: Mode
    splits: tuple[HeldOut, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> frozenset[str]:
        return frozenset[str]().union(*(split.images for split in self.splits))


@dataclass(frozen=True, slots=True)
class Removed:
    """Sizes of one task's training set before and after cleaning."""

    images_before: int
    images_after: int
    examples_before: int
    examples_after: int


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What cleaning found and removed; ``str()`` gives a table, which names the splits that share a training image.

    Attributes:
        removed: task -> sizes of its training set.
        overlap: task -> {"task split": images of that split that are in this task's uncleaned training set}.
        skipped: "task split" -> why it could not be held out.
    """

    mode: Mode
    removed: Mapping[str, Removed]
    overlap: Mapping[str, Mapping[str, int]]
    skipped: Mapping[str, str]

    def __str__(self) -> str:
        held = {"test": "test sets", "test+val": "test and validation sets"}.get(self.mode)
        every = list(dict.fromkeys(name for row in self.overlap.values() for name in row))
        names = [name for name in every if any(row[name] for row in self.overlap.values())]
        first = f"clean splits: images of all {held} are removed from every training set"
        if not held:  # the splits that the run reports can be held out nevertheless
            first = "not clean: training sets keep the images of other tasks' test sets"
            first += ", except those of the splits that this run reports" if every else ""
        lines = [first, ""]
        header = ["task", "images", "kept", "out", "examples", "kept", "out", *names]
        rows = []
        for task, sizes in self.removed.items():
            images, examples = sizes.images_before, sizes.examples_before
            kept, left = sizes.images_after, sizes.examples_after
            numbers = [images, kept, images - kept, examples, left, examples - left]
            rows.append([task, *(f"{number:,}" for number in numbers)])
            rows[-1] += [f"{self.overlap[task][name]:,}" for name in names]
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        for row in [header, *rows]:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells))
        if names:
            lines += ["", *self._shared(names)]
        elif every:
            sets = f"the {held} is in this run's" if held else "the splits that this run reports is in its"
            lines += ["", f"no image of {sets} training sets"]
        lines += [f"not held out: {', '.join(names)} ({why})" for why, names in by_reason(self.skipped).items()]
        return "\n".join(lines)

    def _shared(self, names: Sequence[str]) -> list[str]:
        """What the columns of splits say: in sentences where there are few numbers."""
        found = [(task, name, row[name]) for task, row in self.overlap.items() for name in names if row[name]]
        if len(found) > _SENTENCES:
            return ["column of a split: how many of the task's training images also occur in it; they are removed"]
        return [
            f"{task}: {counted(count, 'training image')} also occur{'s' * (count == 1)} in "
            f"{name.removeprefix(f'{task} ')}; "
            f"{'it is' if count == 1 else 'they are'} removed from training"
            for task, name, count in found
        ]


def why_missing(root: DataRoot, task: Task, error: MissingData) -> str:
    """Why a split is missing, in the same words for all tasks."""
    return error.problem if (root.path / task.folder).is_dir() else NO_FOLDER


def by_reason(skipped: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> what was skipped for it, in order of first occurrence, without datasets that are not here at all."""
    reasons: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        reasons.setdefault(reason, []).append(name)
    reasons.pop(NO_FOLDER, None)
    return reasons


def held_out_images(
    root: DataRoot,
    *,
    mode: Mode = "test",
    required: Mapping[str, str] | None = None,
    tasks: Mapping[str, Task] | None = None,
    progress: bool = True,
) -> HeldOutImages:
    """Images of every task's held-out splits that the data root has.

    Args:
        mode: "test", "test+val" for validation splits as well, or "none".
        required: task -> split that is reported, which is held out in any mode.
        tasks: by default every registered task, also those that the run does not train.

    Raises:
        DataError: a required split is missing, or a file is malformed.
    """
    required = required or {}
    tasks = tasks or tasks_of(root)
    splits: list[HeldOut] = []
    skipped: dict[str, str] = {}
    wanted: list[tuple[str, str, str]] = []
    for name, task in tasks.items():
        roles = {split: role for role, those in task.held_out_splits.items() for split in those}
        held = {split: role for split, role in roles.items() if role in mode.split("+")}
        if name in required:
            held[required[name]] = roles.get(required[name], "reported")
        wanted += [(name, split, role) for split, role in held.items()]
    with reading(root, [(tasks[name], split) for name, split, _ in wanted], shown=progress) as read:
        for name, split, role in wanted:
            try:
                examples = read(tasks[name], split)
            except MissingData as error:
                if required.get(name) == split:
                    raise
                skipped[f"{name} {split}"] = why_missing(root, tasks[name], error)
                continue
            splits.append(HeldOut(name, split, role, frozenset(distinct_images(examples))))
    same, unknown = same_images(root, tasks)
    return HeldOutImages(mode, tuple(splits), skipped | unknown, same)


def same_images(root: DataRoot, tasks: Mapping[str, Task]) -> tuple[dict[str, str], dict[str, str]]:
    """(image id -> id of the same photograph in another source, "task's images in other sources" -> why they are not
    known), from the tasks that the data root has a folder for.

    Raises:
        DataError: a file is malformed.
    """
    same: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for name, task in tasks.items():
        if not (root.path / task.folder).is_dir():
            continue
        try:
            same |= task.same_images(root)
        except MissingData as error:
            unknown[f"{name}'s images in other sources"] = f"{error.problem}: no {error.file}"
    return same, unknown


def clean_splits(
    train: Mapping[str, Sequence[Example]], held_out: HeldOutImages
) -> tuple[dict[str, Sequence[Example]], CleanReport]:
    """Remove every example that shows a held-out image, in any source, from every training set.

    Args:
        train: task -> its training examples.

    Returns:
        The remaining examples in their order, and a report.
    """
    same = held_out.same

    def identities(images: Iterable[str]) -> frozenset[str]:
        return frozenset(same.get(image, image) for image in images)

    banned = identities(held_out.images)
    columns = {f"{split.task} {split.split}": identities(split.images) for split in held_out.splits}
    kept: dict[str, Sequence[Example]] = {}
    removed: dict[str, Removed] = {}
    overlap: dict[str, dict[str, int]] = {}
    for task, examples in train.items():
        images = images_of(examples)
        kept[task] = take(examples, images.where(banned.isdisjoint(identities(those)) for those in images.values))
        before, after = (identities(distinct_images(part)) for part in (examples, kept[task]))
        removed[task] = Removed(len(before), len(after), len(examples), len(kept[task]))
        overlap[task] = {name: len(before & theirs) for name, theirs in columns.items()}
    return kept, CleanReport(held_out.mode, removed, overlap, held_out.skipped)


def split_validation(
    train: Mapping[str, Sequence[Example]],
    fraction: float,
    seed: int,
    same: Mapping[str, str] | None = None,
    counted: Collection[str] = (),
) -> dict[str, tuple[Sequence[Example], Sequence[Example]]]:
    """Split training sets into (train, validation) by image, the same images for every task.

    Examples that share an image, or a group (a sentence about several pairs of images), stay together. The side of an
    image follows from a hash of its id and the seed, so it does not depend on the machine or on other data. Every task
    gets at least one image on either side.

    Args:
        fraction: expected share of validation images.
        same: image id -> id of the same photograph in another source, which goes to the same side.
        counted: tasks with so few images that chance would hold out far too few or too many. Of those images that only
            such tasks have, ``fraction`` is held out to within one, for each task: those with the lowest hashes.

    Raises:
        DataError: a task has too few images for both sides.
    """
    links = Links()
    same = same or {}
    columns = {task: images_of(examples) for task, examples in train.items()}
    for task, examples in train.items():
        images, groups = columns[task], groups_of(examples)
        for together, group in distinct_pairs(images, groups):
            if not together:
                first = int(np.flatnonzero(images.codes == images.values.index(()))[0])
                raise DataError("an example without an image", record=examples[first].id)
            links.join(together, (task, group) if group else None)
        for image in (image for together in images.values for image in together if image in same):
            links.join((image, same[image]))
    draws = {name: _draw(name, seed) for name in set(links.names().values())}
    names_of = {task: [links.name(images[0]) for images in column.values] for task, column in columns.items()}
    parts = {task: set(names) for task, names in names_of.items()}
    drawn = set[str]().union(*(names for task, names in parts.items() if task not in counted))
    validation = {name for name in drawn if draws[name] < fraction}
    for names in (parts[task] - drawn for task in counted):
        validation |= set(sorted(names, key=draws.__getitem__)[: round(fraction * len(names))])
    for task, names in parts.items():
        if len(names) < 2:
            raise DataError(
                f"{task or 'the task'} has {len(names)} separate training images, too few to validate on some of them",
                remedy="train on more images",
            )
        if not names & validation:
            validation.add(min(names, key=draws.__getitem__))
    for names in parts.values():
        if names <= validation:
            validation.discard(max(names, key=draws.__getitem__))
    sides = {task: columns[task].where(name in validation for name in names) for task, names in names_of.items()}
    return {task: (take(examples, ~sides[task]), take(examples, sides[task])) for task, examples in train.items()}


def _draw(name: str, seed: int) -> float:
    """A uniform number in 0..1, from a name and a seed."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Links:
    """Images that belong together, directly or through others (a disjoint-set forest).

    The name of a set is the smallest image id in it, which does not depend on the order of joining.
    """

    def __init__(self) -> None:
        self._above: dict[str, str] = {}
        self._of_group: dict[tuple[str, str], str] = {}

    def name(self, image: str) -> str:
        """The name of the set of an image."""
        above = self._above
        top = image
        while above[top] != top:
            top = above[top]
        while above[image] != top:
            above[image], image = top, above[image]
        return top

    def names(self) -> dict[str, str]:
        """Image -> name of its set."""
        return {image: self.name(image) for image in self._above}

    def join(self, images: Sequence[str], group: tuple[str, str] | None = None) -> None:
        for image in images:
            self._above.setdefault(image, image)
        partners = [*images]
        if group is not None:
            partners.append(self._of_group.setdefault(group, images[0]))
        for partner in partners[1:]:
            a, b = self.name(images[0]), self.name(partner)
            self._above[max(a, b)] = min(a, b)
