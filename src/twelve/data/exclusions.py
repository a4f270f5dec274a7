"""``twelve data clean``: lists of training images and examples to leave out, so that no program trains on an image that
a task is evaluated on.

Covers all datasets in a data root. Images are the same if their ids say so (clean.py) or, where their files are there,
if their pixels do (duplicates.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelve.data.clean import HeldOutImages, Links, Mode, Removed, by_reason, clean_splits, held_out_images, why_missing
from twelve.data.duplicates import Duplicate, duplicates
from twelve.data.examples.columns import images_of, take
from twelve.data.examples.reading import reading
from twelve.data.fingerprints import fingerprints
from twelve.data.sources import elsewhere
from twelve.errors import DataError, MissingData, quoted
from twelve.formats.data_root import IMAGES, DataRoot
from twelve.io.files import check_replaceable, replacing
from twelve.progress import counted
from twelve.tasks.base import Task, tasks_of
from twelve.types.examples import Example

REPORT, PAIRS = "report.txt", "duplicates.json"


@dataclass(frozen=True, slots=True)
class TaskExclusions:
    """What is removed from one task's training set.

    Attributes:
        images: image id -> {"task split": "id" or "pixels", how the image was found in that split}.
        examples: ids of the examples that show one of these images, in file order.
        overlap: other task -> numbers of (images, examples) of this training set that are in its held-out splits.
    """

    task: str
    split: str
    sizes: Removed
    images: Mapping[str, Mapping[str, str]]
    examples: tuple[str, ...]
    overlap: Mapping[str, tuple[int, int]]

    @property
    def lost(self) -> float:
        """Percentage of the examples."""
        return 100 * len(self.examples) / max(1, self.sizes.examples_before)

    def record(self, mode: Mode) -> dict[str, Any]:
        """The content of its JSON file."""
        sizes = self.sizes
        return {
            "task": self.task,
            "split": self.split,
            "held_out": mode,
            "examples_before": sizes.examples_before,
            "examples_after": sizes.examples_after,
            "lost_per_cent": round(self.lost, 3),
            "images": {image: dict(reasons) for image, reasons in self.images.items()},
            "examples": list(self.examples),
        }


@dataclass(frozen=True, slots=True)
class Exclusions:
    """The exclusions of every task whose training set the data root has; ``str()`` gives a report.

    Attributes:
        duplicates: pairs of images that were found by their pixels.
        compared: images, of ``images``, whose pixels were compared.
        skipped: what could not be held out or compared -> why.
        warnings: on tasks whose images seem to belong to another source, or are missing.
    """

    mode: Mode
    tasks: tuple[TaskExclusions, ...]
    duplicates: tuple[Duplicate, ...]
    compared: int
    images: int
    skipped: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        columns = list(dict.fromkeys(name for task in self.tasks for name in task.overlap))
        rows = [["task", "examples", "kept", "lost", *columns]]
        for task in self.tasks:
            sizes = task.sizes
            row = [task.task, f"{sizes.examples_before:,}", f"{sizes.examples_after:,}", f"{task.lost:.1f}%"]
            rows.append([*row, *("{:,}/{:,}".format(*task.overlap[name]) for name in columns)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        lines += [
            "",
            f"columns named after a task: images/examples of a row's training set that show its {self.mode} images",
            f"pixels of {self.compared:,} of {self.images:,} images compared: "
            f"{counted(len(self.duplicates), 'pair', 'show')} the same",
        ]
        lines += [f"left out: {', '.join(names)} ({reason})" for reason, names in by_reason(self.skipped).items()]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])

    def write(self, out: Path) -> None:
        """Write report.txt, duplicates.json and, for each task, a JSON file with reasons and two lists, one id a line,
        into the folder ``out``. Earlier lists there are replaced.

        Raises:
            ConfigError: the folder holds anything else.
        """
        check_out(out)
        with replacing(out) as folder:
            folder.mkdir()
            (folder / REPORT).write_text(f"{self}\n", encoding="utf-8")
            pairs = [
                {"image": pair.image, "of": pair.of, "window": pair.window, "correlation": round(pair.correlation, 4)}
                for pair in self.duplicates
            ]
            (folder / PAIRS).write_text(json.dumps(pairs, indent=1) + "\n", encoding="utf-8")
            for task in self.tasks:
                text = json.dumps(task.record(self.mode), indent=1) + "\n"
                (folder / f"{task.task}.json").write_text(text, encoding="utf-8")
                for kind, ids in (("images", task.images), ("examples", task.examples)):
                    lines = "".join(f"{key}\n" for key in ids)
                    (folder / f"{task.task}.{kind}.txt").write_text(lines, encoding="utf-8")


def check_out(out: Path) -> None:
    """Check that lists can be written to a folder, which holds nothing but earlier lists.

    Raises:
        TwelveError: they cannot, or it holds something else; says which.
    """
    examples = ".examples.txt"
    tasks = [path.name.removesuffix(examples) for path in out.glob(f"*{examples}")]
    names = [task + ending for task in tasks for ending in (".json", ".images.txt", examples)]
    check_replaceable(out, marks=(REPORT, PAIRS), names=names, what="lists of exclusions")


def find_exclusions(
    data: str | Path | DataRoot,
    mode: Mode = "test",
    *,
    tasks: Mapping[str, Task] | None = None,
    pixels: bool = True,
    progress: bool = True,
) -> Exclusions:
    """Compare every training set with every held-out split that the data root has.

    Args:
        mode: "test", or "test+val" to hold out validation splits as well.
        tasks: by default every registered task; extra ones only if the root has a folder for them.
        pixels: compare images, beside their ids, where their files are there.

    Raises:
        DataError: the data root does not exist, no training set in it, or a file is malformed.
    """
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    tasks = tasks or tasks_of(root)
    held_out = held_out_images(root, mode=mode, tasks=tasks, progress=progress)
    skipped = dict(held_out.skipped)
    train: dict[str, Sequence[Example]] = {}
    with reading(root, [(task, task.train_split) for task in tasks.values()], shown=progress) as read:
        for name, task in tasks.items():
            try:
                train[name] = read(task, task.train_split)
            except MissingData as error:
                skipped[f"{name} {task.train_split}"] = why_missing(root, task, error)
    if not train:
        problem, remedy = (
            "no training set of any task is here",
            f"see what is missing: twelve data check {quoted(root.path)}",
        )
        raise DataError(problem, file=root.path, remedy=remedy)
    images = dict.fromkeys(image for part in train.values() for those in images_of(part).values for image in those)
    images |= dict.fromkeys(sorted(held_out.images))
    files = {image: path for image in images if pixels and (path := root.image_file(image)) is not None}
    warnings = _without_files(root, tasks, train, held_out, pixels)
    prints = fingerprints(files, progress=progress)
    pairs = duplicates(prints, progress=progress)
    skipped |= {f"pixels of {image}": reason for image, reason in prints.unreadable.items()}
    same = joined(held_out.same, pairs)
    merged = HeldOutImages(mode, held_out.splits, held_out.skipped, same)
    _, report = clean_splits(train, merged)
    found = tuple(
        _exclusions(name, tasks[name].train_split, examples, report.removed[name], held_out, same)
        for name, examples in train.items()
    )
    return Exclusions(mode, found, tuple(pairs), len(prints.ids), len(images), skipped, warnings)


def _without_files(
    root: DataRoot,
    tasks: Mapping[str, Task],
    train: Mapping[str, Sequence[Example]],
    held_out: HeldOutImages,
    pixels: bool,
) -> tuple[str, ...]:
    """Warnings on tasks without a single image file, with the place where their files seem to be."""
    warnings, bare = [], dict[str, list[str]]()
    for name, task in tasks.items():
        shown = dict.fromkeys(image for those in images_of(train.get(name, ())).values for image in those)
        shown |= dict.fromkeys(
            image for split in held_out.splits if split.task == name for image in sorted(split.images)
        )
        if not shown or any(root.image_file(image) is not None for image in shown):
            continue
        sources = ", ".join(sorted({image.partition("/")[0] for image in shown}))
        where = elsewhere(root, task, list(shown))
        if where is not None:
            warnings.append(f"{name}: none of its {len(shown):,} images is in {IMAGES}/{sources}; {where}")
        elif pixels:
            bare.setdefault(sources, []).append(name)
    for sources, names in bare.items():
        warnings.append(
            f"{', '.join(names)}: not one image is here (source {sources}), so they were compared by their ids alone"
        )
    return tuple(warnings)


def joined(same: Mapping[str, str], pairs: Sequence[Duplicate]) -> dict[str, str]:
    """Image id -> one id for all images that show the same photograph, by ``same``, ``pairs``, or chains of these."""
    links = Links()
    for images in [*same.items(), *((pair.image, pair.of) for pair in pairs)]:
        links.join(images)
    return links.names()


def _exclusions(
    task: str,
    split: str,
    examples: Sequence[Example],
    sizes: Removed,
    held_out: HeldOutImages,
    same: Mapping[str, str],
) -> TaskExclusions:
    by_id = held_out.same
    plain: dict[str, frozenset[str]] = {}
    merged: dict[str, frozenset[str]] = {}
    for part in held_out.splits:
        name = f"{part.task} {part.split}"
        plain[name] = frozenset(by_id.get(image, image) for image in part.images)
        merged[name] = frozenset(same.get(image, image) for image in part.images)
    images: dict[str, dict[str, str]] = {}
    column = images_of(examples)
    for image in dict.fromkeys(image for those in column.values for image in those):
        reasons = {
            name: "id" if by_id.get(image, image) in plain[name] else "pixels"
            for name, those in merged.items()
            if same.get(image, image) in those
        }
        if reasons:
            images[image] = reasons
    overlap = {}
    for other in dict.fromkeys(part.task for part in held_out.splits):
        names = {f"{part.task} {part.split}" for part in held_out.splits if part.task == other}
        theirs = {image for image, reasons in images.items() if not names.isdisjoint(reasons)}
        overlap[other] = (len(theirs), int(column.where(not theirs.isdisjoint(those) for those in column.values).sum()))
    left_out = column.where(any(image in images for image in those) for those in column.values)
    removed = tuple(example.id for example in take(examples, left_out))
    return TaskExclusions(task, split, sizes, images, removed, overlap)
