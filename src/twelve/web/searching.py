"""Searches of an index, and thumbnails of its images, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from twelve.predictor import Matched, Predictor, Scene
from twelve.predictor.open_index import OpenIndex
from twelve.web import thumbnails
from twelve.web.line import Line, Pending
from twelve.web.worker import Worker


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        matched: the ranked images; None if no image on the shortlist could be
            read.
        skipped: names of those that could not.
    """

    matched: Matched | None
    skipped: list[str]


class Searching:
    """Searches an index, one request after the other, so that the regions of one shortlist at a time are in memory.

    Attributes:
        lines: its threads; the model's thread must still run when they are stopped.

    Args:
        worker: the model's thread, which encodes the text and ranks the shortlist between the questions of others.
        pairs: caption-image pairs that it scores in a step.
        decoded: called with the bytes of an image's pixels after they were used.
    """

    def __init__(
        self, predictor: Predictor, index: OpenIndex, worker: Worker, pairs: int, decoded: Callable[[int], None]
    ) -> None:
        self._predictor, self.index, self._worker = predictor, index, worker
        self._pairs, self._decoded = pairs, decoded
        self._searches, self._thumbnails = Line("searches", alternating=False), Line("thumbnails")
        self.lines = self._searches, self._thumbnails

    def search(self, text: str, task: str | None, shortlist: int, contrast_weight: float) -> Pending[Found]:
        """Queue a search that ranks images as :meth:`twelve.Predictor.search` does."""
        return self._searches.run(self._steps(text, task, shortlist, contrast_weight))

    def _steps(
        self, text: str, task: str | None, shortlist: int, contrast_weight: float
    ) -> Generator[None, None, Found]:
        """A search. It is given up between two images if nobody waits for it any more."""
        vectors = self._worker.do(lambda: self._predictor.caption_vectors([text], task=task)).result()
        scenes: list[Scene] = []
        skipped: list[str] = []
        for name in self.index.closest(vectors, shortlist):
            yield
            self._predictor.threads.here()
            scene = self.index.scene(name)
            if scene is None:
                skipped.append(name)
                continue
            if scene.image is not None:
                self._decoded(3 * scene.image.width * scene.image.height)
                scene.image = None
            scenes.append(scene)
        if not scenes:
            return Found(None, skipped)
        yield
        steps = self._predictor.matching(
            scenes, [text], task=task, pairs=self._pairs, shortlist=shortlist, contrast_weight=contrast_weight
        )
        matched = self._worker.run(steps).result()
        return Found(matched, skipped)

    def thumbnail(self, name: str) -> Pending[bytes | None]:
        """Queue the thumbnail of an image; None if the index has no image of this name, or its file has changed."""
        return self._thumbnails.do(lambda: self._thumbnail(name))

    def _thumbnail(self, name: str) -> bytes | None:
        path = self.index.path(name)
        if path is None:
            return None
        made, decoded = thumbnails.of_file(path, self._predictor.extractor.config.max_pixels)
        self._decoded(decoded)
        return made
