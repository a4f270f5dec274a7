"""What the endpoints do: images in, answers out, in the time that is allowed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from PIL import Image

from twelve.predictor import Matched, Predictor, Result, Scene
from twelve.predictor.checks import Turn
from twelve.predictor.predictor import NotFiniteLogits
from twelve.regions.extraction.pipeline import NotFinite
from twelve.types.examples import Box
from twelve.web import memory, uploads
from twelve.web.limits import Limits
from twelve.web.line import Line, Pending
from twelve.web.metrics import Metrics
from twelve.web.problems import ServiceError
from twelve.web.scenes import Scenes
from twelve.web.schemas import ImageOf
from twelve.web.worker import Worker

T = TypeVar("T")
LARGE = 4_000_000
"""Pixels from which on an image is a large one."""
PAIRS = 64
"""Of a caption and an image, in a step of a search: more at once take no less time a pair."""
MUCH = 16_000_000
"""Bytes of images that were freed, of which some are then given back to the system."""
_BLANK = (320, 240)
_SMOOTHING = 0.98
"""Of the pace: a moment in which the machine did something else must not send everyone away for long."""


class Service:
    """A predictor, its threads, the images it keeps.

    The model has a thread of its own (:class:`Worker`), which never sees a pixel. Images are decoded and looked at by
    two others, one at a time each: large ones in one, so that they keep nobody waiting but each other, all others in
    the other. A question that waits holds the regions of its images; pixels are kept by ``scenes`` alone.

    Attributes:
        waiting: requests that are accepted and not yet answered.
        held: bytes of bodies that are being received or wait.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.scenes = Scenes(limits)
        self.metrics = Metrics(
            {
                "twelve_waiting_requests": ("Accepted and not yet answered.", lambda: self.waiting),
                "twelve_held_bytes": ("Bodies being received or waiting.", lambda: self.held),
                "twelve_scenes": ("Images kept.", lambda: len(self.scenes)),
                "twelve_scene_bytes": ("Their size.", lambda: self.scenes.bytes),
            }
        )
        self.worker = Worker(predictor, limits.max_batch, self.metrics.batch.observe)
        self._small, self._large = Line("images"), Line("large images")
        self.waiting, self.held = 0, 0
        self._decoded = 0  # bytes of all pixels so far, some of which are freed when they were looked at
        self._pace = 0.05  # seconds from one reply to the next, while others wait
        self._last: float | None = None

    # --- accepting --------------------------------------------------------------------------------------------
    def admit(self) -> None:
        """Say whether one more request can be accepted.

        Raises:
            ServiceError: 429 where too many wait.
        """
        if self.waiting >= self.limits.max_waiting or self.held >= self.limits.max_held_bytes:
            raise self.busy()

    def busy(self) -> ServiceError:
        """429, with the time in which what waits should be done."""
        seconds = min(60, max(1, math.ceil(self.waiting * self._pace)))
        return ServiceError(429, "too many requests are waiting", "try again a little later", retry_after=seconds)

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """One request more waits while the block runs; its end tells the pace."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
            now = time.perf_counter()
            if self._last is not None:
                self._pace = _SMOOTHING * self._pace + (1 - _SMOOTHING) * (now - self._last)
            self._last = now if self.waiting else None

    def warm_up(self) -> None:
        """Ask something of an image of nothing, before anybody asks: what is slow once, or measured, is so then."""
        methods = self.predictor.methods
        method = next((one for one in ("answer", "locate", "entails") if one in methods), None)
        if method is not None:
            self.worker.do(lambda: self._asked_of_nothing(method))

    def _asked_of_nothing(self, method: str) -> None:
        image = Image.new("RGB", _BLANK)
        self.predictor.ask([self.predictor.question(method, "what is it", self.predictor.look(image))])

    # --- images ---------------------------------------------------------------------------------------------
    async def look(self, data: bytes) -> Scene:
        """Look at a file's bytes.

        Raises:
            ServiceError: they are no image that is taken.
        """
        until = self._until()
        pixels = await asyncio.to_thread(uploads.check, data, self.limits)
        return await self._result(self._line(pixels).do(lambda: self._looked(data)), until)

    def _line(self, pixels: int) -> Line:
        """The thread that looks at an image of this size."""
        return self._large if pixels > LARGE else self._small

    def _looked(self, data: bytes) -> Scene:
        self.predictor.threads.here()
        image = uploads.decoded(data, self.limits)
        try:
            return self.predictor.look(image, name="image")
        finally:
            self._decoded += 3 * image.width * image.height

    async def _checked(self, images: Sequence[ImageOf]) -> list[int]:
        """The pixels of each image. Raise ServiceError, before any is decoded, if one is not there, or cannot be
        taken, or all that were sent cannot together."""
        sizes, sent = [], 0
        for image in images:
            if image.image is None:
                regions = self.scenes.get(image.scene or "").regions
                sizes.append(regions.width * regions.height)
            else:
                sizes.append(await asyncio.to_thread(uploads.check, image.image, self.limits))
                sent += sizes[-1]
        if sent > (most := self.limits.max_request_pixels):
            raise ServiceError(422, f"images of more than {most:,} pixels together", "send each to /api/scenes")
        return sizes

    async def _regions(self, images: Sequence[ImageOf], until: float, boxes: Sequence[Box] = ()) -> list[Scene]:
        """What a question needs of its images: their regions, and those of ``boxes``. One image after the other,
        so that a request of many is never ahead of another by more than one."""
        sizes = await self._checked(images)
        return [
            await self._regions_of(image, pixels, until, boxes) for image, pixels in zip(images, sizes, strict=True)
        ]

    async def _regions_of(self, image: ImageOf, pixels: int, until: float, boxes: Sequence[Box]) -> Scene:
        if image.image is None:
            if not boxes:
                return without_pixels(self.scenes.get(image.scene or ""))
            inside(boxes, self.scenes.get(image.scene or ""))  # what is wrong shows before it waits

        def work() -> Scene:
            kept = image.image is None
            scene = self.scenes.get(image.scene or "") if kept else self._looked(image.image or b"")
            inside(boxes, scene)
            return without_pixels(scene, boxes)

        return await self._result(self._line(pixels).do(work), until)

    # --- questions --------------------------------------------------------------------------------------------
    async def ask(
        self,
        method: str,
        text: str | Sequence[Turn],
        images: Sequence[ImageOf],
        *,
        task: str | None,
        explain: bool,
        threshold: float | None = None,
        boxes: Sequence[Box] = (),
    ) -> Result:
        """The answer to a question.

        Raises:
            ServiceError, TwelveError: it cannot be asked.
        """
        until = self._until()
        self.predictor.task_for(method, task)  # before an image is looked at in vain
        scenes = await self._regions(images, until, boxes)
        question = self.predictor.question(method, text, scenes, task=task, boxes=boxes)
        found = await self._result(self.worker.ask(question, explain=explain, threshold=threshold), until)
        if not math.isfinite(found.score):
            raise no_number()
        return found

    async def match(self, images: Sequence[ImageOf], captions: Sequence[str], task: str | None) -> Matched:
        """Captions and images, which are named by their places."""
        until = self._until()
        self.predictor.task_for("match", task)
        scenes = await self._regions(images, until)
        for place, scene in enumerate(scenes):
            scene.name = str(place)
        steps = self.predictor.matching(scenes, list(captions), task=task, pairs=PAIRS)
        found = await self._result(self.worker.run(steps), until)
        if not np.isfinite(found.logits).all():
            raise no_number()
        return found

    def _until(self) -> float:
        """When a request that comes now is given up."""
        return time.monotonic() + self.limits.answer_seconds

    async def _result(self, pending: Pending[T], until: float) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(pending), until - time.monotonic())
        except NotFiniteLogits:
            raise no_number() from None
        except NotFinite:
            raise ServiceError(
                503, "the extractor's features are no numbers", "serve the model with other --weights"
            ) from None
        except TimeoutError:
            if not pending.begun:
                raise self.busy() from None
            raise ServiceError(503, "the answer took too long", "ask less at once", retry_after=5) from None

    # --- life -------------------------------------------------------------------------------------------------
    async def tidy(self) -> None:
        """Forget expired images, also while nobody asks anything, and give back what images took."""
        before = 0
        while True:
            await asyncio.sleep(min(5.0, self.limits.scene_seconds))
            self.scenes.expire()
            if (freed := self.scenes.dropped + self._decoded) - before > MUCH:
                before = freed
                await asyncio.to_thread(memory.give_back)

    def close(self) -> None:
        """Finish what waits, end the threads and drop the images."""
        for line in (self._small, self._large, self.worker):
            line.stop()
        self.scenes.clear()


def without_pixels(scene: Scene, boxes: Sequence[Box] = ()) -> Scene:
    """A scene of the same regions, and of those of ``boxes``, without the image.

    It is a scene of its own: what it knows of boxes is gone with the request, whoever sends how many.
    """
    made = Scene(scene.predictor, scene.regions, scene.image, scene.name, scene.warnings)
    if boxes:
        made.regions_of(tuple(boxes))
    made.image = None
    return made


def no_number() -> ServiceError:
    """503: the model computes infinities, or nothing."""
    return ServiceError(503, "the model gives no number", "train it again, or serve an earlier checkpoint")


def inside(boxes: Sequence[Box], scene: Scene) -> None:
    """Raise ServiceError if a box lies outside the image."""
    width, height = scene.regions.width, scene.regions.height
    for place, (x1, y1, x2, y2) in enumerate(boxes, start=1):
        if min(x2, width) - max(x1, 0) < 1 or min(y2, height) - max(y1, 0) < 1:
            raise ServiceError(
                422,
                f"box {place} lies outside the image ({width} x {height} pixels)",
                "give x1, y1, x2, y2 in pixels of the upright image",
            )
