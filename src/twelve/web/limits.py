"""How much of everything the service takes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from twelve.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused beyond; every value is positive.

    Attributes:
        max_bytes: of an image as it is sent, and of all images in one JSON request together.
        max_pixels: width times height of an image, checked before any pixel is decoded.
        max_request_pixels: of all images in one JSON request together.
        max_marks: brackets, braces, colons, commas and quotes in one JSON request: reading keys and values takes
            far longer than reading as many bytes of an image.
        max_held_bytes: of bodies that are being received or wait, all together.
        max_waiting: requests that are accepted and not yet answered; beyond, 429.
        max_batch: questions that the model answers together; 1 answers one at a time.
        max_scenes, max_scene_bytes: images that are kept in memory to be asked about again; the one asked about
            longest ago goes first.
        scene_seconds: how long an image is kept after it was last asked about.
        body_seconds: within which a body must have arrived.
        answer_seconds: within which a request is answered, or given up.
        stop_seconds: within which accepted requests are finished when the service is told to stop; then they are
            given up.
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
                raise ConfigError(f"{field.name} is {getattr(self, field.name)}", remedy="give a positive number")

    @property
    def max_body(self) -> int:
        """Bytes of a request's body: images in base64 are a third longer, and texts come beside them."""
        return self.max_bytes * 4 // 3 + 100_000
