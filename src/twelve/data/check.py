"""What a data root lacks: files, pictures, regions; what in it cannot be; how much of it there is, against the official
numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from twelve.data.cache import read_examples
from twelve.data.columns import have_candidates, pictures, take
from twelve.data.root import DataRoot, MissingData
from twelve.data.sources import MOST, elsewhere
from twelve.errors import DataError, TwelveError
from twelve.progress import Track
from twelve.regions.store import RegionStore
from twelve.tasks.base import Box, Example, Task, all_tasks, get

REGIONS = "regions"
_COUNTED = ("examples", "pictures")


@dataclass(frozen=True, slots=True)
class SplitCheck:
    """One split of a task.

    Attributes:
        missing: official files that are not there.
        examples, pictures: how many were read; None when none could be.
        official: (examples, pictures) of the complete split, None where not known.
        errors: what keeps the split from being used.
        notes: what is odd and does not.
    """

    split: str
    missing: tuple[str, ...] = ()
    examples: int | None = None
    pictures: int | None = None
    official: tuple[int | None, int | None] | None = None
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.examples is not None and not self.errors

    def __str__(self) -> str:
        lines = []
        if self.missing:
            lines.append(f"  {self.split}: missing {', '.join(self.missing)}")
        elif self.examples is not None:
            line = f"  {self.split}: {self.examples:,} examples on {self.pictures:,} pictures"
            if self.official is not None:
                words = [f"{of:,} {what}" for of, what in zip(self.official, _COUNTED, strict=True) if of is not None]
                line += f" (official: {', '.join(words)})"
            lines.append(line)
        lines += [f"  {self.split}: error: {error}" for error in self.errors]
        lines += [f"  {self.split}: note: {note}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class TaskCheck:
    """One task. It can run when its training split and one that it is measured on are usable."""

    task: str
    title: str
    page: str
    train: SplitCheck
    measured: tuple[SplitCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.train.usable and any(split.usable for split in self.measured)

    def __str__(self) -> str:
        lines = [f"{self.task} ({self.title}): {'can run' if self.ok else 'cannot run'}"]
        lines += [str(split) for split in (self.train, *self.measured)]
        if any(split.missing for split in (self.train, *self.measured)) and self.page:
            lines.append(f"  its files are published at {self.page}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All tasks that were looked at; ``str()`` of it is for people.

    Attributes:
        ok: every one of them can run, and there is at least one.
    """

    tasks: tuple[TaskCheck, ...]

    @property
    def ok(self) -> bool:
        return bool(self.tasks) and all(task.ok for task in self.tasks)

    def __str__(self) -> str:
        return "\n".join(map(str, self.tasks)) or "the data root has no folder of any task"


def check_root(
    data: str | Path | DataRoot, tasks: Sequence[str] | None = None, *, regions: Path | None = None
) -> CheckReport:
    """Look at every official split that training or measuring reads.

    Args:
        tasks: names; every task that the data root has a folder for when absent.
        regions: region store; ``regions`` in the data root when absent.

    Raises:
        DataError: there is no such data root.
        ConfigError: an unknown task.
    """
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    store = RegionStore(regions or root.path / REGIONS, data=root.path)
    chosen = [get(name) for name in tasks] if tasks else _present(root)
    with Track("checking tasks", len(chosen), "tasks") as track:
        found = []
        for task in chosen:
            found.append(_check_task(root, task, store))
            track.advance()
    return CheckReport(tuple(found))


def _present(root: DataRoot) -> list[Task]:
    return [task for _, task in sorted(all_tasks().items()) if (root.path / task.folder).is_dir()]


def splits_of(task: Task) -> tuple[str, ...]:
    """The official splits that training or measuring reads, the training split first."""
    held_out = (split for role in ("val", "test") for split in task.held_out_splits.get(role, ()))
    return tuple(dict.fromkeys([task.train_split, *held_out, task.report_split]))


def _check_task(root: DataRoot, task: Task, store: RegionStore) -> TaskCheck:
    train, *measured = (_check_split(root, task, split, store) for split in splits_of(task))
    notes = []
    if (root.path / task.folder).is_dir():
        try:
            task.same_pictures(root)
        except MissingData as error:
            notes.append(f"{error.problem}: no {error.file}")
        except DataError as error:
            notes.append(str(error))
    return TaskCheck(task.name, task.title, task.page, train, tuple(measured), tuple(notes))


def _check_split(root: DataRoot, task: Task, split: str, store: RegionStore) -> SplitCheck:
    official = task.official_counts.get(split)
    try:
        examples = read_examples(task, root, split)
    except MissingData as error:
        folder = root.path / task.folder
        missing = tuple(name for name in task.files(split) if not (folder / name).is_file())
        return SplitCheck(split, missing, official=official, errors=() if missing else (str(error),))
    except DataError as error:
        return SplitCheck(split, official=official, errors=(str(error),))
    images = pictures(examples)
    errors, notes = _pictures(root, task, images, pictures(take(examples, have_candidates(examples))), store)
    twice = len(examples) - len({example.id for example in examples})
    if twice:
        errors.append(f"{twice:,} examples have the id of another")
    wrong, beyond = _boxes(root, examples, store)
    errors += wrong
    notes += beyond
    if official is not None:
        expected = zip((len(examples), len(images)), official, _COUNTED, strict=True)
        notes += [f"{is_:,} {what}, officially {of:,}" for is_, of, what in expected if of is not None and is_ != of]
    return SplitCheck(split, (), len(examples), len(images), official, tuple(errors), tuple(notes))


def _pictures(
    root: DataRoot, task: Task, images: Sequence[str], asked: Sequence[str], store: RegionStore
) -> tuple[list[str], list[str]]:
    """(errors, notes) about pictures without a file or regions: what has regions needs no file, and the reverse.

    Args:
        asked: pictures of which the dataset gives boxes.
    """
    without_file = [image for image in images if root.image_file(image) is None]
    try:
        neither = [image for image in without_file if image not in store]
        regions = sum(image in store for image in images)
        half = sum(image in store and not store.has_given(image) for image in asked)
    except TwelveError as error:
        return [str(error)], []
    if neither:
        share = f"{len(neither):,} of {len(images):,} pictures"
        where = elsewhere(root, task, neither, store) if len(neither) >= MOST * len(images) else None
        more = f"; {where}" if where else ""
        return [f"{share} have neither a file nor regions, the first is {neither[0]}{more}"], []
    notes = []
    if without_file:
        notes.append(f"{len(without_file):,} of {len(images):,} pictures have regions alone")
    if regions < len(images):
        notes.append(f"{len(images) - regions:,} of {len(images):,} pictures have no regions yet")
    if half:
        notes.append(f"{half:,} of {len(asked):,} pictures have regions, but none yet of the boxes that are given")
    return [], notes


def _boxes(root: DataRoot, examples: Sequence[Example], store: RegionStore) -> tuple[list[str], list[str]]:
    """(errors, notes): boxes without area or outside their picture; boxes that reach beyond it."""
    by_image: dict[str, dict[Box, str]] = {}
    for example in examples:
        boxes = [*example.candidates, *([example.target] if isinstance(example.target, tuple) else [])]
        for box in boxes:
            by_image.setdefault(example.images[0], {}).setdefault(box, example.id)
    empty: list[str] = []
    outside: list[str] = []
    beyond: list[str] = []
    for image, found in by_image.items():
        size = picture_size(root, image, store)
        for box, key in found.items():
            x1, y1, x2, y2 = box
            name = f"{image} (example {key})"
            if not (x2 > x1 and y2 > y1):
                empty.append(name)
            elif size is not None and (x1 >= size[0] or y1 >= size[1] or x2 <= 0 or y2 <= 0):
                outside.append(name)
            elif size is not None and (x1 < -1 or y1 < -1 or x2 > size[0] + 1 or y2 > size[1] + 1):
                beyond.append(name)
    kinds: Mapping[str, list[str]] = {"have no area": empty, "lie outside their picture": outside}
    errors = [f"{len(names):,} boxes {what}, the first of {names[0]}" for what, names in kinds.items() if names]
    reach = [f"{len(beyond):,} boxes reach beyond their picture, the first of {beyond[0]}"] if beyond else []
    return errors, reach


def picture_size(root: DataRoot, image: str, store: RegionStore) -> tuple[int, int] | None:
    """Width and height of a picture, from its file's header or its regions; None when neither is there."""
    path = root.image_file(image)
    try:
        if path is not None:
            with Image.open(path) as opened:
                return opened.size
        if image in store:
            regions = store.get(image)
            return regions.width, regions.height
    except (OSError, ValueError, SyntaxError, TwelveError):
        return None
    return None
