"""Writing files of official size record by record; see official_files.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 14
"""Texts that are drawn at a time."""


@contextmanager
def listing(path: Path, opening: str = "[", closing: str = "]") -> Iterator[Callable[[str], object]]:
    """Open a file and yield what writes one more element between two marks."""
    with path.open("w", encoding="utf-8", buffering=1 << 20) as stream:
        first = True

        def add(element: str) -> None:
            nonlocal first
            stream.write(element if first else f", {element}")
            first = False

        stream.write(opening)
        yield add
        stream.write(closing)


def spread(count: int, images: Sequence[Any]) -> Iterator[tuple[Any, int]]:
    """(image, number of the question in it) of ``count`` questions, as evenly as can be, image by image."""
    for place, image in enumerate(images):
        for number in range((place + 1) * count // len(images) - place * count // len(images)):
            yield image, number


def endless(
    draw: Callable[[np.random.Generator, int, int, int], list[str]], rng: np.random.Generator, *limits: int
) -> Iterator[str]:
    """Texts or words without end: ``draw(rng, how many, *limits)``."""
    while True:
        yield from draw(rng, BLOCK, *limits)
