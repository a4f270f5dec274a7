"""What a reproduction is going to do, told before it begins: downloads with their terms, disk space, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from twelve.downloads.download import Download
from twelve.downloads.plan import FetchPlan, make_plan
from twelve.errors import shown
from twelve.reproduce import estimate, needs
from twelve.reproduce.folders import RELEASED, Folders
from twelve.reproduce.measures import Measure, result_file
from twelve.tasks.base import Task


@dataclass(frozen=True, slots=True)
class WorkAhead:
    """What is going to be done; ``str()`` shows it.

    Attributes:
        downloads: the files, and what is known of them.
        images: how many images need regions, by the official numbers.
        left: measurements without a result -> pairs of a text and an image.
        speed: floating-point operations a second of this machine; 0 if nothing is left to measure.
        extract: regions are extracted, not imported.
        featureless: tasks whose released features are not here, and have no public URL.
        home: where features belong that somebody has.
    """

    downloads: FetchPlan
    images: int
    left: Mapping[Measure, int]
    speed: float
    extract: bool
    featureless: Sequence[str]
    home: Path

    @property
    def new_bytes(self) -> int:
        """Bytes that the stages add, at least: downloads, the converted model, regions."""
        model = max((each.rough or 0 for each in self.downloads.downloads if each.file == needs.MODEL), default=0)
        return self.downloads.known_bytes + model + self.images * estimate.IMAGE_BYTES

    def __str__(self) -> str:
        lines = [str(self.downloads)]
        lines.append(f"disk: at least {decimal(self.new_bytes)}, with the converted model and the regions in use")
        lines.append("time, roughly:")
        lines += [f"  {stage}: {words}" for stage, words in self.times()]
        if self.featureless:
            lines.append(
                f"cannot be measured like this: {', '.join(self.featureless)}: their released features have no public "
                f"URL -> put them into {self.home}/DATASET/NAME.lmdb, or run it with --extract, which makes "
                "regions from the images"
            )
        return shown("\n".join(lines))

    def times(self) -> list[tuple[str, str]]:
        """Stage -> how long it takes, and how that is estimated."""
        size, spent = self.downloads.known_bytes, estimate.spent
        found = []
        if self.downloads.wanted:
            words = f"{spent(size / estimate.NETWORK)} at {_speed(estimate.NETWORK)}, for the sizes that are known"
            found.append(("download", words))
        found.append(("conversion", f"{spent(estimate.CONVERSION)}, as measured on one core"))
        if self.extract:
            words = f"{self.images:,} images at {estimate.EXTRACTION:g} s each, as measured on two cores"
            found.append(("regions", f"{spent(self.images * estimate.EXTRACTION)}: {words}"))
        else:
            seconds = self.images * estimate.IMAGE_BYTES / estimate.IMPORT
            found.append(
                (
                    "regions",
                    f"{spent(seconds)}: {self.images:,} images at {_speed(estimate.IMPORT)}, as measured on one core",
                )
            )
        each = {measure: estimate.seconds(measure, pairs, self.speed) for measure, pairs in self.left.items()}
        words = "done before"
        if each:
            words = (
                f"{spent(sum(each.values()))}: operations of all pairs in the paper's model, by the speed of a matrix "
            )
            words += f"product here, now ({self.speed / 1e9:,.0f} G/s), times {estimate.OTHERS} for everything else"
        found.append(("evaluation", words))
        return found + [(f"  {measure}", f"{spent(each[measure])}, {self.left[measure]:,} pairs") for measure in each]


def ahead(
    folders: Folders,
    wanted: Sequence[Download],
    measures: Mapping[Task, Sequence[Measure]],
    *,
    extract: bool,
) -> WorkAhead:
    """Look at what is there, ask servers for sizes that nobody states, and measure the machine's speed for a moment."""
    left = [each for own in measures.values() for each in own if not result_file(folders, each).is_file()]
    task_of = {each: task for task, own in measures.items() for each in own}
    splits = {(each.task, each.split): estimate.images(task_of[each], each) for each in left}
    pairs = {each: estimate.pairs(task_of[each], each) for each in left}
    downloads = make_plan(wanted, folders.root)
    tasks = [] if extract else [task for task, own in measures.items() if not {*own}.isdisjoint(left)]
    featureless = [task.name for task in needs.without_features(folders.root, tasks, wanted)]
    speed, images = estimate.speed() if left else 0.0, sum(splits.values())
    return WorkAhead(downloads, images, pairs, speed, extract, featureless, folders.root / RELEASED / "datasets")


def _speed(speed: float) -> str:
    return f"{decimal(int(speed))}/s"
