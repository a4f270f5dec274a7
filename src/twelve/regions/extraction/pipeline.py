"""Runs images through a network: threads decode ahead, images of one size share a batch, and equal images are run
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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.errors import RegionError, located_problem
from twelve.regions.detectors.feature_extractor import Detections, FeatureExtractor, PreparedImage
from twelve.regions.extraction.box_sources import BoxSource, Cells, Detected, cell_boxes
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.images import ImageLike, TooLarge, open_image, printable
from twelve.types.half_precision import Halves, as_halves
from twelve.types.regions import Regions

MORE_PIXELS = "--max-pixels allows more"
"""What is added to the reason if an image has too many pixels."""
_REMEMBERED = 512
"""Number of recent images whose regions are kept, because datasets repeat images under several names."""
_PIXELS_ON_CPU = 220_000
"""Pixels per batch on a CPU; measured, larger batches take up to twice as long per image."""
_PIXELS_ON_CARD = 8_000_000
"""Pixels per batch on a GPU: enough to keep it busy, within the memory of a small one."""
_HELD = 1 << 30
"""Bytes of prepared images that wait for others of their size; beyond it, the fullest batch runs as it is."""


class NotFinite(RegionError):
    """The network gives features that are not finite. No image is at fault, so the extraction stops."""


@dataclass(slots=True)
class _Pending:
    """A decoded image on its way to the network, with its regions of each box source, still without features.

    ``others`` are the ids of images with the same pixels and boxes; ``why`` is the reason if the network failed.
    """

    image_id: str
    regions: list[Regions]
    prepared: PreparedImage
    key: bytes
    others: list[str] = field(default_factory=list)
    why: str = ""


class Pipeline:
    """Makes the regions of many images from one or several box sources; each image goes through the network once.

    Args:
        network: on ``config.device``.
        supplies: box sources.
        failed: receives {image id: why} for images that cannot be decoded or extracted.
    """

    def __init__(
        self,
        network: FeatureExtractor,
        config: ExtractorConfig,
        supplies: Sequence[BoxSource],
        failed: dict[str, str],
    ) -> None:
        self.network, self.config, self.supplies, self.failed = network, config, supplies, failed
        self.on_cpu = torch.device(config.device).type == "cpu"
        self.batch_size = 1 if network.alone else config.batch_size
        self.workers = max(1, config.workers or os.cpu_count() or 1)
        self.probabilities = config.class_probabilities and network.has_probabilities
        self._memory: OrderedDict[bytes, list[Regions]] = OrderedDict()

    def one(self, image: ImageLike, image_id: str) -> list[Regions]:
        """The regions of one image, one for each box source, computed as for any other image.

        Raises:
            Exception: anything that prevents it from being decoded or extracted.
        """
        (done,) = self._run([self._decode(image_id, image, keyed=False)])
        return done.regions

    def regions(self, paths: Mapping[str, Path]) -> Iterator[list[Regions]]:
        """The regions of each image, one for each box source, in no particular order. Images that cannot be decoded or
        extracted go to ``failed``."""
        # An image is pending from its decoding until its features are computed.
        pending: dict[bytes, _Pending] = {}
        waiting: dict[tuple[int, ...], list[_Pending]] = defaultdict(list)
        running: deque[Future[list[_Pending]]] = deque()
        runners, held = self.workers if self.on_cpu else 1, 0
        with single_threaded(self.on_cpu), ThreadPoolExecutor(runners) as pool:
            for image in self._decoded(paths):
                known = self._memory.get(image.key)
                if known is not None:
                    self._memory.move_to_end(image.key)
                    yield _same(known, image.image_id)
                    continue
                if image.key in pending:
                    pending[image.key].others.append(image.image_id)
                    continue
                pending[image.key] = image
                # Images with equally many boxes share a batch, so that nothing is padded.
                batch = waiting[(*image.prepared.pixels.shape, len(image.regions[0].boxes))]
                batch.append(image)
                held += image.prepared.pixels.nbytes
                if len(batch) < self._batch_of(image) and held > _HELD:
                    batch = max(waiting.values(), key=len)
                if len(batch) >= self._batch_of(image) or held > _HELD:
                    held -= sum(each.prepared.pixels.nbytes for each in batch)
                    running.append(pool.submit(self._try, batch.copy()))
                    batch.clear()
                while len(running) > 2 * runners:
                    yield from self._collect(running.popleft(), pending)
            running.extend(pool.submit(self._try, batch) for batch in waiting.values() if batch)
            while running:
                yield from self._collect(running.popleft(), pending)

    def _batch_of(self, image: _Pending) -> int:
        """Images of this size per batch. A CPU is fastest while the early, large maps stay in its cache."""
        if self.batch_size is not None:
            return self.batch_size
        pixels = image.prepared.pixels.numel() // 3
        return max(1, (_PIXELS_ON_CPU if self.on_cpu else _PIXELS_ON_CARD) // max(1, pixels))

    def _decoded(self, paths: Mapping[str, Path]) -> Iterator[_Pending]:
        """Decode images in order, some in advance."""
        todo = iter(paths.items())
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[tuple[str, Future[_Pending]]] = deque()
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
                        image = future.result()
                    except Exception as error:  # for a damaged file Pillow raises nearly anything
                        more = f" ({MORE_PIXELS})" if isinstance(error, TooLarge) else ""
                        problem = f"{error or type(error).__name__}{more}"
                        self.failed[key] = printable(located_problem(paths[key].name, problem))
                        continue
                    yield image
            finally:
                pool.shutdown(cancel_futures=True)

    def _decode(self, key: str, image: ImageLike, *, keyed: bool = True) -> _Pending:
        """``keyed``: also compute the key that identifies images with the same pixels and boxes."""
        opened = open_image(image, self.config.max_pixels, raw=self.network.raw)
        found = [supply.boxes(key, *opened.size) for supply in self.supplies]
        prepared = self.network.prepare(opened)
        if not keyed:  # for a large image, the key takes as long as the network
            return _Pending(key, found, prepared, b"")
        digest = hashlib.blake2b(opened.tobytes(), digest_size=16)
        digest.update(repr((opened.size, opened.mode)).encode())
        for regions in found:
            for array in (regions.boxes, regions.scores, regions.class_ids):
                digest.update(b"-" if array is None else repr(array.shape).encode() + array.tobytes())
        return _Pending(key, found, prepared, digest.digest())

    def _try(self, images: list[_Pending]) -> list[_Pending]:
        """:meth:`_run`, which records why an image failed; the other images of the batch are not affected."""
        try:
            return self._run(images)
        except NotFinite:
            raise
        except Exception as error:  # for an image of one pixel, or without enough memory, a network raises anything
            if len(images) > 1:
                return [image for each in images for image in self._try([each])]
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            images[0].why = f"the network failed on this image ({why})"
            return images

    def _run(self, images: list[_Pending]) -> list[_Pending]:
        """Fill in the features of images of one size."""
        encoded = self.network.encode([image.prepared for image in images])
        for number, supply in enumerate(self.supplies):
            found = self._describe(supply, encoded, [image.regions[number] for image in images])
            for image, regions in zip(images, found, strict=True):
                image.regions[number] = regions
        return images

    def _describe(self, supply: BoxSource, encoded: Any, images: list[Regions]) -> list[Regions]:
        """The regions of one box source, with features."""
        if isinstance(supply, Cells):
            cells, rows, columns = self.network.patches(encoded)
            features: list[torch.Tensor | None] = list(cells)
            images = [replace(r, boxes=cell_boxes(rows, columns, r.width, r.height)) for r in images]
        elif isinstance(supply, Detected):
            found = self.network.detect(encoded, supply.most, supply.threshold)
            features = [each.features for each in found]
            images = [_detected(r, each) for r, each in zip(images, found, strict=True)]
        else:
            features = [None] * len(images)
        if any(own is None for own in features):
            features = list(self.network.describe(encoded, [torch.from_numpy(r.boxes) for r in images]))
        return [self._kept(r, own) for r, own in zip(images, features, strict=True) if own is not None]

    def _kept(self, regions: Regions, features: torch.Tensor) -> Regions:
        """The regions with features (R, F) in their stored type."""
        if not bool(torch.isfinite(features).all()):
            raise NotFinite(
                f"the network gives features that are not finite for {regions.image_id or 'this image'}",
                remedy="check --weights",
            )
        probabilities: NDArray[np.float16] | None = None
        if self.probabilities:
            probabilities = self.network.probabilities(features).to(torch.float16).cpu().numpy()
        return replace(regions, features=self._halves(features), class_probabilities=probabilities)

    def _halves(self, features: torch.Tensor) -> Halves:
        if self.config.dtype == "float16":
            limit = torch.finfo(torch.float16).max
            half: NDArray[np.float16] = features.clamp(-limit, limit).to(torch.float16).cpu().numpy()
            return half
        return as_halves(features.float().cpu().numpy(), self.config.dtype)

    def _collect(self, future: Future[list[_Pending]], pending: dict[bytes, _Pending]) -> Iterator[list[Regions]]:
        for image in future.result():
            del pending[image.key]
            if image.why:
                self.failed.update((key, image.why) for key in (image.image_id, *image.others))
                continue
            self._memory[image.key] = image.regions
            if len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
            yield image.regions
            for other in image.others:
                yield _same(image.regions, other)


@contextmanager
def single_threaded(on_cpu: bool = True) -> Iterator[None]:
    """Use one thread per operator while several threads run the network, which scales better."""
    before = torch.get_num_threads()
    if on_cpu:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _same(known: list[Regions], image_id: str) -> list[Regions]:
    """Known regions for another image with the same pixels and boxes."""
    return [replace(regions, image_id=image_id) for regions in known]


def _detected(regions: Regions, found: Detections) -> Regions:
    """Detections in their stored type."""
    assert found.scores is not None and found.class_ids is not None
    return replace(
        regions,
        boxes=found.boxes.float().cpu().numpy(),
        scores=found.scores.float().cpu().numpy(),
        class_ids=found.class_ids.cpu().numpy().astype(np.int16),
    )
