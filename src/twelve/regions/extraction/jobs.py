"""A job makes one region file. The jobs of a source run together, so that each image goes through the network once.

A job that was killed resumes when it is run again; a finished job does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from twelve.errors import RegionError
from twelve.io.files import replacing
from twelve.progress import Track, counted
from twelve.regions.extraction.box_sources import BoxSource, Cells, Detected
from twelve.regions.extraction.candidate_boxes import GivenBoxes, stored_boxes
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extraction.fidelity import Fidelity, fidelities
from twelve.regions.extraction.pipeline import MORE_PIXELS, Pipeline
from twelve.regions.extraction.shards import Shard
from twelve.regions.recipe import Made
from twelve.regions.store.region_file import GIVEN, RegionFile, check_alike
from twelve.regions.store.resumable_writer import PartWriter, free_name, remove_leftovers
from twelve.types.examples import Box
from twelve.types.regions import Regions

_SECONDS_AT_RISK = 60.0
"""Regions are written at least this often, so that a kill costs no more."""
_FAILED = ".failed.tsv"
"""Suffix of the list of skipped images."""
_SHOWN = 20
"""Number of skipped images that a report lists; the file beside the regions lists all."""


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """The result of an extraction.

    Attributes:
        source: image source; ``<source>/given`` for boxes that datasets give.
        file: the region file written; None if there was nothing to do.
        written: images in that file, including those of earlier unfinished runs.
        resumed: images of earlier unfinished runs.
        present: requested images that finished files already contained.
        failed: {image id: why} for skipped images.
        failed_file: lists them, one per line; None if there are none.
        fingerprint, feature_size: of the features.
        seconds: wall time.
        fidelity: comparison with fp32, for an extraction with a lower precision.
        newer: {image id: region file} for present images whose files were written after their regions.
        given: the result for the boxes that datasets give, if both were extracted.
    """

    source: str
    file: Path | None
    written: int
    resumed: int
    present: int
    failed: Mapping[str, str]
    fingerprint: str
    feature_size: int
    seconds: float
    failed_file: Path | None = None
    fidelity: Fidelity | None = None
    newer: Mapping[str, Path] = field(default_factory=dict)
    given: ExtractReport | None = None

    @property
    def left_out(self) -> bool:
        """Whether any image was skipped, including those with boxes that datasets give."""
        return bool(self.failed) or (self.given is not None and self.given.left_out)

    def __str__(self) -> str:
        if self.file is None and not self.present:
            text = f"{self.source}: no image is extracted"
        elif self.file is None:
            there = "the image is" if self.present == 1 else f"all {self.present:,} images are"
            text = f"{self.source}: nothing to do, {there} extracted"
        else:
            text = f"{self.source}: {counted(self.written, 'image')} in {self.file} ({self.seconds:.0f} s)"
            text += f", {self.resumed:,} of them from an earlier run" if self.resumed else ""
            were = "was" if self.present == 1 else "were"
            text += f"; {self.present:,} {were} extracted before" if self.present else ""
        text += f"; compared with fp32: {self.fidelity}" if self.fidelity else ""
        if self.newer:
            image, file = next(iter(self.newer.items()))
            were = "image file was" if len(self.newer) == 1 else "image files were"
            text += (
                f"\n{self.source}: {len(self.newer)} {were} written after the regions (the first: {image}); the "
                f"stored regions are kept: if images have changed, delete {file}, then run the same command again"
            )
        if self.failed:
            shown = list(self.failed.items())[:_SHOWN]
            text += f"; {len(self.failed)} skipped:" + "".join(f"\n  {key}: {why}" for key, why in shown)
            lacking, them = ("image has", "its file by a complete copy")
            if len(self.failed) > 1:
                lacking, them = ("images have", "their files by complete copies")
            if any(MORE_PIXELS in why for why in self.failed.values()):
                them += ", or by a smaller one if it has too many pixels"
            every = f" (all in {self.failed_file})" if len(self.failed) > _SHOWN else ""
            text += (
                f"\n{self.source}: {len(self.failed)} {lacking} no regions{every}: replace {them}, then run the same "
            )
            text += "command again, which extracts only what is missing"
        return text if self.given is None else f"{text}\n{self.given}"


@dataclass(slots=True)
class Job:
    """A region file to make.

    Attributes:
        supply: its boxes.
        target: the file.
        failures: the file that lists skipped images.
        todo: requested images in no finished file, by id.
        present: requested images in finished files.
        shard: the part of the source, if it is divided.
        writer: open while the job runs.
        newer, resumed, fidelity, failed: see :class:`ExtractReport`.
    """

    supply: BoxSource
    target: Path
    failures: Path
    todo: dict[str, Path]
    present: set[str]
    shard: Shard | None = None
    newer: Mapping[str, Path] = field(default_factory=dict)
    writer: PartWriter | None = None
    resumed: int = 0
    fidelity: Fidelity | None = None
    failed: dict[str, str] = field(default_factory=dict)

    def start(self, writer: PartWriter) -> None:
        """Resume an unfinished run; raises RegionError if it contains images that finished files contain, too."""
        self.writer, self.resumed = writer, len(writer.done)
        if twice := sorted(writer.done & self.present):
            raise RegionError(
                f"an unfinished extraction here holds {counted(len(twice), 'image')} that finished files hold too "
                f"({twice[0]}, ...)",
                file=writer.folder,
                remedy="delete that folder and run again",
            )

    def add(self, regions: Regions) -> None:
        """Write an image, unless this job does not need it."""
        if self.writer is not None and regions.image_id in self.todo and regions.image_id not in self.writer.done:
            self.writer.add(regions)

    def finish(self, failed: Mapping[str, str]) -> None:
        """Write the file and the list of skipped images, which replaces that of an earlier run."""
        self.failed = {key: why for key, why in failed.items() if key in self.todo}
        if self.writer is not None and self.writer.done:
            extra = {"failed": json.dumps(self.failed, sort_keys=True)} if self.failed else {}
            self.writer.finish(extra | ({"fidelity": str(self.fidelity)} if self.fidelity else {}))
        elif self.writer is not None and not self.present and self.shard is None:
            first, why = next(iter(self.failed.items()))
            raise RegionError(
                f"none of the {len(self.todo)} images could be extracted ({first}: {why})",
                file=next(iter(self.todo.values())).parent,
                remedy="check --images and --boxes",
            )
        if self.failed:
            with replacing(self.failures) as partial:
                partial.write_text("".join(f"{key}\t{why}\n" for key, why in self.failed.items()), encoding="utf-8")
        else:
            self.failures.unlink(missing_ok=True)

    def report(self, extractor: Extractor, source: str, seconds: float) -> ExtractReport:
        written = len(self.writer.done) if self.writer is not None else 0
        return ExtractReport(
            source=f"{source}/{GIVEN}" if isinstance(self.supply, GivenBoxes) else source,
            file=self.target if written else None,
            written=written,
            resumed=self.resumed,
            present=len(self.present),
            failed=self.failed,
            failed_file=self.failures if self.failed else None,
            fidelity=self.fidelity,
            newer=self.newer,
            fingerprint=extractor.mark,
            feature_size=extractor.feature_size,
            seconds=seconds,
        )


def detected_job(
    extractor: Extractor, paths: Mapping[str, Path], folder: Path, name: str, shard: Shard | None = None
) -> Job:
    """The rest of a source's regions: ``<folder>/<name>.arrow``, or ``<folder>/<name>-<shard>.arrow`` for a shard.

    Raises:
        RegionError: finished files were made by another extractor, or have other boxes for one of these images.
    """
    remove_leftovers(folder)
    paths, name = _part(paths, name, shard)
    present = _present(folder, paths, Made(extractor.mark, extractor.recipe()), extractor.boxes)
    todo = {key: path for key, path in paths.items() if key not in present}
    newer = {key: file for key, file in present.items() if _written(paths[key]) > _written(file)}
    return Job(extractor.boxes, free_name(folder, name), folder / f"{name}{_FAILED}", todo, set(present), shard, newer)


def given_job(
    extractor: Extractor,
    boxes: Mapping[str, Sequence[Box]],
    tasks: Sequence[str],
    paths: Mapping[str, Path],
    source: Path,
    shard: Shard | None = None,
) -> Job:
    """The rest of the boxes that datasets give: ``<source>/given/<tasks>.arrow``, or ``<source>/given/<tasks>-<shard>``
    for a shard.

    Raises:
        RegionError: finished files were made by another extractor.
    """
    folder = source / GIVEN
    paths, name = _part(paths, "+".join(tasks), shard)
    asked = {key: boxes[key] for key in paths if key in boxes}
    remove_leftovers(folder)
    supply = GivenBoxes(asked, tasks, stored_boxes(folder, extractor.mark))
    todo = {key: paths[key] for key in asked if key in supply}
    return Job(supply, free_name(folder, name), folder / f"{name}{_FAILED}", todo, asked.keys() - todo.keys(), shard)


def _part(paths: Mapping[str, Path], name: str, shard: Shard | None) -> tuple[Mapping[str, Path], str]:
    """The images of a shard, and the name of its file."""
    return (paths, name) if shard is None else (shard.of(paths), f"{name}-{shard}")


def run_jobs(
    extractor: Extractor, source: str, jobs: Sequence[Job], *, progress: bool, started: float | None = None
) -> ExtractReport:
    """Run the jobs of one source together, the job of the detected regions first.

    Raises:
        RegionError: none of a job's images could be extracted, or the disk is full.
    """
    started = time.monotonic() if started is None else started
    failed: dict[str, str] = {}
    active = [job for job in jobs if job.todo]
    with ExitStack() as stack:
        left: dict[str, Path] = {}
        for job in active:
            writer = stack.enter_context(PartWriter(job.target, extractor.schema(job.supply, source)))
            job.start(writer)
            left.update((key, path) for key, path in job.todo.items() if key not in writer.done)
        # Of all images to do, not of those left: the same images count, however often the job was killed.
        measured = fidelities(extractor, [(job.supply, job.todo) for job in active], progress=progress)
        for job, fidelity in zip(active, measured, strict=True):
            job.fidelity = fidelity
        if active:
            run = Pipeline(extractor.network, extractor.config, [job.supply for job in active], failed)
            with Track(f"extracting {source}", len(left), "images", shown=progress) as bar:
                _fill(active, run.regions(left), bar)
        for job in jobs:
            job.finish(failed)
    first, *others = (job.report(extractor, source, time.monotonic() - started) for job in jobs)
    return replace(first, given=others[0]) if others else first


def _fill(jobs: Sequence[Job], found: Iterable[Sequence[Regions]], bar: Track) -> None:
    """Write regions as they are made."""
    saved = time.monotonic()
    writers = [job.writer for job in jobs if job.writer is not None]
    for regions in found:
        for job, own in zip(jobs, regions, strict=True):
            job.add(own)
        bar.advance(1)
        if time.monotonic() - saved > _SECONDS_AT_RISK:
            for writer in writers:
                writer.flush()
            saved = time.monotonic()
    for writer in writers:
        writer.flush()


def _present(folder: Path, paths: Mapping[str, Path], wanted: Made, supply: BoxSource) -> dict[str, Path]:
    """Ids among ``paths`` that finished files contain -> that file.

    Raises:
        RegionError: the files were made by another extractor, or have other boxes for one of these images.
    """
    present: dict[str, Path] = {}
    unlike: list[RegionError] = []
    for path in sorted(folder.glob("*.arrow")):
        file = RegionFile(path)
        if differs := next(filter(None, (made.difference(wanted) for made in file.made)), None):
            unlike.append(RegionError(f"contains other regions ({differs[0]}, now {differs[1]})", file=path))
            continue
        for image in file:
            if image.image_id in paths:
                present[image.image_id] = path
                if _other_boxes(image, supply):
                    problem = "contains other boxes for this image"
                    unlike.append(RegionError(problem, file=path, record=image.image_id))
                    break
    check_alike(unlike)
    return present


def _written(path: Path) -> int:
    """When a file was last written, in nanoseconds; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _other_boxes(image: Regions, supply: BoxSource) -> bool:
    if isinstance(supply, Cells | Detected):  # not known before the network has run
        return False
    try:
        return not np.array_equal(supply.boxes(image.image_id, image.width, image.height).boxes, image.boxes)
    except ValueError:  # no boxes for this image, or boxes for another size
        return True
