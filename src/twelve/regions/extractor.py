"""From a folder of images to a region file."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from twelve.errors import ConfigError, RegionError
from twelve.progress import Track
from twelve.regions.arrow import MAX_IMAGES, schema
from twelve.regions.backbones import InputSize, build, fingerprint
from twelve.regions.boxes import BoxSource, Cells, box_source
from twelve.regions.images import list_images, source_of
from twelve.regions.parts import PartWriter, remove_leftovers
from twelve.regions.pipeline import Pipeline
from twelve.regions.store import RegionFile
from twelve.regions.types import Regions

_SECONDS_AT_RISK = 60.0
"""A slow network's regions are written at least this often, so that a kill costs no more."""


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What an extraction did.

    Attributes:
        source: image source.
        file: the region file written, or None when there was nothing to do.
        written: images in that file, those of earlier unfinished runs included.
        resumed: how many of them earlier unfinished runs had left.
        present: images asked for that finished files already held.
        failed: {image id: why} of images left out.
        fingerprint, feature_size: of the features.
        seconds: wall time.
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

    def __str__(self) -> str:
        if self.file is None:
            text = f"{self.source}: nothing to do, all {self.present} images are extracted"
        else:
            text = f"{self.source}: {self.written} images in {self.file} ({self.seconds:.0f} s)"
            text += f", {self.resumed} of them from an earlier run" if self.resumed else ""
            text += f"; {self.present} were extracted before" if self.present else ""
        if self.failed:
            text += f"; {len(self.failed)} left out:" + "".join(f"\n  {k}: {v}" for k, v in self.failed.items())
        return text


def extract(
    images: Path | Sequence[Path],
    boxes: str | Path | Sequence[str | Path],
    backbone: str,
    out: Path,
    *,
    weights: str | None = None,
    levels: Sequence[str] | None = None,
    source: str | None = None,
    name: str | None = None,
    input_size: InputSize | None = None,
    max_boxes: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> ExtractReport:
    """Extract the regions of all images in some folders into ``out/<source>/<name>.arrow``.

    Killed at any point, it goes on where it stopped when called again; finished, it does nothing. Images added to
    the folders later go to a further file beside the first. An image that cannot be decoded is reported, not fatal.

    Args:
        images: a folder, or several that are one source.
        boxes: region files (boxes only, or with features that are ignored), ``grid:SIZE[/STEP]`` or
            ``grid:ROWSxCOLUMNS`` (pixels of the original picture), or ``patches`` (every cell of the last level).
        backbone, weights, levels: see :func:`twelve.regions.backbones.build`.
        out: root of the region store.
        source: image source; by default what follows ``images`` in the folder's path, else the folder's name.
        name: of the file; by default the folders' names.
        input_size: how large pictures enter the network.
        max_boxes: keep the most confident so many boxes of an image.
        batch_size: pictures of equal size that go through the network together; None chooses by device and size.
        workers: threads that decode pictures and, on a processor, run the network; None takes every core.

    Raises:
        ConfigError: settings that cannot work.
        RegionError: a file is missing, damaged or in the way; the disk is full.
    """
    started = time.monotonic()
    folders = [images] if isinstance(images, Path) else list(images)
    source = source or _one_source(folders)
    paths = list_images(folders, source)
    supply = box_source(boxes, max_boxes)
    network = build(backbone, weights, levels).to(_device(device))
    size = input_size or InputSize()
    size = replace(size, multiple=math.lcm(size.multiple, network.multiple))
    settings = network.settings(size, "patches" if isinstance(supply, Cells) else "boxes")
    feature_size = network.channels[-1] if isinstance(supply, Cells) else network.feature_size
    mark = fingerprint(settings)

    folder = out / source
    remove_leftovers(folder)
    present = _present(folder, paths, mark, supply)
    missing = {key: path for key, path in paths.items() if key not in present}
    target = _free_name(folder, name or "+".join(part.name for part in folders))
    table = schema(
        feature_size=feature_size,
        scores=supply.has_scores,
        class_ids=supply.has_classes,
        metadata={
            "format": "twelve regions 1",
            "fingerprint": mark,
            "settings": json.dumps(settings, sort_keys=True),
            "boxes_origin": supply.origin,
            "source": source,
        },
    )
    failed: dict[str, str] = {}
    if not missing:
        return ExtractReport(source, None, 0, 0, len(present), failed, mark, feature_size, time.monotonic() - started)
    with PartWriter(target, table) as writer:
        resumed = len(writer.done)
        left = {key: path for key, path in missing.items() if key not in writer.done}
        run = Pipeline(network, supply, size, device, batch_size, workers, failed)
        with Track(f"extracting {source}", len(left), "images", shown=progress) as bar:
            _fill(writer, run.regions(left), bar)
        written = len(writer.done)
        if written:
            writer.finish({"failed": json.dumps(failed, sort_keys=True)} if failed else {})
        elif not present:
            first = next(iter(failed.items()))
            raise RegionError(
                f"none of the {len(left)} images could be extracted ({first[0]}: {first[1]})",
                file=folders[0],
                remedy="check --images and --boxes",
            )
    seconds = time.monotonic() - started
    file = target if written else None
    return ExtractReport(source, file, written, resumed, len(present), failed, mark, feature_size, seconds)


def _one_source(folders: Sequence[Path]) -> str:
    sources = {source_of(folder) for folder in folders}
    if not sources:
        raise ConfigError("no folder of images given", remedy="give --images DIR")
    if len(sources) > 1:
        raise ConfigError(f"the folders are of several sources: {', '.join(sorted(sources))}", remedy="give --source")
    return sources.pop()


def _fill(writer: PartWriter, regions: Iterator[Regions], bar: Track) -> None:
    """Write regions as they come."""
    buffer: list[Regions] = []
    saved = time.monotonic()
    for done in regions:
        buffer.append(done)
        bar.advance(1)
        if len(buffer) == MAX_IMAGES or time.monotonic() - saved > _SECONDS_AT_RISK:
            writer.write(buffer)
            buffer, saved = [], time.monotonic()
    if buffer:
        writer.write(buffer)


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
            if isinstance(supply, Cells):
                continue
            wanted = supply.boxes(image.image_id, image.width, image.height).boxes
            if not np.array_equal(wanted, image.boxes):
                raise RegionError(
                    "holds other boxes for this image",
                    file=path,
                    record=image.image_id,
                    remedy="give another --out, or delete that file",
                )
    return present


def _free_name(folder: Path, name: str) -> Path:
    """``<name>.arrow``, or the first ``<name>-2.arrow`` ... that no finished file has."""
    path, number = folder / f"{name}.arrow", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.arrow"
    return path
