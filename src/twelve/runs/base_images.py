"""Which test images of a run its base model was trained on (:class:`twelve.types.trained_images.TrainedImages`)."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from twelve.data import table_origin
from twelve.errors import quoted
from twelve.progress import counted
from twelve.run_folder import RunFolder
from twelve.types.trained_images import TrainedImages

if TYPE_CHECKING:
    from twelve.data.prepare import Prepared

NAMED = 5
"""How many images a warning names at most."""


@dataclass(frozen=True, slots=True)
class OfTask:
    """The test images of one task.

    Attributes:
        images: how many there are.
        compared: how many of them could be compared with the base model's training images.
        seen: ids of those among these.
    """

    images: int
    compared: int
    seen: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BaseImages:
    """A comparison of a run's test images with the images that its base model was trained on.

    Attributes:
        complete: whether the content of all images of the base model is known.
        tasks: by name; none if nothing could be compared.
    """

    complete: bool = False
    tasks: Mapping[str, OfTask] = field(default_factory=dict)

    def sentences(self, titles: Mapping[str, str]) -> dict[str, str]:
        """What was found: task -> a sentence on its test images that the base model was trained on; under "" what else
        there is to say.

        Args:
            titles: of the tasks.
        """
        found = {
            name: f"{len(each.seen):,} of {counted(each.compared, 'test image')} of "
            f"{titles.get(name, name)} {'was' if len(each.seen) == 1 else 'were'} used to train the base model: the "
            "score may be too high"
            for name, each in self.tasks.items()
            if each.seen
        }
        rest = [] if found else [f"none of the test images was used to train the base model ({self._counts(titles)})"]
        rest += (
            []
            if self.complete
            else ["not all training images of the base model are recorded with their content: there may be more"]
        )
        return found | ({"": "; ".join(rest)} if rest else {})

    def warning(self, name: str, title: str, images: Collection[str]) -> str:
        """The sentence on a task's test images that the base model was trained on; "" if none of them was.

        Args:
            images: those of the test split as it is now.
        """
        each = self.tasks.get(name, OfTask(0, 0))
        seen = [image for image in each.seen if image in images]
        now = OfTask(len(images), min(each.compared, len(images)), seen)
        return BaseImages(self.complete, {name: now}).sentences({name: title}).get(name, "")

    def _counts(self, titles: Mapping[str, str]) -> str:
        """How many images of each task were compared."""
        return "compared: " + ", ".join(
            f"{each.compared:,}{f' of {each.images:,}' * (each.images > each.compared)} of {titles.get(name, name)}"
            for name, each in self.tasks.items()
        )


def trained_images(data: Prepared) -> TrainedImages:
    """The images that a run trains on, without those that it validates on."""
    from twelve.data.examples.columns import distinct_images
    from twelve.data.image_digests import image_digests

    images = distinct_images(*(task.train for task in data.tasks.values()))
    found = image_digests(images, data.root, data.held_out.same).values()
    digests = frozenset(digest for each in found for digest in each if digest)
    return TrainedImages(digests, complete=all(content for content, _ in found))


def compare(data: Prepared, base: TrainedImages | None) -> BaseImages:
    """Compare the test images of a run's tasks with ``base``, the images of its base model."""
    from twelve.data.image_digests import image_digests

    if base is None or not base.digests:
        return BaseImages()
    tests = {
        split.task: sorted(split.images)
        for split in data.held_out.splits
        if split.task in data.tasks and split.split == data.tasks[split.task].test_split
    }
    every = list(dict.fromkeys(image for images in tests.values() for image in images))
    digests = image_digests(every, data.root, data.held_out.same)
    known = {image for image in every if any(digests[image])}
    seen = {image for image in known if not base.digests.isdisjoint(digests[image])}
    tasks = {
        name: OfTask(len(images), len(known.intersection(images)), [image for image in images if image in seen])
        for name, images in tests.items()
        if not known.isdisjoint(images)
    }
    return BaseImages(base.complete, tasks)


def recorded_in(run: RunFolder) -> BaseImages:
    """The comparison that a run has recorded; empty if it has none."""
    try:
        return TypeAdapter(BaseImages).validate_python(run.read(run.data).get("base_images", {}))
    except ValidationError:
        return BaseImages()


def lines(found: BaseImages, data: Prepared, run: Path, base: str) -> list[str]:
    """What training says of a comparison, with a remedy for each task.

    Args:
        run: the run's folder.
        base: the base model, as the configuration names it.
    """
    if not found.tasks:
        return [f"not compared with these sets: the images that the base model, {base}, was trained on"]
    said = found.sentences({name: task.task.title for name, task in data.tasks.items()})
    return [f"warning: {text}; {_remedy(data, name, found, run)}" if name else text for name, text in said.items()]


def _remedy(data: Prepared, name: str, found: BaseImages, run: Path) -> str:
    """How to measure a task on other images than those that were seen."""
    from twelve.tasks.custom import FileTask

    task, seen, anew = data.tasks[name], found.tasks[name].seen, "--set run=ANOTHER"
    if not isinstance(task.task, FileTask):
        return f"for a score on images that are new to the model, begin with a new one: --set model.init=null {anew}"
    files = [data.root.image_file(image) for image in seen[:NAMED]]
    shown = ", ".join(image if path is None else path.name for image, path in zip(seen, files, strict=False))
    shown += f" and {len(seen) - NAMED:,} more, listed in {RunFolder(run).data}," if len(seen) > NAMED else ""
    verb = "remove" if len(seen) < found.tasks[name].images else "replace"
    origin = table_origin.of_split(data.root.path, task.test_split)
    if origin is None:
        return f"{verb} the lines of {shown} in {data.root.path / task.test_split}, then train anew: {anew}"
    table, command = quoted(origin.tables[task.test_split]), shlex.join(origin.command)
    return f"{verb} the lines of {shown} in {table}, run: {command}, then train anew: {anew}"
