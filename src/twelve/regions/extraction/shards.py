"""Divides an extraction among processes or machines."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` of ``count``, counted from 0."""

    index: int
    count: int

    def __contains__(self, image_id: str) -> bool:
        """Whether an image belongs to this part. Only its id decides, so that every machine decides alike."""
        digest = hashlib.blake2b(image_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.index

    def __str__(self) -> str:
        return f"shard-{self.index}-of-{self.count}"

    def of(self, paths: Mapping[str, Path]) -> dict[str, Path]:
        """The images of this part."""
        return {key: path for key, path in paths.items() if key in self}


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard | None:
    """The part named by ``--shard i/n``; by default, the part of this process among those started by ``accelerate
    launch`` or ``torchrun`` (``RANK`` of ``WORLD_SIZE``), or None if there is only one.

    Raises:
        ConfigError: the text does not name a part.
    """
    if text is None:
        if not launched(environment):
            return None
        text = f"{environment.get('RANK', '')}/{environment['WORLD_SIZE']}"
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None or int(match[1]) >= int(match[2]):
        raise ConfigError(f"--shard {text} does not name a part", remedy="write 0/4, 1/4, 2/4 and 3/4 for four parts")
    return Shard(int(match[1]), int(match[2]))


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that ``accelerate launch`` or ``torchrun`` has started."""
    size = environment.get("WORLD_SIZE", "")
    return size.isdecimal() and int(size) > 1


def local_device(device: str, environment: Mapping[str, str] = os.environ) -> str:
    """``cuda`` as the GPU that a launcher assigned to this process (``LOCAL_RANK``), if there is one."""
    rank = environment.get("LOCAL_RANK", "")
    return f"cuda:{rank}" if device == "cuda" and rank.isdecimal() else device
