"""Scenes that are stored in memory, within limits of number, size and time."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twelve.predictor import Scene
from twelve.web.fields import PREFIX
from twelve.web.limits import Limits
from twelve.web.problems import ServiceError


@dataclass(slots=True)
class _Kept:
    scene: Scene
    size: int
    until: float


class Scenes:
    """Stored scenes by id. Ids cannot be guessed, so a client cannot ask about those of another.

    Args:
        now: a clock, in seconds.

    Attributes:
        bytes: size of the stored scenes.
        dropped: total size of the scenes that were dropped so far.
    """

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._now = limits, now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = self.dropped = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, scene: Scene) -> str:
        """Store a scene and return its id. The least recently used scenes are dropped if there are too many."""
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
        """The scene with an id; its time starts again.

        Raises:
            ServiceError: 404.
        """
        self.expire()
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                raise _unknown(f"send the image to {PREFIX}/scenes again")
            found.until = self._now() + self._limits.scene_seconds
            self._kept.move_to_end(name)
            return found.scene

    def remove(self, name: str) -> None:
        """Drop a scene.

        Raises:
            ServiceError: 404.
        """
        self.expire()
        with self._lock:
            if name not in self._kept:
                raise _unknown("do nothing: there is nothing to delete")
            self._drop(name)

    def expire(self) -> None:
        """Drop the scenes whose time is over."""
        with self._lock:
            now = self._now()
            while self._kept and next(iter(self._kept.values())).until <= now:
                self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Drop all scenes."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def _drop(self, name: str) -> None:
        size = self._kept.pop(name).size
        self.bytes, self.dropped = self.bytes - size, self.dropped + size


def _unknown(remedy: str) -> ServiceError:
    return ServiceError("unknown_scene", "no scene has this id, or it has expired", remedy)


def size_of(scene: Scene) -> int:
    """Bytes of the pixels and features of a scene."""
    features = scene.regions.features
    pixels = 0 if scene.image is None else 3 * scene.image.width * scene.image.height
    return pixels + (0 if features is None else features.nbytes) + scene.regions.boxes.nbytes
