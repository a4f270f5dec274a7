"""The regions of the images that a task is measured on: released features, imported, or regions extracted anew."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from twelve.errors import MissingData, RegionError
from twelve.formats.data_root import DataRoot
from twelve.regions.importers import import_regions
from twelve.regions.store.region_file import GIVEN, RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.reproduce import needs
from twelve.reproduce.folders import Folders
from twelve.tasks.base import Task

DETECTOR = "x152"
"""Both the name of the detector and what the imported features say made them."""


def make(folders: Folders, task: Task, images: Sequence[str], *, extract: bool) -> list[Path]:
    """Make the regions of a task's images, unless that is done.

    Args:
        images: ids of the images that the task is measured on.
        extract: from image files, with the released detector; else from released features.

    Returns:
        The region files that hold them.

    Raises:
        RegionError: some images have no regions; says what to do.
        MissingData: image files are missing.
    """
    if extract:
        _extract(folders, task, images)
    else:
        _import(folders, task, images)
    _check(folders, task, images, extract)
    return holding(folders.regions, task, images)


def done(folders: Folders, task: Task, images: Sequence[str]) -> bool:
    """Whether every image has its regions."""
    store = RegionStore(folders.regions)
    return all(image in store and (not task.has_candidates or store.has_given(image)) for image in images)


def digest(images: Collection[str]) -> str:
    """A name for a set of images."""
    return hashlib.sha256("\n".join(sorted(images)).encode()).hexdigest()[:16]


def origins(folders: Folders, task: Task, images: Sequence[str]) -> list[needs.Features]:
    """The released features that may hold a task's images, those of candidates last."""
    sources = {image.partition("/")[0] for image in images}
    found = needs.features(DataRoot(folders.root), needs.twelve_tasks().values())
    detected = [each for each in found if each.source in sources and not each.given]
    return detected + [each for each in found if each.given and each.task == task.name and task.has_candidates]


def holding(store: Path, task: Task, images: Collection[str]) -> list[Path]:
    """The region files with any of these images."""
    wanted = set(images)
    depths = ("*.arrow", f"{GIVEN}/*.arrow") if task.has_candidates else ("*.arrow",)
    sources = sorted({image.partition("/")[0] for image in images})
    files = [file for source in sources for depth in depths for file in sorted((store / source).glob(depth))]
    return [file for file in files if any(not wanted.isdisjoint(view.ids) for view in RegionFile(file).views)]


def _import(folders: Folders, task: Task, images: Sequence[str]) -> None:
    for each in origins(folders, task, images):
        import_regions(
            each.path, folders.regions, source=each.source, detector=DETECTOR, given=each.given, images=set(images)
        )


def _extract(folders: Folders, task: Task, images: Sequence[str]) -> None:
    from twelve.regions.extraction.candidate_boxes import given_boxes
    from twelve.regions.extraction.extractor import Extractor
    from twelve.regions.extraction.jobs import detected_job, given_job, run_jobs
    from twelve.regions.extractor_config import DETECT, ExtractorConfig

    root = DataRoot(folders.root)
    paths = {image: path for image in images if (path := root.image_file(image)) is not None}
    if lacking := [image for image in images if image not in paths]:
        raise MissingData(
            f"{len(lacking):,} of {len(images):,} images of {task.name} are not here, the first is {lacking[0]}",
            file=root.path / "images" / lacking[0].partition("/")[0],
            remedy=f"put them there (page: {task.page}), or use the released features: leave --extract out",
        )
    weights = needs.released(folders.root, needs.DETECTOR)
    extractor = Extractor(ExtractorConfig(DETECTOR, str(weights), boxes=DETECT))
    for source in sorted({image.partition("/")[0] for image in images}):
        own = {image: path for image, path in paths.items() if image.startswith(f"{source}/")}
        jobs = [detected_job(extractor, own, folders.regions / source, task.name)]
        if task.has_candidates:
            boxes = given_boxes(root, [task.name])
            jobs.append(given_job(extractor, boxes, [task.name], own, folders.regions / source))
        run_jobs(extractor, source, jobs, progress=True)


def _check(folders: Folders, task: Task, images: Sequence[str], extract: bool) -> None:
    store = RegionStore(folders.regions)
    kinds = [("regions", [image for image in images if image not in store])]
    if task.has_candidates:
        there = [image for image in images if image in store]
        kinds.append(("regions of the boxes that it gives", [image for image in there if not store.has_given(image)]))
    for what, lacking in kinds:
        if lacking:
            remedy = (
                f"fetch the features of these images into {folders.root / 'released'}, or extract regions: --extract"
            )
            raise RegionError(
                f"{len(lacking):,} of {len(images):,} images of {task.name} have no {what}, the first is {lacking[0]}",
                file=folders.regions / lacking[0].partition("/")[0],
                remedy="see which images could not be read, above" if extract else remedy,
            )
