"""The limits of the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twelve.errors import ConfigError

_PORTS = 1 << 16
CONNECTIONS = 512
"""Connections to ``twelve serve``; others get 503 without JSON."""
MARKS = "brackets, braces, colons, commas and quotes"
"""What ``max_marks`` counts, in the words of every text about it."""
RANGES: Mapping[str, tuple[float, float]] = {
    "max_bytes": (1_000, 1_000_000_000),
    "max_pixels": (1_000, 178_956_970),  # more is refused by Pillow
    "max_request_pixels": (1_000, 10_000_000_000),
    "max_marks": (1_000, 10_000_000),
    "max_held_bytes": (1_000, 100_000_000_000),
    "max_waiting": (1, CONNECTIONS - 12),  # some are left for /health and /metrics
    "max_batch": (1, 1024),
    "max_scenes": (1, 1_000_000),
    "max_scene_bytes": (1, 1_000_000_000_000),
    "scene_seconds": (0.01, 604_800),
    "body_seconds": (0.01, 3_600),
    "answer_seconds": (0.01, 3_600),
    "stop_seconds": (0.01, 3_600),
}
"""Limit -> its least and its largest value."""


def check_port(port: int) -> None:
    """Raise ConfigError for what is no number of a port."""
    if not 0 <= port < _PORTS:
        raise ConfigError(
            f"expected a port of 0 to {_PORTS - 1:,}, found {port}",
            record="--port",
            remedy="choose one, such as 8012; 0 takes a free one",
        )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the service, each within its :data:`RANGES`. ``twelve serve`` has an option for each.

    Attributes:
        max_bytes: bytes of an encoded image, and of all images in one JSON request together.
        max_pixels: width times height of an image, checked before it is decoded.
        max_request_pixels: pixels of all images in one JSON request together.
        max_marks: brackets, braces, colons, commas and quotes in one JSON request. Parsing keys and values takes far
            longer than parsing as many bytes of an image.
        max_held_bytes: bytes of all bodies that are being received or waiting.
        max_waiting: accepted requests without an answer; further requests get 429.
        max_batch: questions in one forward pass.
        max_scenes: number of scenes; the least recently used is dropped first.
        max_scene_bytes: bytes of all scenes together; the least recently used is dropped first.
        scene_seconds: seconds for which a scene is stored after the last question about it.
        body_seconds: seconds for a body to arrive.
        answer_seconds: seconds to answer a request.
        stop_seconds: seconds to finish accepted requests after a stop signal, rounded up; then these requests get 503.
    """

    max_bytes: int = 16_000_000
    max_pixels: int = 36_000_000
    max_request_pixels: int = 144_000_000
    max_marks: int = 20_000
    max_held_bytes: int = 256_000_000
    max_waiting: int = 64
    max_batch: int = 32
    max_scenes: int = 256
    max_scene_bytes: int = 512_000_000
    scene_seconds: float = 900.0
    body_seconds: float = 20.0
    answer_seconds: float = 60.0
    stop_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise ConfigError(
                    f"expected {name} of {least:,} to {most:,}, found {value:,}", remedy="choose one of this range"
                )
        if self.max_held_bytes < self.max_body:
            raise ConfigError(
                f"expected max_held_bytes of at least {self.max_body:,}, a body with max_bytes of "
                f"{self.max_bytes:,} in base64, found {self.max_held_bytes:,}",
                remedy="increase max_held_bytes, or lower max_bytes",
            )

    @property
    def max_body(self) -> int:
        """Bytes of a request's body: base64 makes images a third longer, and there are texts."""
        return self.max_bytes * 4 // 3 + 100_000

    @property
    def hung_seconds(self) -> float:
        """Seconds on one step after which a thread counts as hung. A slow one needs far less: nobody waits longer than
        ``answer_seconds``."""
        return max(60.0, 10 * self.answer_seconds)
