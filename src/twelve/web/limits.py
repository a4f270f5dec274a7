"""The limits of the service."""

from __future__ import annotations

from dataclasses import dataclass, fields

from twelve.errors import ConfigError

_PORTS = 1 << 16


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
    """Limits of the service. All are positive.

    Attributes:
        max_bytes: bytes of an encoded image, and of all images in one JSON request together.
        max_pixels: width times height of an image, checked before it is decoded.
        max_request_pixels: pixels of all images in one JSON request together.
        max_marks: brackets, braces, colons, commas and quotes in one JSON request. Parsing keys and values takes far
            longer than parsing as many bytes of an image.
        max_held_bytes: bytes of all bodies that are being received or waiting.
        max_waiting: accepted requests without an answer; further requests get 429.
        max_batch: questions in one forward pass.
        max_scenes: number of stored images; the least recently used is dropped first.
        max_scene_bytes: bytes of stored images together; the least recently used is dropped first.
        scene_seconds: seconds for which an image is stored after the last question about it.
        body_seconds: seconds for a body to arrive.
        answer_seconds: seconds to answer a request.
        stop_seconds: seconds to finish accepted requests after a stop signal, rounded up; then they get 503.
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
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(f"{field.name} is {getattr(self, field.name)}", remedy="pass a positive number")

    @property
    def max_body(self) -> int:
        """Bytes of a request's body: base64 makes images a third longer, and there are texts."""
        return self.max_bytes * 4 // 3 + 100_000
