"""From a whole data root to a region store, in one call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from twelve.errors import MissingData
from twelve.formats.data_root import IMAGES, DataRoot
from twelve.io.files import replacing
from twelve.regions.extraction.candidate_boxes import given_boxes, joined
from twelve.regions.extraction.jobs import Extractor, ExtractReport, detected_job, given_job, run_jobs
from twelve.regions.sizes import Size
from twelve.tasks.base import all_tasks
from twelve.types.examples import Box

COMPLETE = "complete.json"
"""Written last, when every source's regions are there."""


def extract_root(
    data: Path | DataRoot,
    out: Path,
    backbone: str = "microworld",
    *,
    boxes: str = "detect",
    weights: str | None = None,
    levels: Sequence[str] | None = None,
    input_size: Size | None = None,
    max_boxes: int | None = None,
    sources: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> list[ExtractReport]:
    """Extract all regions of a data root: every source's, and those of all boxes that its datasets give as candidates.

    Every image is looked at once. When all are there, ``complete.json`` in ``out`` says so. Interrupted, it goes on
    where it stopped when called again. Returns a report of each source.

    Args:
        data: the data root.
        boxes: ``detect`` or a grid.
        sources: of ``images/<source>``; None takes all.
        tasks: whose boxes are wanted; None takes every task about regions that has a folder in the data root.

    Raises:
        ConfigError, DataError, RegionError: as :func:`twelve.regions.extraction.extract.extract`.
    """
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    folder = root.path / IMAGES
    if sources is None:
        sources = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    if not sources:
        raise MissingData("no images here", file=folder, remedy="put them into images/<source>/")
    extractor = Extractor(
        backbone,
        weights=weights,
        levels=levels,
        input_size=input_size,
        batch_size=batch_size,
        workers=workers,
        device=device,
    )
    given, reports = _given(root, tasks), []
    for source in sources:
        paths = dict(root.images(source))
        jobs = [detected_job(extractor, extractor.box_source(boxes, max_boxes), paths, out / source, source)]
        givers = [name for name, by_image in given.items() if any(image_id in paths for image_id in by_image)]
        if givers:
            together = joined(given[name] for name in givers)
            jobs.append(given_job(extractor, together, givers, paths, out / source))
        reports.append(run_jobs(extractor, source, jobs, progress=progress))
    with replacing(out / COMPLETE) as partial:
        content = {"fingerprint": extractor.mark, "sources": list(sources), "given": sorted(given)}
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return reports


def _given(root: DataRoot, tasks: Sequence[str] | None) -> dict[str, dict[str, list[Box]]]:
    """Task -> image id -> boxes, of the tasks that give any."""
    if tasks is None:
        known = sorted(all_tasks(root.own_tasks).items())
        tasks = [name for name, task in known if task.has_candidates and (root.path / name).is_dir()]
    return {name: boxes for name in tasks if (boxes := given_boxes(root, [name]))}
