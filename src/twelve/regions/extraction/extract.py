"""From folders of images to region files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from twelve.errors import ConfigError
from twelve.formats.data_root import DataRoot
from twelve.regions.asked import PREFIX
from twelve.regions.detectors.network import Looker
from twelve.regions.extraction.candidate_boxes import given_boxes
from twelve.regions.extraction.jobs import Extractor, ExtractReport, Job, detected_job, given_job, run_jobs
from twelve.regions.extraction.shards import local_device, shard_of
from twelve.regions.images import MAX_PIXELS, list_images, source_of
from twelve.regions.sizes import Size

__all__ = ["ExtractReport", "extract"]


def extract(
    images: Path | Sequence[Path],
    boxes: str | Path | Sequence[str | Path],
    backbone: str | Looker,
    out: Path,
    *,
    data: Path | DataRoot | None = None,
    weights: str | None = None,
    levels: Sequence[str] | None = None,
    source: str | None = None,
    name: str | None = None,
    input_size: Size | None = None,
    legacy: bool = False,
    precision: str = "fp32",
    max_boxes: int | None = None,
    threshold: float | None = None,
    class_probabilities: bool = False,
    dtype: str = "float16",
    max_pixels: int = MAX_PIXELS,
    shard: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> ExtractReport:
    """Extract the regions of all images in some folders into ``out/<source>/<name>.arrow``, and those of boxes that
    datasets give into ``out/<source>/given/<tasks>.arrow``.

    Killed at any point, it goes on where it stopped when called again; finished, it does nothing. Images added to
    the folders later go to a further file beside the first, as do boxes of a dataset added later. An image that cannot
    be decoded is reported, not fatal.

    Args:
        images: a folder, or several that are one source.
        boxes: region files (boxes only, or with features that are ignored), ``grid:SIZE[/STEP]`` or
            ``grid:ROWSxCOLUMNS`` (pixels of the original image), ``patches`` (every cell of the network's last map,
            or of the one level that ``levels`` names), or ``detect`` (the backbone finds its own). Beside or instead
            of these, ``given:TASK``, once for every task whose boxes are wanted.
        backbone, weights, levels, input_size, legacy, precision: see
            :func:`twelve.regions.detectors.by_name.build_looker`; or a looker itself.
        out: root of the region store.
        data: the data root that holds the files of the tasks in ``given:TASK``.
        source: image source; by default what follows ``images`` in the folder's path, else the folder's name.
        name: of the file; by default the folders' names.
        max_boxes: keep the most confident so many boxes of an image.
        threshold: the least score of boxes that the network finds.
        shard: ``i/n``: only the images of part i of n, to a file of their own; by default the part of this process
            where a launcher has started several (:func:`twelve.regions.extraction.shards.shard_of`).
        class_probabilities, dtype, max_pixels, batch_size, workers: see
            :class:`twelve.regions.extraction.feature_extractor.Extractor`.

    Raises:
        ConfigError: settings that cannot work.
        DataError: a file of a task in ``given:TASK`` is missing or malformed.
        RegionError: a file is missing, damaged or in the way; the disk is full.
    """
    started = time.monotonic()
    folders = [images] if isinstance(images, Path) else list(images)
    source = _one_source(folders) if source is None else _folder_name(source, "--source")
    if name is not None:
        _folder_name(name, "name")
    paths = list_images(folders, source)
    asked, tasks = _asked(boxes)
    part = shard_of(shard)
    extractor = Extractor(
        backbone,
        weights=weights,
        levels=levels,
        input_size=input_size,
        patches=asked == ["patches"],
        legacy=legacy,
        precision=precision,
        class_probabilities=class_probabilities,
        dtype=dtype,
        max_pixels=max_pixels,
        batch_size=batch_size,
        workers=workers,
        device=local_device(device),
    )
    jobs: list[Job] = []
    if asked:
        supply = extractor.box_source(asked, max_boxes, threshold)
        found = name or "+".join(folder.name for folder in folders)
        jobs.append(detected_job(extractor, supply, paths, out / source, found, part))
    if tasks:
        jobs.append(given_job(extractor, given_boxes(_root(data), tasks), tasks, paths, out / source, part))
        if not jobs[-1].todo and not jobs[-1].present and part is None:
            raise ConfigError(
                f"{', '.join(tasks)} gives no boxes of these images", remedy="check --images, --data and given:TASK"
            )
    return run_jobs(extractor, source, jobs, progress=progress, started=started)


def _asked(boxes: str | Path | Sequence[str | Path]) -> tuple[list[str | Path], list[str]]:
    """What ``--boxes`` asks for: box sources of the image, and tasks that give boxes."""
    every = [boxes] if isinstance(boxes, (str, Path)) else list(boxes)
    tasks = [str(one).removeprefix(PREFIX) for one in every if str(one).startswith(PREFIX)]
    asked = [one for one in every if not str(one).startswith(PREFIX)]
    if tasks and "patches" in asked:
        raise ConfigError("patches and given boxes have different features", remedy="extract them into two stores")
    if not every:
        raise ConfigError("no boxes given", remedy="give --boxes FILE, grid:SIZE, patches, detect or given:TASK")
    return asked, list(dict.fromkeys(tasks))


def _root(data: Path | DataRoot | None) -> DataRoot:
    if data is None:
        raise ConfigError(
            "given:TASK needs the dataset's files", remedy="name the data root that holds them: --data ROOT"
        )
    return data if isinstance(data, DataRoot) else DataRoot(data)


def _folder_name(name: str, option: str) -> str:
    """``name``, known to be one folder's: a store has one folder a source, and none outside it."""
    if name.strip() in ("", ".", "..") or "/" in name or "\\" in name:
        raise ConfigError(f"{option} {name!r} is not a name", remedy="give a plain name such as coco, not a path")
    return name


def _one_source(folders: Sequence[Path]) -> str:
    sources = {source_of(folder) for folder in folders}
    if not sources:
        raise ConfigError("no folder of images given", remedy="give --images DIR")
    if len(sources) > 1:
        raise ConfigError(f"the folders are of several sources: {', '.join(sorted(sources))}", remedy="give --source")
    return sources.pop()
