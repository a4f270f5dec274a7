"""The work behind the endpoints: it decodes images and answers questions within the time limits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from PIL import Image

from twelve.freed_memory import give_back
from twelve.predictor import Dependence, Matched, Predictor, Result, Scene
from twelve.predictor.checks import Turn, is_mostly_outside
from twelve.predictor.open_index import OpenIndex
from twelve.predictor.predictor import NotFiniteLogits
from twelve.regions.extraction.pipeline import NotFinite
from twelve.types.examples import Box
from twelve.web import uploads
from twelve.web.fields import PREFIX
from twelve.web.limits import Limits
from twelve.web.line import Line, Pending
from twelve.web.metrics import Metrics
from twelve.web.pace import ReplyPace
from twelve.web.problems import ServiceError
from twelve.web.requests import ImageOf
from twelve.web.scenes import Scenes
from twelve.web.searching import Found, Searching
from twelve.web.worker import Worker

T = TypeVar("T")
LARGE = 4_000_000
"""Images of more pixels are large."""
PAIRS = 64
"""Caption-image pairs in a step of a search. Larger steps take no less time per pair."""
MUCH = 16_000_000
"""Bytes of freed images after which memory is returned to the operating system."""
_LEFT = 5.0
"""Seconds in which a thread must end once another has been lost."""
_BLANK = (320, 240)
_OPERATOR = "ask the operator of the service for more time (--answer-seconds)"


class Service:
    """A predictor with its threads and scenes.

    One thread runs the model (:class:`Worker`). Two others decode images and extract regions, one image at a time each:
    large images have a thread of their own, so they only delay each other. A waiting question holds the regions of its
    images; only ``scenes`` holds pixels. Searches of an index have threads of their own (:class:`Searching`).

    Attributes:
        searching: the images that requests can search, if there are any.
        pace: how long requests take.
        held: bytes of bodies that are being received or waiting.
        answered: number of requests that got a reply, except for probes.
    """

    def __init__(self, predictor: Predictor, limits: Limits, index: OpenIndex | None = None) -> None:
        self.predictor, self.limits = predictor, limits
        self.scenes = Scenes(limits)
        self.metrics = Metrics(
            {
                "twelve_waiting_requests": ("Accepted requests without an answer.", lambda: self.waiting),
                "twelve_held_bytes": ("Bytes of bodies that are being received or waiting.", lambda: self.held),
                "twelve_scenes": ("Stored scenes.", lambda: len(self.scenes)),
                "twelve_scene_bytes": ("Bytes of the stored scenes.", lambda: self.scenes.bytes),
            }
        )
        self.worker = Worker(predictor, limits.max_batch, self.metrics.batch.observe)
        self._small, self._large = Line("images"), Line("large images")
        self.searching = None if index is None else Searching(predictor, index, self.worker, PAIRS, self._count_decoded)
        self.pace = ReplyPace()
        self.held, self.answered = 0, 0
        self._decoded = 0  # bytes of all pixels that were ever decoded
        self._lost: list[str] = []  # names of threads that have ended

    # --- accepting --------------------------------------------------------------------------------------------
    def admit(self) -> None:
        """Check whether another request can be accepted.

        Raises:
            ServiceError: 429, too many are waiting.
        """
        if self.waiting >= self.limits.max_waiting or self.held >= self.limits.max_held_bytes:
            raise self.busy()

    def busy(self) -> ServiceError:
        """429, with the time after which the waiting requests should be done."""
        return ServiceError("busy", "too many requests are waiting", "try again later", retry_after=self.pace.left())

    @property
    def waiting(self) -> int:
        """Number of accepted requests without an answer."""
        return self.pace.waiting

    def warm_up(self) -> None:
        """Extract the regions of a blank image and ask about it, each twice: first so that one-time initialization and
        measurements do not delay the first user, then to measure the pace."""
        methods = self.predictor.methods
        method = next((one for one in ("answer", "locate", "entails") if one in methods), None)
        if method is not None:
            self.worker.do(lambda: self._ask_about_blank(method))

    def _ask_about_blank(self, method: str) -> None:
        blank = Image.new("RGB", _BLANK)
        for _ in range(2):
            start = time.perf_counter()
            scene = self.predictor.scene(blank)
            self.pace.small.seconds = time.perf_counter() - start
            if self.pace.small.seconds > 3:  # initialization is a small part of it, and a user may wait
                break
        question = self.predictor.question(method, "what is it", scene)
        self.predictor.ask([question])
        start = time.perf_counter()
        self.predictor.ask([question])
        self.pace.suppose(time.perf_counter() - start)

    # --- images ---------------------------------------------------------------------------------------------
    async def scene(self, data: bytes) -> Scene:
        """Extract the regions of an encoded image.

        Raises:
            ServiceError: it cannot be decoded, or exceeds a limit.
        """
        until = self._until()
        pixels = await asyncio.to_thread(uploads.check, data, self.limits)
        return await self._by_size(pixels, lambda: self._extracted(data), until)

    async def _by_size(self, pixels: int, work: Callable[[], Scene], until: float) -> Scene:
        """The result of work on an image, in the thread for images of this size."""
        large = pixels > LARGE
        line, queue = (self._large, self.pace.large) if large else (self._small, self.pace.small)

        def timed() -> Scene:
            with queue.measured():
                return work()

        with queue.waits():
            return await self._result(line.do(timed), until, f"send a smaller image, or {_OPERATOR}")

    def _extracted(self, data: bytes) -> Scene:
        self.predictor.threads.here()
        image = uploads.decoded(data, self.limits)
        try:
            return self.predictor.scene(image, name="image")
        finally:
            self._count_decoded(3 * image.width * image.height)

    def _count_decoded(self, count: int) -> None:
        self._decoded += count

    async def _checked(self, images: Mapping[str, ImageOf]) -> list[int]:
        """The number of pixels of each image. Raise ServiceError, before any is decoded, if one does not exist, or if
        one or all of them exceed a limit."""
        sizes, sent = [], 0
        for path, image in images.items():
            if image.base64 is None:
                regions = self._stored(path, image).regions
                sizes.append(regions.width * regions.height)
            else:
                with _about(f"{path}.base64"):
                    sizes.append(await asyncio.to_thread(uploads.check, image.base64, self.limits))
                sent += sizes[-1]
        if sent > (most := self.limits.max_request_pixels):
            problem = f"the images have more than {most:,} pixels together"
            raise ServiceError("too_many_pixels", problem, f"send each to {PREFIX}/scenes")
        return sizes

    async def _regions(self, images: Mapping[str, ImageOf], until: float, boxes: Sequence[Box] = ()) -> list[Scene]:
        """The regions that a question needs: those of its images and of ``boxes``. Images are processed one after the
        other, so that a request with many of them delays others by at most one."""
        sizes = await self._checked(images)
        return [
            await self._regions_of(path, image, pixels, until, boxes)
            for (path, image), pixels in zip(images.items(), sizes, strict=True)
        ]

    def _stored(self, path: str, image: ImageOf) -> Scene:
        """The stored scene that an image names; raises ServiceError, with the field of ``path``, if there is none."""
        with _about(f"{path}.scene"):
            return self.scenes.get(image.scene or "")

    async def _regions_of(self, path: str, image: ImageOf, pixels: int, until: float, boxes: Sequence[Box]) -> Scene:
        if image.base64 is None:
            if not boxes:
                return without_pixels(self._stored(path, image))
            inside(boxes, self._stored(path, image))  # an error is raised before the request waits

        def work() -> Scene:
            if image.base64 is None:
                scene = self._stored(path, image)
            else:
                with _about(f"{path}.base64"):
                    scene = self._extracted(image.base64)
            inside(boxes, scene)
            return without_pixels(scene, boxes)

        return await self._by_size(pixels, work, until)

    # --- questions --------------------------------------------------------------------------------------------
    async def ask(
        self,
        method: str,
        text: str | Sequence[Turn],
        images: Mapping[str, ImageOf],
        *,
        task: str | None,
        explain: bool,
        threshold: float | None = None,
        boxes: Sequence[Box] = (),
    ) -> Result:
        """The answer to a question.

        Raises:
            ServiceError, TwelveError: the model cannot answer it.
        """
        until = self._until()
        self.predictor.task_for(method, task)  # before images are processed in vain
        scenes = await self._regions(images, until, boxes)
        question = self.predictor.question(method, text, scenes, task=task, boxes=boxes)
        found = await self._result(self.worker.ask(question, explain=explain, threshold=threshold), until)
        if not math.isfinite(found.confidence):
            raise no_number()
        return found

    async def depends(self, method: str, text: str, images: Mapping[str, ImageOf], task: str | None) -> Dependence:
        """The confidence of a result without each region of its images.

        Raises:
            ServiceError, TwelveError: the model cannot answer it.
        """
        until = self._until()
        self.predictor.task_for(method, task)
        scenes = await self._regions(images, until)
        steps = self.predictor.depending(self.predictor.question(method, text, scenes, task=task))
        return await self._result(self.worker.run(steps), until)

    async def match(
        self,
        images: Mapping[str, ImageOf],
        captions: Sequence[str],
        task: str | None,
        shortlist: int | None = None,
        contrast_weight: float = 0.0,
    ) -> Matched:
        """Scores of every caption with every image, or with those on its shortlist. Images are named by index."""
        until = self._until()
        self.predictor.task_for("match", task)
        scenes = await self._regions(images, until)
        for place, scene in enumerate(scenes):
            scene.name = str(place)
        steps = self.predictor.matching(
            scenes, list(captions), task=task, pairs=PAIRS, shortlist=shortlist, contrast_weight=contrast_weight
        )
        return await self._result(self.worker.run(steps), until, f"send fewer images or captions, or {_OPERATOR}")

    # --- the index --------------------------------------------------------------------------------------------
    @property
    def indexed(self) -> int | None:
        """Number of images that can be searched; None without an index."""
        return None if self.searching is None else len(self.searching.index)

    async def search(self, text: str, task: str | None, shortlist: int, contrast_weight: float) -> Found:
        """The images of the index that match a text, as :meth:`twelve.Predictor.search` ranks them.

        Raises:
            ServiceError, TwelveError: there is no index, or the model cannot match this text.
        """
        if self.searching is None:
            raise no_index()
        until = self._until()
        self.predictor.check("match", text, task=task)
        pending = self.searching.search(text, task, shortlist, contrast_weight)
        return await self._result(pending, until, f"send a shortlist of fewer images than {shortlist}")

    async def thumbnail(self, name: str) -> bytes:
        """The thumbnail of an image of the index, as JPEG.

        Raises:
            ServiceError: there is no index, or no such image in it.
        """
        if self.searching is None:
            raise no_index()
        self.admit()
        with self.pace.accepted():
            made = await self._result(self.searching.thumbnail(name), self._until())
        if made is None:
            problem = "no such image in the index, or its file has changed"
            raise ServiceError("unknown_image", problem, f"use a name that POST {PREFIX}/search replied with")
        return made

    def _until(self) -> float:
        """The time limit of a request that arrives now."""
        return time.monotonic() + self.limits.answer_seconds

    async def _result(self, pending: Pending[T], until: float, remedy: str = f"try again, or {_OPERATOR}") -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(pending), until - time.monotonic())
        except NotFiniteLogits:
            raise no_number() from None
        except NotFinite:
            raise ServiceError(
                "no_number", "the features of the extractor are not finite", "serve the model with other --weights"
            ) from None
        except TimeoutError:
            if not pending.begun:
                raise self.busy() from None
            raise ServiceError("too_slow", "the answer took too long", remedy, retry_after=5) from None

    # --- life -------------------------------------------------------------------------------------------------
    def _lines(self) -> Iterator[Line]:
        """The threads, in the order in which they can be stopped."""
        if self.searching is not None:
            yield from self.searching.lines
        yield from (self._small, self._large, self.worker)

    @property
    def lost(self) -> str | None:
        """Which threads have ended without being stopped, so that some requests cannot be answered; None: none has."""
        self._lost = self._lost or [line.name for line in self._lines() if line.ended]
        return f"the service has lost its thread for {' and '.join(self._lost)}" if self._lost else None

    @property
    def hung(self) -> str | None:
        """Which threads have worked on the same batch or image for too long, as when the GPU does not respond; None:
        none has. The threads of searches are left out: they wait for that of the model, also while it is only busy."""
        most = self.limits.hung_seconds
        found = [line.name for line in (self._small, self._large, self.worker) if line.still > most]
        return f"the thread for {' and '.join(found)} has made no progress for {most:g} seconds" if found else None

    def check_threads(self) -> None:
        """Raise ServiceError (500) if a thread has ended or hangs."""
        if (problem := self.lost) is not None:
            raise ServiceError("internal_error", problem, "restart the service; its log says why")
        if (problem := self.hung) is not None:
            raise ServiceError("internal_error", problem, "restart the service")

    async def tidy(self) -> None:
        """Drop expired scenes and return freed memory, every few seconds."""
        before = 0
        while True:
            await asyncio.sleep(min(5.0, self.limits.scene_seconds))
            self.scenes.expire()
            if (freed := self.scenes.dropped + self._decoded) - before > MUCH:
                before = freed
                await asyncio.to_thread(give_back)

    def close(self) -> None:
        """Finish the queued work, end the threads and drop the scenes. If a thread has ended, others may wait for it:
        they are left to themselves."""
        within = None if self.lost is None else _LEFT
        for line in self._lines():
            line.stop(within)
        self.scenes.clear()


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Name the field of the request that a ServiceError is about."""
    try:
        yield
    except ServiceError as error:
        raise ServiceError(error.code, f"{field}: {error.problem}", error.remedy, field=field) from None


def without_pixels(scene: Scene, boxes: Sequence[Box] = ()) -> Scene:
    """A new scene with the same regions and those of ``boxes``, without the image.

    It is separate from the stored scene, so that regions of ``boxes`` are freed with the request.
    """
    made = Scene(scene.predictor, scene.regions, scene.image, scene.name, scene.warnings)
    if boxes:
        made.regions_of(tuple(boxes))
    made.image = None
    return made


def no_number() -> ServiceError:
    """503: the model returned infinities or NaN."""
    return ServiceError(
        "no_number", "the output of the model is not finite", "train it again, or serve an earlier checkpoint"
    )


def no_index() -> ServiceError:
    """409: nothing can be searched."""
    remedy = f"restart it with twelve serve MODEL --index FILE; POST {PREFIX}/match ranks images that you send"
    return ServiceError("no_index", "the service was started without an index of images", remedy)


def inside(boxes: Sequence[Box], scene: Scene) -> None:
    """Raise ServiceError, with the field of the box, if a box or more than half of it lies outside the image."""
    width, height = scene.regions.width, scene.regions.height
    for place, box in enumerate(boxes):
        x1, y1, x2, y2 = box
        problem = None
        if min(x2, width) - max(x1, 0) < 1 or min(y2, height) - max(y1, 0) < 1:
            problem = f"the box lies outside the image ({width} x {height} pixels)"
        elif is_mostly_outside(box, (width, height)):
            problem = f"the box lies mostly outside the image ({width} x {height} pixels)"
        if problem is not None:
            field = f"boxes.{place}"
            remedy = "give x1, y1, x2, y2 in pixels of the image after its EXIF rotation"
            raise ServiceError("invalid_input", f"{field}: {problem}", remedy, field=field)
