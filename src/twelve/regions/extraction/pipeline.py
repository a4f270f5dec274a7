"""Images through a network: threads decode ahead, images of one size share a batch, equal images are looked at
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

from twelve.errors import RegionError
from twelve.regions.detectors.network import Found, Looker, Prepared
from twelve.regions.extraction.box_sources import BoxSource, Cells, Detected, cell_boxes
from twelve.regions.images import MAX_PIXELS, ImageLike, TooLarge, open_image, printable
from twelve.types.half_precision import Halves, as_halves
from twelve.types.regions import Regions

_REMEMBERED = 512
"""Images whose features are kept in case the same pixels come again (datasets repeat images under many names)."""


_PIXELS_ON_CPU = 220_000
"""Pixels of a batch on a processor: measured, larger batches take up to twice the time an image."""


_PIXELS_ON_CARD = 8_000_000
"""Pixels of a batch on a graphics card: enough to keep it busy, within the memory of a small one."""


_HELD = 1 << 30
"""Bytes of prepared images that wait for others of their size; beyond, the fullest batch goes as it is."""


class NotFinite(RegionError):
    """The network gives features that are not numbers: no image's fault, and no use to go on."""


@dataclass(slots=True)
class _Pending:
    """A decoded image on its way to the network: its regions of every box source, without features yet.

    ``others`` are ids of images with the same pixels and boxes; ``why`` says why the network could not look at it.
    """

    image_id: str
    regions: list[Regions]
    prepared: Prepared
    key: bytes
    others: list[str] = field(default_factory=list)
    why: str = ""


class Pipeline:
    """Regions of many images, from one or several box sources; the network looks at each image once.

    Args:
        looker: on ``device`` already.
        supplies: boxes of each image.
        batch_size: images of equal size in a batch; None chooses by device and size.
        workers: threads that decode and, on a processor, run the network; None takes every core.
        failed: receives {image id: why} of what cannot be decoded or looked at.
        max_pixels: of the largest image that is decoded.
        dtype: of the features: float16 or bfloat16.
        class_probabilities: of every box, too.
    """

    def __init__(
        self,
        looker: Looker,
        supplies: Sequence[BoxSource],
        *,
        device: str,
        batch_size: int | None,
        workers: int | None,
        failed: dict[str, str],
        max_pixels: int = MAX_PIXELS,
        dtype: str = "float16",
        class_probabilities: bool = False,
    ) -> None:
        self.looker, self.supplies, self.device = looker, supplies, torch.device(device)
        self.on_cpu = self.device.type == "cpu"
        self.batch_size, self.failed = 1 if looker.alone else batch_size, failed
        self.workers = max(1, workers or os.cpu_count() or 1)
        self.max_pixels, self.dtype, self.class_probabilities = max_pixels, dtype, class_probabilities
        self._memory: OrderedDict[bytes, list[Regions]] = OrderedDict()

    def one(self, image: ImageLike, image_id: str) -> list[Regions]:
        """Regions of one image, one of each box source, by the way that all images go.

        Raises:
            Exception: whatever keeps it from being decoded or looked at.
        """
        (looked_at,) = self._look([self._decode(image_id, image, keyed=False)])
        return looked_at.regions

    def regions(self, paths: Mapping[str, Path]) -> Iterator[list[Regions]]:
        """Regions of every image that can be decoded, one of each box source, the images in no particular order; the
        others go to ``failed``."""
        # An image stays pending from its decoding until its features are out.
        pending: dict[bytes, _Pending] = {}
        waiting: dict[tuple[int, ...], list[_Pending]] = defaultdict(list)
        running: deque[Future[list[_Pending]]] = deque()
        lookers, held = self.workers if self.on_cpu else 1, 0
        with single_threaded(self.on_cpu), ThreadPoolExecutor(lookers) as pool:
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
                # Boxes of one count share a batch, so that nothing is padded.
                batch = waiting[(*image.prepared.pixels.shape, len(image.regions[0].boxes))]
                batch.append(image)
                held += image.prepared.pixels.nbytes
                if len(batch) < self._batch_of(image) and held > _HELD:
                    batch = max(waiting.values(), key=len)
                if len(batch) >= self._batch_of(image) or held > _HELD:
                    held -= sum(each.prepared.pixels.nbytes for each in batch)
                    running.append(pool.submit(self._try, batch.copy()))
                    batch.clear()
                while len(running) > 2 * lookers:
                    yield from self._collect(running.popleft(), pending)
            running.extend(pool.submit(self._try, batch) for batch in waiting.values() if batch)
            while running:
                yield from self._collect(running.popleft(), pending)

    def _batch_of(self, image: _Pending) -> int:
        """Images of this size in a batch. A processor is fastest while the early, large maps stay in its cache."""
        if self.batch_size is not None:
            return self.batch_size
        pixels = image.prepared.pixels.numel() // 3
        return max(1, (_PIXELS_ON_CPU if self.on_cpu else _PIXELS_ON_CARD) // max(1, pixels))

    def _decoded(self, paths: Mapping[str, Path]) -> Iterator[_Pending]:
        """Decoded images in order, some way ahead."""
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
                    except Exception as error:  # Pillow raises nearly anything for a damaged file
                        more = " (--max-pixels allows more)" if isinstance(error, TooLarge) else ""
                        self.failed[key] = printable(f"{paths[key].name}: {error or type(error).__name__}{more}")
                        continue
                    yield image
            finally:
                pool.shutdown(cancel_futures=True)

    def _decode(self, key: str, image: ImageLike, *, keyed: bool = True) -> _Pending:
        """``keyed``: give it the key by which the same pixels are known when they come again."""
        opened = open_image(image, self.max_pixels, raw=self.looker.raw)
        found = [supply.boxes(key, *opened.size) for supply in self.supplies]
        prepared = self.looker.prepare(opened)
        if not keyed:  # of a large image, the key takes as long as the network
            return _Pending(key, found, prepared, b"")
        digest = hashlib.blake2b(opened.tobytes(), digest_size=16)
        digest.update(repr((opened.size, opened.mode)).encode())
        for regions in found:
            for array in (regions.boxes, regions.scores, regions.class_ids):
                digest.update(b"-" if array is None else repr(array.shape).encode() + array.tobytes())
        return _Pending(key, found, prepared, digest.digest())

    def _try(self, images: list[_Pending]) -> list[_Pending]:
        """As :meth:`_look`; what cannot be looked at says why. One odd image takes no other with it."""
        try:
            return self._look(images)
        except NotFinite:
            raise
        except Exception as error:  # a network may refuse an image of one pixel, or run out of memory, in any way
            if len(images) > 1:
                return [image for each in images for image in self._try([each])]
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            images[0].why = f"the network cannot look at it ({why})"
            return images

    def _look(self, images: list[_Pending]) -> list[_Pending]:
        """Fill in the features of images of one size."""
        seen = self.looker.look([image.prepared for image in images])
        for number, supply in enumerate(self.supplies):
            found = self._describe(supply, seen, [image.regions[number] for image in images])
            for image, regions in zip(images, found, strict=True):
                image.regions[number] = regions
        return images

    def _describe(self, supply: BoxSource, seen: Any, images: list[Regions]) -> list[Regions]:
        """The regions of one box source with their features."""
        if isinstance(supply, Cells):
            cells, rows, columns = self.looker.patches(seen)
            features: list[torch.Tensor | None] = list(cells)
            images = [replace(r, boxes=cell_boxes(rows, columns, r.width, r.height)) for r in images]
        elif isinstance(supply, Detected):
            found = self.looker.detect(seen, supply.most, supply.threshold)
            features = [each.features for each in found]
            images = [_detected(r, each) for r, each in zip(images, found, strict=True)]
        else:
            features = [None] * len(images)
        if any(own is None for own in features):
            features = list(self.looker.describe(seen, [torch.from_numpy(r.boxes) for r in images]))
        return [self._kept(r, own) for r, own in zip(images, features, strict=True) if own is not None]

    def _kept(self, regions: Regions, features: torch.Tensor) -> Regions:
        """The regions with features (R, F) as they are stored."""
        if not bool(torch.isfinite(features).all()):
            raise NotFinite(
                f"the network gives features that are not finite for {regions.image_id or 'this image'}",
                remedy="check --weights",
            )
        probabilities: NDArray[np.float16] | None = None
        if self.class_probabilities and self.looker.knows_probabilities:
            probabilities = self.looker.probabilities(features).to(torch.float16).cpu().numpy()
        return replace(regions, features=self._halves(features), class_probabilities=probabilities)

    def _halves(self, features: torch.Tensor) -> Halves:
        if self.dtype == "float16":
            limit = torch.finfo(torch.float16).max
            half: NDArray[np.float16] = features.clamp(-limit, limit).to(torch.float16).cpu().numpy()
            return half
        return as_halves(features.float().cpu().numpy(), self.dtype)

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
    """One thread inside each operator while several threads run the network: images side by side scale better."""
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


def _detected(regions: Regions, found: Found) -> Regions:
    """The regions of an image in which a network found something."""
    return replace(
        regions,
        boxes=found.boxes.float().cpu().numpy(),
        scores=found.scores.float().cpu().numpy(),
        class_ids=found.class_ids.cpu().numpy().astype(np.int16),
    )
