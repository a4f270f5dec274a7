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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.regions.boxes import BoxSource, Cells, Detected, cell_boxes
from twelve.regions.halves import Halves, as_halves
from twelve.regions.images import MAX_PIXELS, Picture, TooLarge, picture_of, printable
from twelve.regions.looker import Found, Looker, Prepared
from twelve.regions.types import Regions

_REMEMBERED = 512
"""Pictures whose features are kept in case the same pixels come again (datasets repeat pictures under many names)."""


_PIXELS_ON_CPU = 220_000
"""Pixels of a batch on a processor: measured, larger batches take up to twice the time a picture."""


_PIXELS_ON_CARD = 8_000_000
"""Pixels of a batch on a graphics card: enough to keep it busy, within the memory of a small one."""


_HELD = 1 << 30
"""Bytes of prepared pictures that wait for others of their size; beyond, the fullest batch goes as it is."""


class NotFinite(RegionError):
    """The network gives features that are not numbers: no picture's fault, and no use to go on."""


@dataclass(slots=True)
class _Picture:
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
    """Regions of many pictures, from one or several box sources; the network looks at each picture once.

    Args:
        looker: on ``device`` already.
        supplies: boxes of each picture.
        batch_size: pictures of equal size in a batch; None chooses by device and size.
        workers: threads that decode and, on a processor, run the network; None takes every core.
        failed: receives {image id: why} of what cannot be decoded or looked at.
        max_pixels: of the largest picture that is decoded.
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

    def one(self, image: Picture, image_id: str) -> list[Regions]:
        """Regions of one picture, one of each box source, by the way that all pictures go.

        Raises:
            Exception: whatever keeps it from being decoded or looked at.
        """
        (picture,) = self._look([self._decode(image_id, image, keyed=False)])
        return picture.regions

    def regions(self, paths: Mapping[str, Path]) -> Iterator[list[Regions]]:
        """Regions of every image that can be decoded, one of each box source, the images in no particular order; the
        others go to ``failed``."""
        # A picture stays pending from its decoding until its features are out.
        pending: dict[bytes, _Picture] = {}
        waiting: dict[tuple[int, ...], list[_Picture]] = defaultdict(list)
        running: deque[Future[list[_Picture]]] = deque()
        lookers, held = self.workers if self.on_cpu else 1, 0
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
                batch = waiting[(*picture.prepared.pixels.shape, len(picture.regions[0].boxes))]
                batch.append(picture)
                held += picture.prepared.pixels.nbytes
                if len(batch) < self._batch_of(picture) and held > _HELD:
                    batch = max(waiting.values(), key=len)
                if len(batch) >= self._batch_of(picture) or held > _HELD:
                    held -= sum(each.prepared.pixels.nbytes for each in batch)
                    running.append(pool.submit(self._try, batch.copy()))
                    batch.clear()
                while len(running) > 2 * lookers:
                    yield from self._collect(running.popleft(), pending)
            running.extend(pool.submit(self._try, batch) for batch in waiting.values() if batch)
            while running:
                yield from self._collect(running.popleft(), pending)

    def _batch_of(self, picture: _Picture) -> int:
        """Pictures of this size in a batch. A processor is fastest while the early, large maps stay in its cache."""
        if self.batch_size is not None:
            return self.batch_size
        pixels = picture.prepared.pixels.numel() // 3
        return max(1, (_PIXELS_ON_CPU if self.on_cpu else _PIXELS_ON_CARD) // max(1, pixels))

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
                        more = " (--max-pixels allows more)" if isinstance(error, TooLarge) else ""
                        self.failed[key] = printable(f"{paths[key].name}: {error or type(error).__name__}{more}")
                        continue
                    yield picture
            finally:
                pool.shutdown(cancel_futures=True)

    def _decode(self, key: str, image: Picture, *, keyed: bool = True) -> _Picture:
        """``keyed``: give it the key by which the same pixels are known when they come again."""
        picture = picture_of(image, self.max_pixels, raw=self.looker.raw)
        found = [supply.boxes(key, *picture.size) for supply in self.supplies]
        prepared = self.looker.prepare(picture)
        if not keyed:  # of a large picture, the key takes as long as the network
            return _Picture(key, found, prepared, b"")
        digest = hashlib.blake2b(picture.tobytes(), digest_size=16)
        digest.update(repr((picture.size, picture.mode)).encode())
        for regions in found:
            for array in (regions.boxes, regions.scores, regions.class_ids):
                digest.update(b"-" if array is None else repr(array.shape).encode() + array.tobytes())
        return _Picture(key, found, prepared, digest.digest())

    def _try(self, pictures: list[_Picture]) -> list[_Picture]:
        """As :meth:`_look`; what cannot be looked at says why. One odd picture takes no other with it."""
        try:
            return self._look(pictures)
        except NotFinite:
            raise
        except Exception as error:  # a network may refuse a picture of one pixel, or run out of memory, in any way
            if len(pictures) > 1:
                return [picture for each in pictures for picture in self._try([each])]
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            pictures[0].why = f"the network cannot look at it ({why})"
            return pictures

    def _look(self, pictures: list[_Picture]) -> list[_Picture]:
        """Fill in the features of pictures of one size."""
        seen = self.looker.look([picture.prepared for picture in pictures])
        for number, supply in enumerate(self.supplies):
            found = self._describe(supply, seen, [picture.regions[number] for picture in pictures])
            for picture, regions in zip(pictures, found, strict=True):
                picture.regions[number] = regions
        return pictures

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
                f"the network gives features that are not finite for {regions.image_id or 'this picture'}",
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

    def _collect(self, future: Future[list[_Picture]], pending: dict[bytes, _Picture]) -> Iterator[list[Regions]]:
        for picture in future.result():
            del pending[picture.key]
            if picture.why:
                self.failed.update((key, picture.why) for key in (picture.image_id, *picture.others))
                continue
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


def _detected(regions: Regions, found: Found) -> Regions:
    """The regions of a picture in which a network found something."""
    return replace(
        regions,
        boxes=found.boxes.float().cpu().numpy(),
        scores=found.scores.float().cpu().numpy(),
        class_ids=found.class_ids.cpu().numpy().astype(np.int16),
    )
