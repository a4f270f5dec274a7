"""From a folder of images to a region file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.errors import ConfigError, RegionError
from twelve.regions.arrow import MAX_IMAGES, schema
from twelve.regions.backbones import Backbone, InputSize, build, fingerprint
from twelve.regions.boxes import BoxSource, Cells, box_source, cell_boxes
from twelve.regions.images import decode, list_images, resized, source_of
from twelve.regions.parts import PartWriter
from twelve.regions.progress import ImageProgress
from twelve.regions.store import RegionFile
from twelve.regions.types import Regions

_REMEMBERED = 512
"""Pictures whose features are kept in case the same pixels come again (datasets repeat pictures under many names)."""


_PIXELS_ON_CPU = 220_000
"""Pixels of a batch on a processor: measured, larger batches take up to twice the time a picture."""


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


@dataclass(slots=True)
class _Picture:
    """A decoded image on its way to the network; ``others`` are images with the same pixels and boxes."""

    regions: Regions
    pixels: NDArray[np.uint8]
    key: bytes
    others: list[Regions] = field(default_factory=list)


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
    if not folders:
        raise ConfigError("no folder of images given", remedy="give --images DIR")
    sources = {source} if source else {source_of(folder) for folder in folders}
    if len(sources) > 1:
        raise ConfigError(f"the folders are of several sources: {', '.join(sorted(sources))}", remedy="give --source")
    (source,) = sources
    assert source is not None
    paths = list_images(folders, source)
    supply = box_source(boxes, max_boxes)
    size = input_size or InputSize()
    network = build(backbone, weights, levels).to(device)
    settings = network.settings(size, "patches" if isinstance(supply, Cells) else "boxes")
    feature_size = network.channels[-1] if isinstance(supply, Cells) else network.feature_size
    mark = fingerprint(settings)

    folder = out / source
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
        with ImageProgress(len(left), f"extracting {source}", shown=progress) as bar:
            buffer: list[Regions] = []
            run = _Run(network, supply, size, device, batch_size, workers, failed)
            for done in run.regions(left):
                buffer.append(done)
                bar.advance(1)
                if len(buffer) == MAX_IMAGES:
                    writer.write(buffer)
                    buffer = []
            if buffer:
                writer.write(buffer)
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


class _Run:
    """The pipeline: threads decode ahead, pictures of equal size are batched, threads push them through the network."""

    def __init__(
        self,
        network: Backbone,
        supply: BoxSource,
        size: InputSize,
        device: str,
        batch_size: int | None,
        workers: int | None,
        failed: dict[str, str],
    ) -> None:
        self.network, self.supply, self.size, self.device = network, supply, size, torch.device(device)
        self.on_cpu = self.device.type == "cpu"
        self.batch_size, self.failed = batch_size, failed
        self.workers = max(1, workers or os.cpu_count() or 1)
        self._memory: OrderedDict[bytes, Regions] = OrderedDict()

    def regions(self, paths: Mapping[str, Path]) -> Iterator[Regions]:
        """Regions of every image that can be decoded, in no particular order; the others go to ``failed``."""
        # A picture stays pending from its decoding until its features are out.
        pending: dict[bytes, _Picture] = {}
        waiting: dict[tuple[int, ...], list[_Picture]] = defaultdict(list)
        running: deque[Future[list[Regions]]] = deque()
        lookers = self.workers if self.on_cpu else 1
        with _single_threaded(self.on_cpu), ThreadPoolExecutor(lookers) as pool:
            for picture in self._decoded(paths):
                known = self._memory.get(picture.key)
                if known is not None:
                    self._memory.move_to_end(picture.key)
                    yield _same(known, picture.regions)
                    continue
                if picture.key in pending:
                    pending[picture.key].others.append(picture.regions)
                    continue
                pending[picture.key] = picture
                # Boxes of one count share a batch, so that nothing is padded.
                batch = waiting[(*picture.pixels.shape, len(picture.regions.boxes))]
                batch.append(picture)
                if len(batch) >= self._batch_of(picture):
                    running.append(pool.submit(self._look, batch.copy()))
                    batch.clear()
                while len(running) > 2 * lookers:
                    yield from self._collect(running.popleft(), pending)
            running.extend(pool.submit(self._look, batch) for batch in waiting.values() if batch)
            while running:
                yield from self._collect(running.popleft(), pending)

    def _batch_of(self, picture: _Picture) -> int:
        """Pictures of this size in a batch. A processor is fastest while the early, large maps stay in its cache."""
        if self.batch_size is not None:
            return self.batch_size
        height, width = picture.pixels.shape[:2]
        return max(1, _PIXELS_ON_CPU // (height * width)) if self.on_cpu else 32

    def _decoded(self, paths: Mapping[str, Path]) -> Iterator[_Picture]:
        """Decoded pictures in order, some way ahead."""
        todo = iter(paths.items())
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[tuple[str, Future[_Picture]]] = deque()
            try:
                while True:
                    while len(ahead) < 4 * self.workers + 2 * (self.batch_size or 16):
                        if (item := next(todo, None)) is None:
                            break
                        ahead.append((item[0], pool.submit(self._decode, *item)))
                    if not ahead:
                        return
                    key, future = ahead.popleft()
                    try:
                        picture = future.result()
                    except Exception as error:  # Pillow raises nearly anything for a damaged file
                        self.failed[key] = f"{paths[key].name}: {error or type(error).__name__}"
                        continue
                    yield picture
            finally:
                pool.shutdown(cancel_futures=True)

    def _decode(self, key: str, path: Path) -> _Picture:
        picture = decode(path)
        regions = self.supply.boxes(key, *picture.size)
        pixels = resized(picture, self.size.of(*picture.size))
        digest = hashlib.blake2b(picture.tobytes(), digest_size=16)
        digest.update(repr(picture.size).encode())
        for array in (regions.boxes, regions.scores, regions.class_ids):
            digest.update(b"-" if array is None else array.tobytes())
        return _Picture(regions, pixels, digest.digest())

    def _look(self, pictures: list[_Picture]) -> list[Regions]:
        """Features of pictures of one size with one number of boxes."""
        pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures])).to(self.device)
        found = [picture.regions for picture in pictures]
        if isinstance(self.supply, Cells):
            features, rows, columns = self.network.cells(pixels)
            found = [replace(r, boxes=cell_boxes(rows, columns, r.width, r.height)) for r in found]
        else:
            fractions = np.stack([_fractions(regions) for regions in found])
            features = self.network.regions(pixels, torch.from_numpy(fractions).to(self.device))
        half: NDArray[np.float16] = features.to(torch.float16).cpu().numpy()
        return [replace(regions, features=own) for regions, own in zip(found, half, strict=True)]

    def _collect(self, future: Future[list[Regions]], pending: dict[bytes, _Picture]) -> Iterator[Regions]:
        by_id = {regions.image_id: regions for regions in future.result()}
        for key in [key for key, picture in pending.items() if picture.regions.image_id in by_id]:
            picture = pending.pop(key)
            done = by_id[picture.regions.image_id]
            self._memory[key] = done
            if len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
            yield done
            for other in picture.others:
                yield _same(done, other)


@contextmanager
def _single_threaded(on_cpu: bool) -> Iterator[None]:
    """One thread inside each operator while several threads run the network: pictures side by side scale better."""
    before = torch.get_num_threads()
    if on_cpu:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _same(known: Regions, other: Regions) -> Regions:
    """The regions of ``known`` for another image with the same pixels and boxes."""
    return replace(other, boxes=known.boxes, features=known.features)


def _fractions(regions: Regions) -> NDArray[np.float32]:
    """(R, 4) boxes as fractions of the picture."""
    extent = np.array([regions.width, regions.height] * 2, dtype=np.float32)
    return regions.boxes / extent


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
