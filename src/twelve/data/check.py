"""``twelve data check``: what is missing in a data root (files, images, regions), what is wrong, and how the numbers of
examples compare with the official ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from twelve.data.check_images import CheckedImages, wrong_boxes, wrong_sizes
from twelve.data.examples.columns import (
    counted,
    distinct_images,
    have_candidates,
    ids_of,
    repeated_ids,
    take,
    texts_of,
)
from twelve.data.examples.reading import read_examples
from twelve.data.opening import command_for
from twelve.data.own_files import correcting, none_left, too_few, warnings_of, with_counts
from twelve.data.sources import MOST, fetching
from twelve.data.vocabulary import labels_of
from twelve.downloads.lock import FetchLock
from twelve.errors import DataError, MissingData, one_line
from twelve.formats import flaws
from twelve.formats.data_root import NO_FILE, DataRoot
from twelve.progress import Track
from twelve.progress import counted as number
from twelve.regions.store.region_store import RegionStore
from twelve.tasks.base import Task, all_tasks, get
from twelve.tasks.custom import AnswerFile, FileTask
from twelve.types.examples import Example

REGIONS = "regions"
_COUNTED = ("examples", "images")
_NAMED = 4
"""Most missing files that are named."""


@dataclass(frozen=True, slots=True)
class SplitCheck:
    """One split of a task.

    Attributes:
        missing: official files that are missing.
        examples, images: how many were read; None where the split could not be read.
        official: (examples, images) of the complete split; None where not known.
        errors: what makes the split unusable.
        notes: what is unusual, but no error.
        warnings: what may be a mistake in a file of one's own.
        answers: those of such a file, with their counts.
        damaged: whether anything that is there is wrong, as opposed to missing.
        unseen: whether images are missing or damaged, which is a note where neither training nor evaluation reads them.
    """

    split: str
    missing: tuple[str, ...] = ()
    examples: int | None = None
    images: int | None = None
    official: tuple[int | None, int | None] | None = None
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    damaged: bool = False
    unseen: bool = False
    warnings: tuple[str, ...] = ()
    answers: str = ""

    @property
    def usable(self) -> bool:
        return self.examples is not None and not self.errors and not self.unseen

    def __str__(self) -> str:
        lines, split = [], one_line(self.split)
        if self.missing:
            more = len(self.missing) - _NAMED
            names = ", ".join(self.missing if more <= 0 else [*self.missing[:_NAMED], f"and {more} more"])
            lines.append(f"  {split}: missing {one_line(names)}")
        elif self.examples is not None:
            line = f"  {split}: {number(self.examples, 'example')} on {number(self.images or 0, 'image')}"
            if self.official is not None:
                words = [f"{of:,} {what}" for of, what in zip(self.official, _COUNTED, strict=True) if of is not None]
                line += f" (official: {', '.join(words)})"
            lines.append(line)
        if self.answers:
            lines.append(f"  {split}: answers: {one_line(self.answers)}")
        lines += [f"  {split}: error: {one_line(error)}" for error in self.errors]
        lines += [f"  {split}: warning: {one_line(warning)}" for warning in self.warnings]
        lines += [f"  {split}: note: {one_line(note)}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class TaskCheck:
    """One task, which can run if its training split and one that it is evaluated on are usable.

    Attributes:
        measured: splits that the task is evaluated on.
        others: splits that are not read by default, but are there.
        notes, errors: on the whole task, and on files that belong to no split.
        fetched: official files that are as ``twelve data fetch`` brought them.
        blocked: whether no run of the configuration can start.
        lacking: image source with regions to extract before -> whether not only those of boxes that the dataset gives.
    """

    task: str
    title: str
    page: str
    train: SplitCheck
    measured: tuple[SplitCheck, ...]
    notes: tuple[str, ...] = ()
    others: tuple[SplitCheck, ...] = ()
    errors: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    blocked: bool = False
    lacking: Mapping[str, bool] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        return not self.blocked and self.train.usable and any(split.usable for split in self.measured)

    @property
    def ok(self) -> bool:
        """Whether the task can run once it has regions, and nothing that is there is wrong."""
        return self.runs and not (self.errors or any(split.damaged for split in (*self.measured, *self.others)))

    def __str__(self) -> str:
        state = "can run, but there are errors" if self.runs else "cannot run"
        if self.ok:
            state = "can run once regions are extracted" if self.lacking else "can run"
        lines = [one_line(f"{self.task} ({self.title}): {state}")]
        lines += [str(split) for split in (self.train, *self.measured, *self.others)]
        lines += [f"  error: {one_line(error)}" for error in self.errors]
        if self.fetched:
            lines.append(f"  as fetched: {one_line(', '.join(self.fetched))}")
        if any(split.missing for split in (self.train, *self.measured)) and self.page:
            lines.append(f"  its files are published at {self.page}")
        return "\n".join([*lines, *(f"  note: {one_line(note)}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All tasks that were checked; ``str()`` gives a report.

    Attributes:
        blocked: why no run of the configuration can start; "" if one can.
        extracting: the commands that extract the regions that the tasks lack.
    """

    tasks: tuple[TaskCheck, ...]
    blocked: str = ""
    extracting: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is at least one task, and all are ok."""
        return bool(self.tasks) and all(task.ok for task in self.tasks)

    @property
    def warned(self) -> bool:
        """Whether there are warnings about files of one's own."""
        return any(split.warnings for task in self.tasks for split in (*task.measured, *task.others, task.train))

    def __str__(self) -> str:
        last = [f"to extract regions, run: {one_line(command)}" for command in self.extracting]
        last += [f"no task can run: {one_line(self.blocked)}"] if self.blocked else []
        return "\n".join([*map(str, self.tasks), *last]) or "the data root has no folder of any task"


Told: TypeAlias = "Callable[[Task, str, Sequence[Example]], tuple[list[str], list[str]]]"
"""What gives further warnings and notes about the examples of a split."""
Noted: TypeAlias = "Callable[[Task, Mapping[str, Sequence[Example]]], list[str]]"
"""What gives further notes about a task, from the examples of its splits."""


def check_root(
    data: str | Path | DataRoot,
    tasks: Sequence[str] | None = None,
    *,
    regions: str | Path | None = None,
    more: Told = lambda task, split, examples: ([], []),
    noted: Noted = lambda task, read: [],
    blocked: str = "",
    least: Callable[[str], int] = lambda task: 2,
    recipes: Mapping[str, str] | None = None,
) -> CheckReport:
    """Check every official file that a command may read: those of the splits for training and evaluation, of other
    splits that are there, and those that only scoring reads.

    Args:
        tasks: names; by default every task that the data root has a folder for.
        regions: the region store; by default ``regions`` in the data root.
        more: gives further warnings and notes about each split that can be read.
        noted: gives further notes about each task, from those splits for training and evaluation that can be read.
        blocked: why no run of the configuration can start, for the report.
        least: gives how many training images of a task of one's own must not be in splits for evaluation.
        recipes: image source -> how the model wants its regions made, for the commands that extract them.

    Raises:
        DataError: the data root does not exist, or its fetched.lock.json is damaged.
        ConfigError: an unknown task.
    """
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    store = RegionStore(regions or root.path / REGIONS, data=root.path, recipes=recipes)
    chosen = [get(name, root.own_tasks) for name in tasks] if tasks else _present(root)
    seen, lock = CheckedImages(root, store), FetchLock(root.path)
    with Track("checking tasks", len(chosen), "tasks") as track:
        found = []
        for task in chosen:
            found.append(replace(_check_task(root, task, seen, lock, more, noted, least), blocked=bool(blocked)))
            track.advance()
    return CheckReport(tuple(found), blocked, tuple(_extracting(store, found, chosen)))


def _extracting(store: RegionStore, found: Sequence[TaskCheck], tasks: Sequence[Task]) -> Iterator[str]:
    """The command for each image source that lacks regions of tasks that can run."""
    for source in dict.fromkeys(source for each in found if each.runs for source in each.lacking):
        lacking = [
            (task, each.lacking[source])
            for task, each in zip(tasks, found, strict=True)
            if each.runs and source in each.lacking
        ]
        given = [task for task, _ in lacking if task.has_candidates]
        yield command_for(store, source, given, detected=any(whole for _, whole in lacking))


def no_task_in(root: DataRoot) -> MissingData:
    """The error about a data root without any task's files; names a data root in it, if there is one."""
    own = {task.folder for task in all_tasks().values() if task.folder}
    try:
        inside = [one for one in sorted(root.path.iterdir()) if any((one / name).is_dir() for name in own)]
    except OSError:
        inside = []
    hint = f' (did you mean "{inside[0]}"?)' if inside else ""
    remedy = (
        f"name the folder with one folder per dataset, or fetch official files: {fetching(root.path)}; "
        "for a task of your own, add its configuration: --config FILE"
    )
    return MissingData(f"the data root has no folder of any task{hint}", file=root.path, remedy=remedy)


def _present(root: DataRoot) -> list[Task]:
    return [task for _, task in sorted(all_tasks(root.own_tasks).items()) if (root.path / task.folder).is_dir()]


def splits_of(task: Task) -> tuple[str, ...]:
    """The official splits that training and evaluation read, the training split first."""
    held_out = (split for role in ("val", "test") for split in task.held_out_splits.get(role, ()))
    return tuple(dict.fromkeys([task.train_split, *held_out, task.test_split]))


def _check_task(
    root: DataRoot,
    task: Task,
    seen: CheckedImages,
    lock: FetchLock,
    more: Told,
    noted: Noted,
    least: Callable[[str], int],
) -> TaskCheck:
    default = splits_of(task)
    read: dict[str, Sequence[Example]] = {}
    train, *measured = (_check_split(root, task, split, seen, read, more) for split in default)
    if isinstance(task, FileTask) and task.train_split in read:
        train = _left_to_train(root, task, train, read, least(task.name))
    others = tuple(_others(root, task, seen, more))
    notes, errors = _beside(root, task, {error for split in (train, *measured, *others) for error in split.errors})
    if not isinstance(task, FileTask):  # of which equal images are a warning, or an error of the training split
        errors += _repeated(task, read)
    states = lock.states_in(task.folder)
    notes += noted(task, read)
    notes += correcting(task, root) if any(split.warnings for split in (train, *measured)) else []
    notes += [f"{name} {state}" for name, state in states.items() if state == "changed since it was fetched"]
    fetched = tuple(name for name, state in states.items() if state == "as fetched")
    return TaskCheck(
        task.name,
        task.title,
        task.page,
        train,
        tuple(measured),
        tuple(notes),
        others,
        tuple(errors),
        fetched,
        lacking=_merged(seen.lacking.get((task.name, split), {}) for split in default),
    )


def _left_to_train(
    root: DataRoot, task: FileTask, train: SplitCheck, read: Mapping[str, Sequence[Example]], needed: int
) -> SplitCheck:
    """The training split, with what is wrong once the images of the other splits are removed from it: an error if fewer
    than ``needed`` images are left (0: none is removed), or a warning about few examples."""
    examples = read[task.train_split]
    tested = {image for split in read if split != task.train_split for image in distinct_images(read[split])}
    left = [example for example in examples if not needed or tested.isdisjoint(example.images)]
    if len(left) == len(examples) or len(distinct_images(left)) >= needed:
        return replace(train, warnings=(*train.warnings, *too_few({task.title: len(left)})))
    total, kept = (len(distinct_images(some) if task.images_each == 1 else some) for some in (examples, left))
    error = none_left(task, root, [task.test_split], total - kept, total)
    return replace(train, errors=(*train.errors, f"{error.problem} -> {error.remedy}"))


def _others(root: DataRoot, task: Task, seen: CheckedImages, more: Told) -> Iterator[SplitCheck]:
    """The splits that are there, although neither training nor evaluation reads them."""
    checked = {path for split in splits_of(task) for path in task.input_files(root, split)}
    for split in task.splits:
        paths = task.input_files(root, split)
        here = any(os.path.exists(root.path / task.folder / name) for name in task.files(split))
        if here and not checked.issuperset(paths):
            yield _check_split(root, task, split, seen, {}, more, needed=False)
            checked |= {*paths}


def _beside(root: DataRoot, task: Task, said: Collection[str]) -> tuple[list[str], list[str]]:
    """Notes and errors on the files that belong to no split; without the errors that were ``said`` of a split."""
    notes: list[str] = []
    errors: list[str] = []
    if not (root.path / task.folder).is_dir():
        return notes, errors
    try:
        with root.mended():
            task.same_images(root)
    except MissingData as error:
        notes.append(f"{error.problem}: no {error.file}")
    except DataError as error:
        errors.append(str(error))
    for path, reader in task.beside(root):
        try:
            with root.mended():
                reader(path)
        except DataError as error:
            if str(error) not in said:
                errors.append(str(error))
    return notes, errors


def _merged(lacking: Iterable[Mapping[str, bool]]) -> dict[str, bool]:
    """Image source -> whether any of the splits lacks all regions of some of its images."""
    merged: dict[str, bool] = {}
    for source, whole in (item for each in lacking for item in each.items()):
        merged[source] = whole or merged.get(source, False)
    return merged


def _only_submitted(task: Task, split: str, examples: Sequence[Example]) -> bool:
    """Whether the images of a split serve only a file to submit: neither training nor evaluation reads them."""
    if split in (task.train_split, task.test_split, *task.held_out_splits.get("val", ())):
        return False
    return all(target is None for target, _ in counted(examples, "target"))


def _repeated(task: Task, read: Mapping[str, Sequence[Example]]) -> list[str]:
    """Errors on splits that repeat the training examples word for word: one file has the names of both."""
    measured = [split for split in read if split != task.train_split]
    if task.train_split not in read or not measured:
        return []
    errors, train, trained = [], read[task.train_split], frozenset[int]()
    ids = frozenset(map(hash, ids_of(train)))
    for split in measured:
        examples = read[split]
        if sum(hash(key) in ids for key in ids_of(examples)) <= MOST * len(examples):
            continue  # the usual case, for which no example has to be decoded
        trained = trained or frozenset(hash(_identity(example)) for example in train)
        count = sum(hash(_identity(example)) in trained for example in examples)
        if count > MOST * len(examples):
            files = " and ".join(dict.fromkeys((*task.files(task.train_split), *task.files(split))))
            errors.append(
                f"{count:,} of {len(examples):,} examples of {split} are in {task.train_split} too: see {files}"
            )
    return errors


def _identity(example: Example) -> tuple[str, str, tuple[str, ...]]:
    return example.id, example.text, example.images


def _check_split(
    root: DataRoot,
    task: Task,
    split: str,
    seen: CheckedImages,
    read: dict[str, Sequence[Example]],
    more: Told,
    *,
    needed: bool = True,
) -> SplitCheck:
    """Check a split and put its examples into ``read``; missing images are notes where they are not ``needed``."""
    official = task.official_counts.get(split)
    try:
        examples = read_examples(task, root, split)
    except MissingData as error:
        return replace(_missing(root, task, split, error), official=official)
    except DataError as error:
        return replace(_damaged(root, task, split, error, seen, read.get(task.train_split)), official=official)
    read[split] = examples
    images = distinct_images(examples)
    errors, notes = seen.check(task, split, images, distinct_images(take(examples, have_candidates(examples))))
    unseen = bool(errors) and (not needed or _only_submitted(task, split, examples))
    if unseen:
        errors, notes = [], [*errors, *notes]
    lacking = len(errors)
    if twice := repeated_ids(examples):
        errors.append(f"{number(twice, 'example', 'repeat')} the id of another example")
    blank = sum(not text.strip() for text in texts_of(examples))
    if blank and not isinstance(task, FileTask):  # of which this is a warning
        notes.append(f"{blank:,} of {len(examples):,} texts are empty")
    wrong, beyond = wrong_boxes(examples, seen)
    errors += [*wrong, *wrong_sizes(task, root, split, seen)]
    notes += beyond
    odd, like = _unlike_official(task, split, (len(examples), len(images)))
    errors += like
    notes += odd
    damaged = len(errors) > lacking
    added, others = more(task, split, examples)
    return SplitCheck(
        split,
        (),
        len(examples),
        len(images),
        official,
        tuple(errors),
        (*notes, *others),
        damaged,
        unseen,
        (*warnings_of(task, root, split, examples, read.get(task.train_split)), *added),
        with_counts(labels_of(examples)) if needed and isinstance(task, AnswerFile) else "",
    )


def _missing(root: DataRoot, task: Task, split: str, error: MissingData) -> SplitCheck:
    """A split without one of its files."""
    folder = root.path / task.folder
    missing = tuple(name for name in task.files(split) if not os.path.exists(folder / name))
    if missing:  # the error says where else the file is, in a folder or an archive
        told = isinstance(task, FileTask) or error.problem != NO_FILE
        return SplitCheck(split, missing, notes=(str(error),) if folder.is_dir() and told else ())
    damaged = task.files(split) != task.files(task.train_split)  # a file for all splits may lack this one
    return SplitCheck(split, errors=(str(error),), damaged=damaged)


def _damaged(
    root: DataRoot, task: Task, split: str, error: DataError, seen: CheckedImages, train: Sequence[Example] | None
) -> SplitCheck:
    """A split that cannot be read, with its first flaws; ``train`` has the training examples, if they can be read."""
    errors, warnings = flaws.first_of(task.reader.flaws(root, split)) or [str(error)], tuple[str, ...]()
    if isinstance(task, FileTask):  # its images too, so that all can be mended at once
        good = [example for _, example in task.sound_lines(root, split)]
        errors += seen.check(task, split, distinct_images(good), [])[0]
        warnings = tuple(warnings_of(task, root, split, good, train))
    return SplitCheck(split, errors=tuple(errors), damaged=True, warnings=warnings)


def _unlike_official(task: Task, split: str, found: tuple[int, int]) -> tuple[list[str], list[str]]:
    """Notes and errors on numbers of examples and images that are not the official ones."""
    official = task.official_counts.get(split, (None, None))
    expected = zip(found, official, _COUNTED, strict=True)
    odd = [f"{is_:,} {what}, officially {of:,}" for is_, of, what in expected if of is not None and is_ != of]
    twin = next((other for other, size in task.official_counts.items() if size == found), split)
    like = odd and twin != split
    return odd, [f"it has exactly as many examples and images as {twin}: is it that file?"] if like else []
