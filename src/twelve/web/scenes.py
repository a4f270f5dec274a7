"""Images that were looked at, kept in memory for a while: a bounded number, a bounded size, a bounded time."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twelve.predictor import Scene
from twelve.web.limits import Limits
from twelve.web.problems import ServiceError


@dataclass(slots=True)
class _Kept:
    scene: Scene
    size: int
    until: float


class Scenes:
    """By id. Ids cannot be guessed: what one client sent, another cannot ask about.

    Args:
        now: the clock, seconds.

    Attributes:
        bytes, dropped: that the scenes take, and that those took which were ever dropped.
    """

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._now = limits, now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = self.dropped = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, scene: Scene) -> str:
        """Keep a scene; returns its id. Those asked about longest ago make room."""
        name, size = secrets.token_urlsafe(16), size_of(scene)
        with self._lock:
            self._kept[name] = _Kept(scene, size, self._now() + self._limits.scene_seconds)
            self.bytes += size
            while len(self._kept) > 1 and (
                len(self._kept) > self._limits.max_scenes or self.bytes > self._limits.max_scene_bytes
            ):
                self._drop(next(iter(self._kept)))
        return name

    def get(self, name: str) -> Scene:
        """A scene, which is kept longer for being asked about.

        Raises:
            ServiceError: 404.
        """
        self.expire()
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                raise ServiceError(404, "there is no such image (any more)", "send it to /api/scenes again")
            found.until = self._now() + self._limits.scene_seconds
            self._kept.move_to_end(name)
            return found.scene

    def remove(self, name: str) -> None:
        """Forget a scene.

        Raises:
            ServiceError: 404.
        """
        self.get(name)
        with self._lock:
            self._drop(name)

    def expire(self) -> None:
        """Forget what nobody asked about for so long."""
        with self._lock:
            now = self._now()
            while self._kept and next(iter(self._kept.values())).until <= now:
                self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def _drop(self, name: str) -> None:
        found = self._kept.pop(name, None)
        size = found.size if found is not None else 0
        self.bytes, self.dropped = self.bytes - size, self.dropped + size


def size_of(scene: Scene) -> int:
    """Bytes that a scene takes: its pixels and its features."""
    features = scene.regions.features
    pixels = 0 if scene.image is None else 3 * scene.image.width * scene.image.height
    return pixels + (0 if features is None else features.nbytes) + scene.regions.boxes.nbytes
