"""Pictures through a network: threads decode ahead, pictures of one size share a batch, equal pictures are looked at
once."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.regions.backbones import Backbone, Detections, InputSize
from twelve.regions.boxes import BoxSource, Cells, Detected, cell_boxes
from twelve.regions.images import decode, resized
from twelve.regions.types import Regions

_REMEMBERED = 512
"""Pictures whose features are kept in case the same pixels come again (datasets repeat pictures under many names)."""


_PIXELS_ON_CPU = 220_000
"""Pixels of a batch on a processor: measured, larger batches take up to twice the time a picture."""


@dataclass(slots=True)
class _Picture:
    """A decoded image on its way to the network: its regions of every box source, without features yet.

    ``others`` are ids of images with the same pixels and boxes.
    """

    image_id: str
    regions: list[Regions]
    pixels: NDArray[np.uint8]
    key: bytes
    others: list[str] = field(default_factory=list)


class Pipeline:
    """Regions of many pictures, from one or several box sources; the network looks at each picture once.

    Args:
        network: on ``device`` already.
        supplies: boxes of each picture.
        size: how large pictures enter the network.
        batch_size: pictures of equal size in a batch; None chooses by device and size.
        workers: threads that decode and, on a processor, run the network; None takes every core.
        failed: receives {image id: why} of what cannot be decoded.
    """

    def __init__(
        self,
        network: Backbone,
        supplies: Sequence[BoxSource],
        size: InputSize,
        device: str,
        batch_size: int | None,
        workers: int | None,
        failed: dict[str, str],
    ) -> None:
        self.network, self.supplies, self.size, self.device = network, supplies, size, torch.device(device)
        self.on_cpu = self.device.type == "cpu"
        self.batch_size, self.failed = batch_size, failed
        self.workers = max(1, workers or os.cpu_count() or 1)
        self._memory: OrderedDict[bytes, list[Regions]] = OrderedDict()

    def regions(self, paths: Mapping[str, Path]) -> Iterator[list[Regions]]:
        """Regions of every image that can be decoded, one of each box source, the images in no particular order; the
        others go to ``failed``."""
        # A picture stays pending from its decoding until its features are out.
        pending: dict[bytes, _Picture] = {}
        waiting: dict[tuple[int, ...], list[_Picture]] = defaultdict(list)
        running: deque[Future[list[_Picture]]] = deque()
        lookers = self.workers if self.on_cpu else 1
        with single_threaded(self.on_cpu), ThreadPoolExecutor(lookers) as pool:
            for picture in self._decoded(paths):
                known = self._memory.get(picture.key)
                if known is not None:
                    self._memory.move_to_end(picture.key)
                    yield _same(known, picture.image_id)
                    continue
                if picture.key in pending:
                    pending[picture.key].others.append(picture.image_id)
                    continue
                pending[picture.key] = picture
                # Boxes of one count share a batch, so that nothing is padded.
                batch = waiting[(*picture.pixels.shape, len(picture.regions[0].boxes))]
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
        found = [supply.boxes(key, *picture.size) for supply in self.supplies]
        pixels = resized(picture, self.size.of(*picture.size))
        digest = hashlib.blake2b(picture.tobytes(), digest_size=16)
        digest.update(repr(picture.size).encode())
        for regions in found:
            for array in (regions.boxes, regions.scores, regions.class_ids):
                digest.update(b"-" if array is None else repr(array.shape).encode() + array.tobytes())
        return _Picture(key, found, pixels, digest.digest())

    def _look(self, pictures: list[_Picture]) -> list[_Picture]:
        """Fill in the features of pictures of one size."""
        pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures])).to(self.device)
        maps = self.network.look(pixels)
        for number, supply in enumerate(self.supplies):
            found = self._describe(supply, maps, [picture.regions[number] for picture in pictures])
            for picture, regions in zip(pictures, found, strict=True):
                picture.regions[number] = regions
        return pictures

    def _describe(self, supply: BoxSource, maps: list[torch.Tensor], found: list[Regions]) -> list[Regions]:
        """The regions of one box source with their features."""
        if isinstance(supply, Cells):
            features, rows, columns = self.network.cells(maps)
            found = [replace(r, boxes=cell_boxes(rows, columns, r.width, r.height)) for r in found]
        else:
            if isinstance(supply, Detected):
                detections = self.network.detect(maps, supply.threshold, supply.most)
                found = [_detected(r, each) for r, each in zip(found, detections, strict=True)]
            features = self.network.pool(maps, torch.from_numpy(_fractions(found)).to(self.device))
        if not bool(torch.isfinite(features).all()):
            raise RegionError(
                f"the network gives features that are not finite for {found[0].image_id}", remedy="check --weights"
            )
        limit = torch.finfo(torch.float16).max
        half: NDArray[np.float16] = features.clamp(-limit, limit).to(torch.float16).cpu().numpy()
        return [replace(r, features=own[: len(r.boxes)]) for r, own in zip(found, half, strict=True)]

    def _collect(self, future: Future[list[_Picture]], pending: dict[bytes, _Picture]) -> Iterator[list[Regions]]:
        for picture in future.result():
            del pending[picture.key]
            self._memory[picture.key] = picture.regions
            if len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
            yield picture.regions
            for other in picture.others:
                yield _same(picture.regions, other)


@contextmanager
def single_threaded(on_cpu: bool = True) -> Iterator[None]:
    """One thread inside each operator while several threads run the network: pictures side by side scale better."""
    before = torch.get_num_threads()
    if on_cpu:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _same(known: list[Regions], image_id: str) -> list[Regions]:
    """The known regions for another image with the same pixels and boxes."""
    return [replace(regions, image_id=image_id) for regions in known]


def _detected(regions: Regions, found: Detections) -> Regions:
    """The regions of a picture in which a network found something."""
    extent = np.array([regions.width, regions.height] * 2, dtype=np.float32)
    return replace(
        regions,
        boxes=found.boxes.cpu().numpy() * extent,
        scores=found.scores.cpu().numpy(),
        class_ids=found.class_ids.cpu().numpy().astype(np.int16),
    )


def _fractions(images: Sequence[Regions]) -> NDArray[np.float32]:
    """(I, R, 4) boxes as fractions of their pictures; the whole picture beyond an image's last box."""
    most = max(len(regions.boxes) for regions in images)
    fractions = np.tile(np.array([0, 0, 1, 1], dtype=np.float32), (len(images), most, 1))
    for row, regions in zip(fractions, images, strict=True):
        row[: len(regions.boxes)] = regions.boxes / np.array([regions.width, regions.height] * 2, dtype=np.float32)
    return fractions
