"""``twelve data check``: what is missing in a data root (files, images, regions), what is wrong, and how the numbers of
examples compare with the official ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from twelve.data.examples.columns import (
    counted,
    distinct_images,
    have_boxes,
    have_candidates,
    ids_of,
    repeated_ids,
    take,
    texts_of,
)
from twelve.data.examples.reading import read_examples
from twelve.data.opening import no_images
from twelve.data.own_files import missing_images, too_few, warnings_of, with_counts
from twelve.data.sources import MOST, elsewhere, fetching, fetching_images
from twelve.data.vocabulary import labels_of
from twelve.downloads.lock import FetchLock
from twelve.errors import DataError, MissingData, TwelveError, one_line
from twelve.formats import flaws
from twelve.formats.data_root import NO_FILE, DataRoot
from twelve.formats.mistaken import what_is
from twelve.formats.records import check_regular
from twelve.progress import Track
from twelve.regions.store.region_store import RegionStore
from twelve.tasks.base import Task, all_tasks, get
from twelve.tasks.custom import AnswerFile, FileTask
from twelve.types.examples import Box, Example

REGIONS = "regions"
_COUNTED = ("examples", "images")
_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""Format -> what every file ends with."""
_FRACTION = 2.0
"""Pixels: boxes that all lie within this are fractions of the image's size."""
_NAMED = 4
"""Most missing files that are named."""
_TAIL = 64
"""Bytes at the end of a file that are read."""


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
            line = f"  {split}: {self.examples:,} examples on {self.images:,} images"
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
        notes, errors: on files that belong to no split.
        fetched: official files that are as ``twelve data fetch`` brought them.
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

    @property
    def runs(self) -> bool:
        return self.train.usable and any(split.usable for split in self.measured)

    @property
    def ok(self) -> bool:
        """Whether the task can run, and no file is damaged."""
        return self.runs and not (self.errors or any(split.damaged for split in (*self.measured, *self.others)))

    def __str__(self) -> str:
        state = "can run" if self.ok else "can run, but a file is damaged" if self.runs else "cannot run"
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
    """All tasks that were checked; ``str()`` gives a report."""

    tasks: tuple[TaskCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether there is at least one task, and all are ok."""
        return bool(self.tasks) and all(task.ok for task in self.tasks)

    def __str__(self) -> str:
        return "\n".join(map(str, self.tasks)) or "the data root has no folder of any task"


def check_root(
    data: str | Path | DataRoot, tasks: Sequence[str] | None = None, *, regions: Path | None = None
) -> CheckReport:
    """Check every official file that a command may read: those of the splits for training and evaluation, of other
    splits that are there, and those that only scoring reads.

    Args:
        tasks: names; by default every task that the data root has a folder for.
        regions: the region store; by default ``regions`` in the data root.

    Raises:
        DataError: the data root does not exist, or its fetched.lock.json is damaged.
        ConfigError: an unknown task.
    """
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    store = RegionStore(regions or root.path / REGIONS, data=root.path)
    chosen = [get(name, root.own_tasks) for name in tasks] if tasks else _present(root)
    seen, lock = _Images(root, store), FetchLock(root.path)
    with Track("checking tasks", len(chosen), "tasks") as track:
        found = []
        for task in chosen:
            found.append(_check_task(root, task, seen, lock))
            track.advance()
    return CheckReport(tuple(found))


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


def _check_task(root: DataRoot, task: Task, seen: _Images, lock: FetchLock) -> TaskCheck:
    default = splits_of(task)
    read: dict[str, Sequence[Example]] = {}
    train, *measured = (_check_split(root, task, split, seen, read) for split in default)
    if isinstance(task, FileTask) and task.train_split in read:
        tested = {image for split in measured for image in distinct_images(read.get(split.split, ()))}
        left = sum(tested.isdisjoint(example.images) for example in read[task.train_split])
        if left or not tested:  # else the other split's warning says that none is
            train = replace(train, warnings=(*train.warnings, *too_few({task.title: left})))
    checked = {path for split in default for path in task.input_files(root, split)}
    others = []
    for split in task.splits:
        paths = task.input_files(root, split)
        here = any(os.path.exists(root.path / task.folder / name) for name in task.files(split))
        if here and not checked.issuperset(paths):
            others.append(_check_split(root, task, split, seen, {}, needed=False))
            checked |= {*paths}
    notes, errors = [], []
    said = {error for split in (train, *measured, *others) for error in split.errors}
    folder = root.path / task.folder
    if folder.is_dir():
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
                if str(error) not in said:  # else reported with its split
                    errors.append(str(error))
    errors += _repeated(task, read)
    states = lock.states_in(task.folder)
    notes += [f"{name} {state}" for name, state in states.items() if state == "changed since it was fetched"]
    fetched = tuple(name for name, state in states.items() if state == "as fetched")
    return TaskCheck(
        task.name, task.title, task.page, train, tuple(measured), tuple(notes), tuple(others), tuple(errors), fetched
    )


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
    seen: _Images,
    read: dict[str, Sequence[Example]],
    *,
    needed: bool = True,
) -> SplitCheck:
    """Check a split and put its examples into ``read``; missing images are notes where they are not ``needed``."""
    official = task.official_counts.get(split)
    try:
        examples = read_examples(task, root, split)
    except MissingData as error:
        folder = root.path / task.folder
        missing = tuple(name for name in task.files(split) if not os.path.exists(folder / name))
        if missing:  # the error says where else the file is, in a folder or an archive
            told = isinstance(task, FileTask) or error.problem != NO_FILE
            nearby = (str(error),) if folder.is_dir() and told else ()
            return SplitCheck(split, missing, official=official, notes=nearby)
        damaged = task.files(split) != task.files(task.train_split)  # a file for all splits may lack this one
        return SplitCheck(split, official=official, errors=(str(error),), damaged=damaged)
    except DataError as error:
        errors = flaws.first_of(task.reader.flaws(root, split)) or [str(error)]
        if isinstance(task, FileTask):  # its images too, so that all can be mended at once
            good = [example for _, example in task.sound_lines(root, split)]
            errors += seen.check(task, split, distinct_images(good), [])[0]
        return SplitCheck(split, official=official, errors=tuple(errors), damaged=True)
    read[split] = examples
    images = distinct_images(examples)
    errors, notes = seen.check(task, split, images, distinct_images(take(examples, have_candidates(examples))))
    unseen = bool(errors) and (not needed or _only_submitted(task, split, examples))
    if unseen:
        errors, notes = [], [*errors, *notes]
    lacking = len(errors)
    if twice := repeated_ids(examples):
        errors.append(f"{twice:,} examples repeat the id of another example")
    blank = sum(not text.strip() for text in texts_of(examples))
    if blank and not isinstance(task, FileTask):  # of which this is a warning
        notes.append(f"{blank:,} of {len(examples):,} texts are empty")
    wrong, beyond = _boxes(examples, seen)
    errors += [*wrong, *_sizes(task, root, split, seen)]
    notes += beyond
    if official is not None:
        expected = zip((len(examples), len(images)), official, _COUNTED, strict=True)
        odd = [f"{is_:,} {what}, officially {of:,}" for is_, of, what in expected if of is not None and is_ != of]
        twin = next(
            (other for other, size in task.official_counts.items() if size == (len(examples), len(images))), split
        )
        if odd and twin != split:
            errors.append(f"has exactly as many examples and images as {twin}: is it that file?")
        notes += odd
    damaged = len(errors) > lacking
    return SplitCheck(
        split,
        (),
        len(examples),
        len(images),
        official,
        tuple(errors),
        tuple(notes),
        damaged,
        unseen,
        tuple(warnings_of(task, root, split, examples, read.get(task.train_split))),
        with_counts(labels_of(examples)) if needed and isinstance(task, AnswerFile) else "",
    )


class _Images:
    """The images of all tasks, each opened once."""

    def __init__(self, root: DataRoot, store: RegionStore) -> None:
        self._root, self._store = root, store
        self._sizes: dict[str, tuple[int, int] | str] = {}
        """Image id -> width and height, or what is wrong with its file."""

    def check(self, task: Task, split: str, images: Sequence[str], asked: Sequence[str]) -> tuple[list[str], list[str]]:
        """(errors, notes) on images without a file and regions; an image needs one of the two.

        Args:
            asked: images with boxes that the dataset gives.
        """
        root, store = self._root, self._store
        without_file = [image for image in images if root.image_file(image) is None]
        try:
            neither = [image for image in without_file if image not in store]
            bare = [image for image in images if image not in store]
            half = sum(image in store and not store.has_given(image) for image in asked)
        except TwelveError as error:
            return [str(error)], []
        if neither:
            share = f"{len(neither):,} of {len(images):,} images"
            if isinstance(task, FileTask) and (folder := no_images(task, root, store, neither[0], len(images))):
                return [str(folder)], []
            where = elsewhere(root, task, neither, store) if len(neither) >= MOST * len(images) else None
            if isinstance(task, FileTask) and not where:
                return flaws.first_of(missing_images(task, root, split, neither)), []
            command = fetching_images(root, task) if len(neither) == len(images) else None
            more = f"; {where}" if where else f" -> fetch them: {command}" if command else ""
            return [f"{share} have neither a file nor regions; the first is {neither[0]}{more}"], []
        damaged = [(image, found) for image in bare if isinstance(found := self._file(image), str)]
        if damaged:
            image, found = damaged[0]
            share = f"{len(damaged):,} of {len(images):,} image files are damaged"
            remedy = "replace them by complete copies" if isinstance(task, FileTask) else "download them again"
            return [f"{share}; the first is {root.image_file(image)}: {found} -> {remedy}"], []
        notes = []
        if without_file:
            notes.append(f"{len(without_file):,} of {len(images):,} images have regions but no file")
        if bare:
            notes.append(f"{len(bare):,} of {len(images):,} images have no regions yet")
        if half:
            notes.append(f"{half:,} of {len(asked):,} images have regions, but not yet of their candidate boxes")
        return [], notes

    def size(self, image: str) -> tuple[int, int] | None:
        """Width and height, from the file's header or the regions; None where neither has it."""
        found = self._file(image)
        if isinstance(found, tuple):
            return found
        try:
            if image in self._store:
                regions = self._store.get(image)
                return regions.width, regions.height
        except TwelveError:
            return None
        return None

    def _file(self, image: str) -> tuple[int, int] | str:
        if image not in self._sizes:
            path = self._root.image_file(image)
            self._sizes[image] = "no file" if path is None else _opened(path)
        return self._sizes[image]


def _opened(path: Path) -> tuple[int, int] | str:
    """Width and height of an image, or what is wrong with its file.

    A file that does not end as its format should (an interrupted download) is decoded, since it may be complete and
    have something after its end.
    """
    try:
        check_regular(path)
        if (found := what_is(path)) is not None:
            return found[0]
        with Image.open(path) as opened:
            size = opened.size
            if not _ends(path, opened.format):
                opened.load()
            return size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, TwelveError) as error:
        return error.problem if isinstance(error, TwelveError) else str(error)


def _ends(path: Path, kind: str | None) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        return _END.get(kind or "", b"") in stream.read()


def _sizes(task: Task, root: DataRoot, split: str, seen: _Images) -> list[str]:
    """Errors about sizes of images that a dataset states, and its images, its regions or itself state otherwise."""
    stated: dict[str, tuple[int, int]] = {}
    wrong: dict[str, str] = {}
    try:
        for image, size in task.image_sizes(root, split):
            if (before := stated.setdefault(image, size)) != size:
                wrong.setdefault(image, f"{_pixels(size)} stated, {_pixels(before)} before")
    except DataError as error:  # a file that was there a moment ago
        return [str(error)]
    for image, size in stated.items():
        own = seen.size(image)
        if own is not None and own != size:
            wrong.setdefault(image, f"{_pixels(size)} stated, {_pixels(own)} found")
    if not wrong:
        return []
    first = next(iter(wrong))
    return [
        f"{len(wrong):,} of {len(stated):,} images have another size than the files state; the first is {first}: "
        f"{wrong[first]} -> take the images, and the files, of the official release"
    ]


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _boxes(examples: Sequence[Example], seen: _Images) -> tuple[list[str], list[str]]:
    """(errors, notes): errors on boxes without area or outside their image, notes on boxes that reach beyond it."""
    by_image: dict[str, dict[Box, str]] = {}
    furthest = 0.0
    for example in take(examples, have_boxes(examples)):
        boxes = [*example.candidates, *([example.target] if isinstance(example.target, tuple) else [])]
        for box in boxes:
            by_image.setdefault(example.images[0], {}).setdefault(box, example.id)
            furthest = max(furthest, *box)
    empty: list[str] = []
    outside: list[str] = []
    beyond: list[str] = []
    for image, found in by_image.items():
        size = seen.size(image)
        for box, key in found.items():
            x1, y1, x2, y2 = box
            name = f"{image} (example {key})"
            if not (x2 > x1 and y2 > y1):
                empty.append(name)
            elif size is not None and (x1 >= size[0] or y1 >= size[1] or x2 <= 0 or y2 <= 0):
                outside.append(name)
            elif size is not None and (x1 < -1 or y1 < -1 or x2 > size[0] + 1 or y2 > size[1] + 1):
                beyond.append(name)
    kinds: Mapping[str, list[str]] = {"have no area": empty, "lie outside their image": outside}
    errors = [f"{len(names):,} boxes {what}, the first of {names[0]}" for what, names in kinds.items() if names]
    if by_image and furthest <= _FRACTION:
        errors.append("no box reaches beyond 2 pixels: these are fractions of the image's size, expected pixels")
    reach = [f"{len(beyond):,} boxes reach beyond their image, the first of {beyond[0]}"] if beyond else []
    return errors, reach
