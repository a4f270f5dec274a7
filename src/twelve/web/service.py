"""What the endpoints do: pictures in, answers out, in the time that is allowed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from twelve.predictor import Matched, Predictor, Result, Scene
from twelve.tasks.base import Box
from twelve.web import uploads
from twelve.web.limits import Limits
from twelve.web.metrics import Metrics
from twelve.web.problems import ServiceError
from twelve.web.scenes import Scenes
from twelve.web.schemas import PictureOf
from twelve.web.worker import Worker

T = TypeVar("T")
_SMOOTHING = 0.98
"""Of the pace: a moment in which the machine did something else must not send everyone away for long."""


class Service:
    """A predictor, its thread, the pictures it keeps.

    Attributes:
        waiting: requests that are accepted and not yet answered.
        held: bytes of bodies that are being received or wait.
        stopping: no request is accepted any more.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.scenes = Scenes(limits)
        self.metrics = Metrics(self)
        self.worker = Worker(predictor, limits.max_batch, self.metrics.batch.observe)
        self.waiting, self.held = 0, 0
        self.stopping = False
        self._pace = 0.05  # seconds from one reply to the next, while others wait
        self._last: float | None = None

    # --- accepting --------------------------------------------------------------------------------------------
    def admit(self) -> None:
        """Say whether one more request can be accepted.

        Raises:
            ServiceError: 429 where too many wait, 503 where the service is stopping.
        """
        if self.stopping:
            raise ServiceError(503, "the service is stopping", "try again later", retry_after=5)
        if self.waiting >= self.limits.max_waiting or self.held >= self.limits.max_held_bytes:
            raise self.busy()

    @property
    def busy_now(self) -> bool:
        """Whether a request is being received or answered."""
        return self.waiting > 0 or self.held > 0

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

    # --- pictures ---------------------------------------------------------------------------------------------
    async def look(self, data: bytes, name: str = "picture") -> Scene:
        """Look at a file's bytes.

        Raises:
            ServiceError: they are no picture that is taken.
        """
        await asyncio.to_thread(uploads.check, data, self.limits)

        def work() -> Scene:
            return self.predictor.look(uploads.decoded(data, self.limits), name=name)

        return await self._result(self.worker.do(work))

    async def scene(self, picture: PictureOf) -> Scene:
        """The scene that a request means."""
        if picture.image is not None:
            return await self.look(picture.image)
        return self.scenes.get(picture.scene or "")

    # --- questions --------------------------------------------------------------------------------------------
    async def ask(
        self,
        method: str,
        text: str,
        pictures: Sequence[PictureOf],
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
        self.predictor.task_for(method, task)  # before a picture is looked at in vain
        scenes = [await self.scene(picture) for picture in pictures]
        if boxes:
            inside(boxes, scenes[0])
            # A scene of its own: the regions of these boxes are gone with the request, whoever sends how many.
            scenes = [copy_of(scene, scene.name) for scene in scenes]
        question = self.predictor.question(method, text, scenes, task=task, boxes=boxes)
        return await self._result(self.worker.ask(question, explain=explain, threshold=threshold))

    async def match(self, pictures: Sequence[PictureOf], captions: Sequence[str], task: str | None) -> Matched:
        """Captions and pictures, which are named by their places."""
        self.predictor.task_for("match", task)
        scenes = [copy_of(await self.scene(picture), str(place)) for place, picture in enumerate(pictures)]
        return await self._result(self.worker.do(lambda: self.predictor.match(scenes, list(captions), task=task)))

    async def _result(self, future: Future[T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.answer_seconds)
        except TimeoutError:
            if future.cancelled():
                raise self.busy() from None
            raise ServiceError(503, "the answer took too long", "ask less at once", retry_after=5) from None

    # --- life -------------------------------------------------------------------------------------------------
    async def tidy(self) -> None:
        """Forget expired pictures, also while nobody asks anything."""
        while True:
            await asyncio.sleep(min(5.0, self.limits.scene_seconds))
            self.scenes.expire()

    def close(self) -> None:
        """Finish, forget everything."""
        self.stopping = True
        self.worker.stop()
        self.scenes.clear()


def copy_of(scene: Scene, name: str) -> Scene:
    """The same picture and regions as another scene."""
    return Scene(scene.predictor, scene.regions, scene.picture, name)


def inside(boxes: Sequence[Box], scene: Scene) -> None:
    """Raise ServiceError if a box lies outside the picture."""
    width, height = scene.regions.width, scene.regions.height
    for place, (x1, y1, x2, y2) in enumerate(boxes):
        if min(x2, width) - max(x1, 0) < 1 or min(y2, height) - max(y1, 0) < 1:
            raise ServiceError(422, f"box {place} lies outside the picture ({width} x {height} pixels)")
