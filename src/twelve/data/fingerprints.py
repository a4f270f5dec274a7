"""Fingerprints of images: perceptual hashes of the image and of windows in it, and a small grey thumbnail.

Threads decode the images. The main thread computes the fingerprints of many images at a time: linear algebra that uses
all cores is slow if several threads call it for small arrays.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from twelve.data.crop_matching import EDGES, STARTS, THUMBNAIL, averages
from twelve.progress import Track

WORK = 128
"""Side of the grey square that hashes are computed from."""
FREQUENCIES = 8
_TOGETHER = 64
"""Images whose fingerprints are computed at a time."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Fingerprints of N images.

    Attributes:
        hashes: (N, 121) uint64, one for each window; column 0 is that of the whole image.
        thumbnails: (N, 32, 32) uint8, grey.
        unreadable: image id -> why its file cannot be read; these images are not in ``ids``.
    """

    ids: tuple[str, ...]
    files: tuple[Path, ...]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    unreadable: Mapping[str, str]


def fingerprints(files: Mapping[str, Path], *, workers: int | None = None, progress: bool = True) -> Fingerprints:
    """Fingerprints of the images in ``files`` (image id -> file).

    Args:
        workers: threads that decode; by default one for each core.
    """
    ids: list[str] = []
    hashes: list[NDArray[np.uint64]] = []
    thumbnails: list[NDArray[np.uint8]] = []
    unreadable: dict[str, str] = {}
    with Track("computing fingerprints of images", len(files), "images", shown=progress) as track:
        decoded = _decoded(files, workers or os.cpu_count() or 1)
        while part := list(itertools.islice(decoded, _TOGETHER)):
            unreadable |= {image: found for image, found in part if isinstance(found, str)}
            good = {image: found for image, found in part if not isinstance(found, str)}
            if good:
                pixels = np.stack(list(good.values())).astype(np.float32)
                ids += good
                hashes.append(_hashes(pixels))
                thumbnails.append(_thumbnails(pixels))
            track.advance(len(part))
    return Fingerprints(
        tuple(ids),
        tuple(files[image] for image in ids),
        np.concatenate([np.empty((0, len(STARTS)), np.uint64), *hashes]),
        np.concatenate([np.empty((0, THUMBNAIL, THUMBNAIL), np.uint8), *thumbnails]),
        unreadable,
    )


def square(path: Path, mode: Literal["L", "RGB"]) -> NDArray[np.uint8]:
    """An image, upright and resized to a square: (128, 128) grey (``"L"``) or (128, 128, 3) coloured (``"RGB"``)."""
    with Image.open(path) as opened:
        opened.draft(mode, (WORK, WORK))  # JPEG: decoded at the smallest scale that suffices
        squeezed = ImageOps.exif_transpose(opened).convert(mode).resize((WORK, WORK), Image.Resampling.BOX)
        return np.array(squeezed, dtype=np.uint8)


def _decoded(files: Mapping[str, Path], workers: int) -> Iterator[tuple[str, NDArray[np.uint8] | str]]:
    """(image id, its grey square or why it cannot be read), in order; reads only a few images ahead."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[tuple[str, Future[NDArray[np.uint8] | str]]] = []
        for image, path in files.items():
            waiting.append((image, pool.submit(_grey, path)))
            if len(waiting) >= 2 * _TOGETHER:
                for name, future in waiting[:_TOGETHER]:
                    yield name, future.result()
                del waiting[:_TOGETHER]
        for name, future in waiting:
            yield name, future.result()


def _grey(path: Path) -> NDArray[np.uint8] | str:
    try:
        return square(path, "L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error)


def _thumbnails(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 32, 32) of grey squares (N, 128, 128)."""
    side = WORK // THUMBNAIL
    means = pixels.reshape(-1, THUMBNAIL, side, THUMBNAIL, side).mean(axis=(2, 4))
    return np.asarray(np.rint(means), dtype=np.uint8)


def _hashes(pixels: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(N, 121) hashes of all windows of grey squares (N, 128, 128): which of the 63 lowest frequencies are positive."""
    basis = _frequencies()
    count, edges = len(pixels), len(EDGES)
    across = pixels.reshape(-1, WORK) @ basis.T  # few and large products
    down = across.reshape(count, WORK, -1).swapaxes(1, 2).reshape(-1, WORK) @ basis.T
    waves = down.reshape(count, edges, FREQUENCIES, edges, FREQUENCIES)  # across, its frequency, down, its frequency
    bits = waves.transpose(0, 1, 3, 4, 2).reshape(count, edges**2, FREQUENCIES**2) > 0
    bits[..., 0] = False  # brightness
    packed = np.packbits(bits, axis=2).view(">u8")
    return np.asarray(packed[..., 0], dtype=np.uint64)


@cache
def _frequencies() -> NDArray[np.float32]:
    """(11 x 8, 128): the lowest frequencies of every part of a side."""
    steps = np.arange(FREQUENCIES)[:, None] * (2 * np.arange(THUMBNAIL)[None] + 1)
    cosines = np.cos(np.pi * steps / (2 * THUMBNAIL))
    return np.concatenate([cosines @ averages(edge, WORK, THUMBNAIL) for edge in EDGES]).astype(np.float32)
