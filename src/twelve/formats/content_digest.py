"""The digest of a file's content, by which the file is recognised whatever its name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from twelve.io.json_file import opened
from twelve.types.trained_images import BYTES

UNREAD = bytes(BYTES)
"""Stands for a file that cannot be read."""


def content_digest(path: Path) -> bytes:
    """The digest of a file's content, zeros where it cannot be read."""
    try:
        with opened(path) as stream:
            return hashlib.file_digest(stream, "sha256").digest()[:BYTES]
    except OSError:
        return UNREAD
