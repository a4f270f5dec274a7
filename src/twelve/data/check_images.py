"""What is wrong with the images of a data root: files that are missing or damaged, sizes and boxes that do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twelve.data.examples.columns import have_boxes, take
from twelve.data.image_sizes import size_or_flaw
from twelve.data.opening import misnamed, no_images
from twelve.data.own_files import missing_images
from twelve.data.sources import MOST, elsewhere, fetching_images
from twelve.errors import DataError, TwelveError, located_problem
from twelve.formats import flaws
from twelve.formats.data_root import DataRoot
from twelve.regions.store.region_store import RegionStore
from twelve.tasks.base import Task
from twelve.tasks.custom import FileTask
from twelve.types.examples import Box, Example

_FRACTION = 2.0
"""Pixels: boxes that all lie within this are fractions of the image's size."""


class CheckedImages:
    """The images of all tasks, each opened once."""

    def __init__(self, root: DataRoot, store: RegionStore) -> None:
        self._root, self._store = root, store
        self._sizes: dict[str, tuple[int, int] | str] = {}
        """Image id -> width and height, or what is wrong with its file."""
        self.lacking: dict[tuple[str, str], dict[str, bool]] = {}
        """(task, split) -> image source with regions to extract -> whether those of no boxes that a dataset gives."""

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
            half = [image for image in asked if image in store and not store.has_given(image)]
        except TwelveError as error:
            return [str(error)], []
        if neither:
            share = f"{len(neither):,} of {len(images):,} images"
            if isinstance(task, FileTask) and (folder := no_images(task, root, store, neither[0], len(images))):
                return [str(folder)], []
            where = elsewhere(root, task, neither, store) if len(neither) >= MOST * len(images) else None
            if isinstance(task, FileTask) and not where:
                return flaws.first_of(missing_images(task, root, split, neither)), []
            remedy = misnamed(neither, root, store)
            if not remedy and len(neither) == len(images) and (command := fetching_images(root, task)):
                remedy = f"fetch them: {command}"
            more = f"; {where}" if where else f" -> {remedy}" if remedy else ""
            return [f"{share} have neither a file nor regions; the first is {neither[0]}{more}"], []
        damaged = [(image, found) for image in bare if isinstance(found := self._file(image), str)]
        if damaged:
            image, found = damaged[0]
            share = f"{len(damaged):,} of {len(images):,} image files {'is' if len(damaged) == 1 else 'are'} damaged"
            remedy = "replace them by complete copies" if isinstance(task, FileTask) else "download them again"
            first = located_problem(str(root.image_file(image)), found)
            return [f"{share}; the first: {first} -> {remedy}"], []
        whole = {image.split("/")[0]: True for image in bare}
        self.lacking[task.name, split] = {image.split("/")[0]: False for image in half} | whole
        notes = []
        if without_file:
            notes.append(f"{len(without_file):,} of {len(images):,} images have regions but no file")
        if bare:
            notes.append(f"{len(bare):,} of {len(images):,} images have no regions yet")
        if half:
            notes.append(f"{len(half):,} of {len(asked):,} images have regions, but not yet of their candidate boxes")
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
            self._sizes[image] = "no file" if path is None else size_or_flaw(path)
        return self._sizes[image]


def wrong_sizes(task: Task, root: DataRoot, split: str, seen: CheckedImages) -> list[str]:
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
        f"{len(wrong):,} of {len(stated):,} images do not have the size that the files state; the first is {first}: "
        f"{wrong[first]} -> use the images and the files of the official release"
    ]


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def wrong_boxes(examples: Sequence[Example], seen: CheckedImages) -> tuple[list[str], list[str]]:
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
