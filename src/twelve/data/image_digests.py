"""Digests by which an image is recognised later, in another run's data.

An image has up to two: one of its file's content, whatever its name, and, if it belongs to a public dataset, one of its
id. Ids of generated images and of images of one's own are not used: in another data root, they name other images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.data.kept import MANY, kept
from twelve.formats.content_digest import UNREAD, content_digest
from twelve.formats.data_root import DataRoot, is_drawn
from twelve.progress import Track
from twelve.tasks.base import all_tasks
from twelve.types.trained_images import BYTES

_AT_ONCE = 1024


def image_digests(images: Sequence[str], root: DataRoot, same: Mapping[str, str]) -> dict[str, tuple[bytes, bytes]]:
    """Image id -> the digest of its file's content and that of its id; each is empty where the image has none.

    Args:
        same: image id -> id of the same photograph in another source.
    """
    files = {image: path for image in images if (path := root.image_file(image)) is not None}
    contents = dict(zip(files, _of_files(list(files.values())), strict=True))
    public = set[str]() if is_drawn(root.path) else {task.source for task in all_tasks().values()}
    digests = {}
    for image in images:
        known = same.get(image, image)
        of_id = hashlib.sha256(known.encode("utf-8", "surrogatepass")).digest()[:BYTES]
        digests[image] = (contents.get(image, b""), of_id if known.partition("/")[0] in public else b"")
    return digests


def _of_files(paths: Sequence[Path]) -> list[bytes]:
    """The digest of each file's content, zeros where it cannot be read. Those of many files are kept in the cache, and
    files that have not changed since are not read again."""

    def compute() -> NDArray[np.uint8]:
        parts: list[bytes] = []
        with (
            ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
            Track("reading image files, to recognise them later", len(paths), "images") as track,
        ):
            for start in range(0, len(paths), _AT_ONCE):
                parts += pool.map(content_digest, paths[start : start + _AT_ONCE])
                track.advance(len(parts) - start)
        return np.frombuffer(b"".join(parts), np.uint8)

    if len(paths) < MANY:
        content = compute().tobytes()
    else:
        content = kept("images", (_state(path) for path in paths), compute).tobytes()
    digests = (content[at : at + BYTES] for at in range(0, len(content), BYTES))
    return [b"" if digest == UNREAD else digest for digest in digests]


def _state(path: Path) -> str:
    """What changes when a file does."""
    try:
        there = path.stat()
    except OSError:
        return f"{path} gone"
    return f"{path.resolve()} {there.st_size} {there.st_mtime_ns}"
