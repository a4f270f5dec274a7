"""From folders of images, or a whole data root, to region files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from twelve.errors import ConfigError, MissingData
from twelve.formats.data_root import IMAGES, DataRoot
from twelve.io.files import replacing
from twelve.regions.detectors.feature_extractor import FeatureExtractor
from twelve.regions.extraction.candidate_boxes import given_boxes, joined
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extraction.jobs import ExtractReport, Job, detected_job, given_job, run_jobs
from twelve.regions.extraction.shards import local_device, shard_of
from twelve.regions.extractor_config import DETECT, ExtractorConfig, drawn_by
from twelve.regions.images import list_images, source_of
from twelve.regions.store.resumable_writer import plain_name
from twelve.tasks.base import all_tasks
from twelve.types.examples import Box

COMPLETE = "complete.json"
"""Written by :func:`extract_root` when the regions of every source are complete."""


def extract(
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    config: ExtractorConfig,
    *,
    network: FeatureExtractor | None = None,
    given: Sequence[str] = (),
    data: str | Path | DataRoot | None = None,
    source: str | None = None,
    name: str | None = None,
    shard: str | None = None,
    progress: bool = True,
) -> ExtractReport:
    """Extract the regions of all images in some folders to ``out/<source>/<name>.arrow``. The regions of boxes that
    datasets give go to ``out/<source>/given/<tasks>.arrow``.

    An extraction that was killed resumes when it is called again; a finished one does nothing. Images added to the
    folders later go to another file beside the first, as do boxes of datasets added later. An image that cannot be
    decoded is reported and skipped.

    Args:
        images: a folder, or several folders of one source.
        out: root of the region store.
        config: the extractor. With ``given``, empty ``boxes`` and ``box_files`` mean that only given boxes are wanted.
        network: your own network, instead of the one that ``config.backbone`` names.
        given: tasks whose candidate boxes are wanted.
        data: the data root with the files of these tasks.
        source: image source; by default what follows ``images`` in the folder's path, else the folder's name.
        name: name of the file; by default the folders' names.
        shard: ``i/n`` for part i of n only, in a file of its own; by default the part of this process if a launcher
            has started several (:func:`twelve.regions.extraction.shards.shard_of`).

    Raises:
        ConfigError: the settings cannot work.
        DataError: a file of a task in ``given`` is missing or malformed.
        RegionError: a file is missing, damaged or in the way; the disk is full.
    """
    started = time.monotonic()
    out, folders = Path(out), [Path(each) for each in ([images] if isinstance(images, str | Path) else images)]
    source = _one_source(folders) if source is None else plain_name(source, "--source")
    if name is not None:
        plain_name(name, "name")
    paths, tasks = list_images(folders, source), list(dict.fromkeys(given))
    boxes = bool(config.boxes or config.box_files)
    if tasks and config.patches:
        raise ConfigError("patches and given boxes have different features", remedy="extract them into two stores")
    if not boxes and not tasks:
        raise ConfigError("no boxes given", remedy="give --boxes FILE, grid:SIZE, patches, detect or given:TASK")
    part = shard_of(shard)
    extractor = Extractor(replace(config, device=local_device(config.device)), network)
    jobs: list[Job] = []
    if boxes:
        found = name or "+".join(folder.name for folder in folders)
        jobs.append(detected_job(extractor, paths, out / source, found, part))
    if tasks:
        jobs.append(given_job(extractor, given_boxes(_root(data), tasks), tasks, paths, out / source, part))
        if not jobs[-1].todo and not jobs[-1].present and part is None:
            raise ConfigError(
                f"{', '.join(tasks)} gives no boxes for these images", remedy="check --images, --data and given:TASK"
            )
    return run_jobs(extractor, source, jobs, progress=progress, started=started)


def extract_root(
    data: str | Path | DataRoot,
    out: str | Path,
    config: ExtractorConfig | None = None,
    *,
    sources: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    progress: bool = True,
) -> list[ExtractReport]:
    """Extract all regions of a data root: the regions of each source, and of all boxes that the datasets give.

    Each image goes through the network once. At the end, ``complete.json`` in ``out`` is written. An extraction that
    was killed resumes when it is called again. Returns one report per source.

    Args:
        data: the data root.
        config: the extractor; by default the microworld's detector.
        sources: image sources, as in ``images/<source>``; None takes all.
        tasks: tasks whose candidate boxes are wanted; None takes every region task with a folder in the data root.

    Raises:
        ConfigError, DataError, RegionError: see :func:`extract`.
    """
    root, out = data if isinstance(data, DataRoot) else DataRoot(data), Path(out)
    folder = root.path / IMAGES
    if sources is None:
        sources = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    if not sources:
        raise MissingData("no images here", file=folder, remedy="put them into images/<source>/")
    extractor = Extractor(config or ExtractorConfig(drawn_by(root.path), boxes=DETECT))
    given, reports = _given(root, tasks), []
    for source in sources:
        paths = dict(root.images(source))
        jobs = [detected_job(extractor, paths, out / source, source)]
        givers = [task for task, by_image in given.items() if any(image_id in paths for image_id in by_image)]
        if givers:
            jobs.append(given_job(extractor, joined(given[task] for task in givers), givers, paths, out / source))
        reports.append(run_jobs(extractor, source, jobs, progress=progress))
    with replacing(out / COMPLETE) as partial:
        content = {"fingerprint": extractor.mark, "sources": list(sources), "given": sorted(given)}
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return reports


def _given(root: DataRoot, tasks: Iterable[str] | None) -> Mapping[str, Mapping[str, list[Box]]]:
    """Task -> image id -> boxes, for the tasks that give any."""
    if tasks is None:
        known = sorted(all_tasks(root.own_tasks).items())
        tasks = [name for name, task in known if task.has_candidates and (root.path / name).is_dir()]
    return {name: boxes for name in tasks if (boxes := given_boxes(root, [name]))}


def _root(data: str | Path | DataRoot | None) -> DataRoot:
    if data is None:
        raise ConfigError("given:TASK needs the dataset's files", remedy="name their data root: --data ROOT")
    return data if isinstance(data, DataRoot) else DataRoot(data)


def _one_source(folders: Sequence[Path]) -> str:
    sources = {source_of(folder) for folder in folders}
    if not sources:
        raise ConfigError("no folder of images given", remedy="give --images DIR")
    if len(sources) > 1:
        raise ConfigError(f"the folders are of several sources: {', '.join(sorted(sources))}", remedy="give --source")
    return sources.pop()
