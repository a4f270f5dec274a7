"""Helpers for several official layouts: COCO boxes and ids, and reproducible files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from twelve.io import files
from twelve.microworld.scene import Box
from twelve.microworld.world import WorldImage

Item = TypeVar("Item")


def xywh(box: Box) -> list[float]:
    """Convert corners to x, y, width, height."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def outline(box: Box) -> list[float]:
    """The box as a COCO polygon."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def annotation_id(image: WorldImage, number: int) -> int:
    """COCO's annotation id of thing ``number`` in an image, the same in all datasets."""
    return 100 * int(image.key) + number + 1


def file_name(image: WorldImage) -> str:
    """The image's file name without folders."""
    return image.file.rsplit("/", 1)[-1]


def shuffled(rng: np.random.Generator, items: Sequence[Item]) -> list[Item]:
    """The items in random order."""
    return [items[number] for number in rng.permutation(len(items)).tolist()]


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    write_bytes(path, json.dumps(content).encode())


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]], *, zipped: bool = False) -> None:
    """Write one JSON object per line; ``zipped`` compresses with gzip, without a timestamp."""
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    write_bytes(path, gzip.compress(content, mtime=0) if zipped else content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with files.replacing(path) as partial:
        partial.write_bytes(content)
