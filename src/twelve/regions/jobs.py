"""One region file is a job; the jobs of a source run together, so that the network looks at every picture once.

Killed at any point, a job goes on where it stopped when it is run again; finished, it does nothing.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from twelve.errors import ConfigError, RegionError
from twelve.progress import Track
from twelve.regions.arrow import MAX_IMAGES, schema
from twelve.regions.backbones import Backbone, InputSize, build, fingerprint
from twelve.regions.boxes import BoxSource, Cells, Detected
from twelve.regions.given import GivenBoxes, stored_boxes
from twelve.regions.parts import PartWriter, remove_leftovers
from twelve.regions.pipeline import Pipeline
from twelve.regions.store import GIVEN, RegionFile
from twelve.regions.types import Regions
from twelve.tasks.base import Box

_SECONDS_AT_RISK = 60.0
"""A slow network's regions are written at least this often, so that a kill costs no more."""


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What an extraction did.

    Attributes:
        source: image source; ``<source>/given`` for boxes that datasets give.
        file: the region file written, or None when there was nothing to do.
        written: images in that file, those of earlier unfinished runs included.
        resumed: how many of them earlier unfinished runs had left.
        present: images asked for that finished files already held.
        failed: {image id: why} of images left out.
        fingerprint, feature_size: of the features.
        seconds: wall time.
        given: of the boxes that datasets give, where those were extracted beside these.
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
    given: ExtractReport | None = None

    def __str__(self) -> str:
        if self.file is None:
            text = f"{self.source}: nothing to do, all {self.present} images are extracted"
        else:
            text = f"{self.source}: {self.written} images in {self.file} ({self.seconds:.0f} s)"
            text += f", {self.resumed} of them from an earlier run" if self.resumed else ""
            text += f"; {self.present} were extracted before" if self.present else ""
        if self.failed:
            text += f"; {len(self.failed)} left out:" + "".join(f"\n  {k}: {v}" for k, v in self.failed.items())
        return text if self.given is None else f"{text}\n{self.given}"


class Extractor:
    """A network with everything that its features depend on.

    Args:
        backbone, weights, levels: see :func:`twelve.regions.backbones.build`.
        input_size: how large pictures enter the network; None as the network likes them.
        patches: every cell of one map is a region: of the level named, or of the network's last where none or several
            are.
        batch_size: pictures of equal size that go through the network together; None chooses by device and size.
        workers: threads that decode pictures and, on a processor, run the network; None takes every core.

    Attributes:
        mark: the fingerprint.

    Raises:
        ConfigError: settings that cannot work.
        RegionError: the weights are missing, damaged or another network's.
    """

    def __init__(
        self,
        backbone: str,
        *,
        weights: str | None = None,
        levels: Sequence[str] | None = None,
        input_size: InputSize | None = None,
        patches: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        device: str = "cpu",
    ) -> None:
        if patches and len(levels or ()) != 1:
            levels = ("head",)
        self.network: Backbone = build(backbone, weights, levels).to(_device(device))
        size = input_size or self.network.input_size
        self.size = replace(size, multiple=math.lcm(size.multiple, self.network.multiple))
        self.settings = self.network.settings(self.size, "patches" if patches else "boxes")
        self.feature_size = self.network.channels[-1] if patches else self.network.feature_size
        self.mark = fingerprint(self.settings)
        self.batch_size, self.workers, self.device = batch_size, workers, device

    def check(self, supply: BoxSource) -> None:
        """Raise ConfigError if the network is to find boxes, or to have patches, and cannot."""
        if isinstance(supply, Cells) and self.network.classes:
            raise ConfigError(
                f"{self.network.name} describes boxes, it has no patches",
                remedy="give --boxes detect, FILE or grid:SIZE",
            )
        if isinstance(supply, Detected) and not self.network.classes:
            raise ConfigError(
                f"{self.network.name} finds no boxes of its own",
                remedy="give --boxes FILE or grid:SIZE, or a --backbone that is a detector",
            )

    def schema(self, supply: BoxSource, source: str) -> pa.Schema:
        """Columns and metadata of the file that these boxes of a source go to."""
        metadata = {
            "format": "twelve regions 1",
            "fingerprint": self.mark,
            "settings": json.dumps(self.settings, sort_keys=True),
            "boxes_origin": supply.origin,
            "source": source,
        }
        if isinstance(supply, Detected):
            metadata["classes"] = json.dumps(self.network.classes)
        return schema(
            feature_size=self.feature_size, scores=supply.has_scores, class_ids=supply.has_classes, metadata=metadata
        )

    def pipeline(self, supplies: Sequence[BoxSource], failed: dict[str, str]) -> Pipeline:
        return Pipeline(self.network, supplies, self.size, self.device, self.batch_size, self.workers, failed)


@dataclass(slots=True)
class Job:
    """A region file to be made.

    Attributes:
        supply: its boxes.
        target: the file.
        todo: images that no finished file holds, by id.
        present: how many of the images asked for finished files hold.
    """

    supply: BoxSource
    target: Path
    todo: dict[str, Path]
    present: int
    writer: PartWriter | None = None
    resumed: int = 0
    buffer: list[Regions] = field(default_factory=list)

    def add(self, regions: Regions) -> None:
        if self.writer is not None and regions.image_id in self.todo and regions.image_id not in self.writer.done:
            self.buffer.append(regions)

    def flush(self) -> None:
        if self.writer is not None and self.buffer:
            self.writer.write(self.buffer)
            self.buffer = []


def detected_job(extractor: Extractor, supply: BoxSource, paths: Mapping[str, Path], folder: Path, name: str) -> Job:
    """What is left to do of a source's regions, ``<folder>/<name>.arrow``.

    Raises:
        ConfigError: the network finds no boxes, and should.
        RegionError: finished files are of another extractor, or have other boxes for one of these images.
    """
    extractor.check(supply)
    remove_leftovers(folder)
    present = _present(folder, paths, extractor.mark, supply)
    todo = {key: path for key, path in paths.items() if key not in present}
    return Job(supply, _free_name(folder, name), todo, len(present))


def given_job(
    extractor: Extractor,
    boxes: Mapping[str, Sequence[Box]],
    tasks: Sequence[str],
    paths: Mapping[str, Path],
    folder: Path,
) -> Job:
    """What is left to do of the boxes that datasets give, ``<folder>/given/<tasks>.arrow``.

    Raises:
        RegionError: finished files are of another extractor.
    """
    asked = {key: boxes[key] for key in paths if key in boxes}
    remove_leftovers(folder / GIVEN)
    supply = GivenBoxes(asked, tasks, stored_boxes(folder, extractor.mark))
    todo = {key: paths[key] for key in asked if key in supply}
    return Job(supply, _free_name(folder / GIVEN, "+".join(tasks)), todo, len(asked) - len(todo))


def run_jobs(
    extractor: Extractor, source: str, jobs: Sequence[Job], *, progress: bool, started: float | None = None
) -> ExtractReport:
    """Make the files of some jobs of one source (the detected regions' first), every picture being looked at once.

    Raises:
        RegionError: none of a job's images could be extracted, or the disk is full.
    """
    started = time.monotonic() if started is None else started
    failed: dict[str, str] = {}
    active = [job for job in jobs if job.todo]
    with ExitStack() as stack:
        left: dict[str, Path] = {}
        for job in active:
            job.writer = stack.enter_context(PartWriter(job.target, extractor.schema(job.supply, source)))
            job.resumed = len(job.writer.done)
            left.update((key, path) for key, path in job.todo.items() if key not in job.writer.done)
        if active:
            run = extractor.pipeline([job.supply for job in active], failed)
            with Track(f"extracting {source}", len(left), "images", shown=progress) as bar:
                _fill(active, run.regions(left), bar)
        for job in active:
            _finish(job, failed)
    first, *others = (_report(extractor, source, job, failed, time.monotonic() - started) for job in jobs)
    return replace(first, given=others[0]) if others else first


def _fill(jobs: Sequence[Job], found: Iterator[Sequence[Regions]], bar: Track) -> None:
    """Write regions as they come."""
    saved = time.monotonic()
    for regions in found:
        for job, own in zip(jobs, regions, strict=True):
            job.add(own)
        bar.advance(1)
        late = time.monotonic() - saved > _SECONDS_AT_RISK
        for job in jobs:
            if late or len(job.buffer) == MAX_IMAGES:
                job.flush()
        saved = time.monotonic() if late else saved
    for job in jobs:
        job.flush()


def _finish(job: Job, failed: Mapping[str, str]) -> None:
    assert job.writer is not None
    own = {key: why for key, why in failed.items() if key in job.todo}
    if job.writer.done:
        job.writer.finish({"failed": json.dumps(own, sort_keys=True)} if own else {})
    elif not job.present:
        first, why = next(iter(own.items()))
        raise RegionError(
            f"none of the {len(job.todo)} images could be extracted ({first}: {why})",
            file=next(iter(job.todo.values())).parent,
            remedy="check --images and --boxes",
        )


def _report(extractor: Extractor, source: str, job: Job, failed: Mapping[str, str], seconds: float) -> ExtractReport:
    written = len(job.writer.done) if job.writer is not None else 0
    return ExtractReport(
        source=f"{source}/{GIVEN}" if isinstance(job.supply, GivenBoxes) else source,
        file=job.target if written else None,
        written=written,
        resumed=job.resumed,
        present=job.present,
        failed={key: why for key, why in failed.items() if key in job.todo},
        fingerprint=extractor.mark,
        feature_size=extractor.feature_size,
        seconds=seconds,
    )


def _device(name: str) -> torch.device:
    """The device, known to work; raises ConfigError otherwise."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]})", remedy="choose --device cpu"
        ) from error
    return device


def _present(folder: Path, paths: Mapping[str, Path], mark: str, supply: BoxSource) -> set[str]:
    """Ids among ``paths`` that finished files hold.

    Raises:
        RegionError: those files are of another extractor, or have other boxes for one of these images.
    """
    present: set[str] = set()
    for path in sorted(folder.glob("*.arrow")):
        file = RegionFile(path)
        if file.fingerprint != mark:
            raise RegionError(
                f"holds regions of another extractor (fingerprint {file.fingerprint}, now {mark})",
                file=path,
                remedy="give another --out, or delete that file",
            )
        for image in file:
            if image.image_id not in paths:
                continue
            present.add(image.image_id)
            if _other_boxes(file.metadata, image, supply):
                raise RegionError(
                    "holds other boxes for this image",
                    file=path,
                    record=image.image_id,
                    remedy="give another --out, or delete that file",
                )
    return present


def _other_boxes(metadata: Mapping[str, Any], image: Regions, supply: BoxSource) -> bool:
    if isinstance(supply, Cells):
        return False
    if isinstance(supply, Detected):  # they are not known before the network has looked
        return metadata.get("boxes_origin") != supply.origin
    return not np.array_equal(supply.boxes(image.image_id, image.width, image.height).boxes, image.boxes)


def _free_name(folder: Path, name: str) -> Path:
    """``<name>.arrow``, or the first ``<name>-2.arrow`` ... that no finished file has."""
    path, number = folder / f"{name}.arrow", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.arrow"
    return path
