"""Pictures that show the same photograph in other bytes: saved again, resized, or cut at the edges.

A picture's fingerprint is made of perceptual hashes (pHash: the signs of the lowest frequencies of the grey picture's
cosine transform) of the whole picture and of windows in it, and of a small grey thumbnail. A picture whose own hash is
near that of another's window is a candidate. Candidates are found by bands of the hash, so that the time grows with the
pictures and not with their pairs. Whether a candidate is one is decided on the thumbnails, whose correlation must be
high once the window has been moved to where it fits best.

Not found: mirrored and turned pictures, cuts of more than a fifth of a side, pictures with a frame around them. Two
shots of a series that hardly differ cannot be told from one shot that was saved twice.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from twelve.progress import Track

WORK = 128
"""Side of the grey square that hashes are computed from."""
THUMBNAIL = 32
"""Side of the thumbnail that is kept."""
COMPARED = 16
"""Side at which thumbnails are compared."""
FREQUENCIES = 8
BANDS = 4
"""Of 16 bits. Hashes that differ in fewer bits than there are bands agree in one of them."""
DISTANCE = 10
"""Bits in which the hashes of a candidate may differ, of 63."""
PLAIN = 4.0
"""Standard deviation of grey levels (0..255) below which a picture shows too little to be told from others."""
CORRELATION = 0.95
"""Of thumbnails of the same photograph, at least."""
UNLIKELY = 0.75
"""Correlation with a window below which moving the window is not tried."""
DIFFERENCE = 60.0
"""Colour levels (0..255) by which no small part of the two may differ, once their brightness and contrast agree."""
SLACK = 0.01
"""Of a side, by which what is compared may lie elsewhere."""
NARROWEST = 0.75
"""Smallest part of a side that a window covers."""
EDGES = (
    *((0.0, 1.0), (0.0, 0.95), (0.05, 1.0), (0.0, 0.9), (0.05, 0.95), (0.1, 1.0)),
    *((0.0, 0.8), (0.05, 0.85), (0.1, 0.9), (0.15, 0.95), (0.2, 1.0)),
)
"""Parts of a side that windows cover; a window is one of these across and one down. The first is the whole."""
_Edge: TypeAlias = tuple[float, float]
_Window: TypeAlias = tuple[_Edge, _Edge]
"""Across, down."""
_WINDOWS: list[_Window] = list(itertools.product(EDGES, EDGES))
_BITS = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)
_BAND = 16


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """N pictures, in the order of ``ids``.

    Attributes:
        hashes: (N, W) uint64; column 0 is the whole picture's.
        thumbnails: (N, 32, 32) uint8 grey.
        unreadable: image id -> why its file is no picture; these are not among ``ids``.
    """

    ids: tuple[str, ...]
    files: tuple[Path, ...]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    unreadable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """``image`` shows what ``of`` shows, all of it or a part (to rounding).

    Attributes:
        window: x1, y1, x2, y2 of that part in 0..1 of the other picture.
        correlation: of the two thumbnails, at most 1.
    """

    image: str
    of: str
    window: tuple[float, float, float, float]
    correlation: float


def fingerprints(files: Mapping[str, Path], *, workers: int | None = None, progress: bool = True) -> Fingerprints:
    """Of the pictures in ``files`` (image id -> file). Files that are no pictures are named in the result."""
    ids: list[str] = []
    hashes: list[NDArray[np.uint64]] = []
    thumbnails: list[NDArray[np.uint8]] = []
    unreadable: dict[str, str] = {}
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        Track("looking at pictures", len(files), "pictures", shown=progress) as track,
    ):
        for image, found in zip(files, pool.map(_look, files.values()), strict=True):
            if isinstance(found, str):
                unreadable[image] = found
            else:
                ids.append(image)
                hashes.append(found[0])
                thumbnails.append(found[1])
            track.advance()
    return Fingerprints(
        tuple(ids),
        tuple(files[image] for image in ids),
        np.array(hashes, dtype=np.uint64).reshape(len(ids), len(_WINDOWS)),
        np.array(thumbnails, dtype=np.uint8).reshape(len(ids), THUMBNAIL, THUMBNAIL),
        unreadable,
    )


def duplicates(prints: Fingerprints, *, progress: bool = True) -> list[Duplicate]:
    """Pairs of pictures that show the same photograph, each once, in the order of the ids.

    Of pictures that agree in every pixel of the thumbnail only the first is compared with the rest.
    """
    found: list[Duplicate] = []
    first: dict[bytes, int] = {}
    for row, thumbnail in enumerate(prints.thumbnails):
        same = first.setdefault(thumbnail.tobytes(), row)
        if same != row:
            found.append(Duplicate(prints.ids[row], prints.ids[same], (0.0, 0.0, 1.0, 1.0), 1.0))
    telling = prints.thumbnails.std(axis=(1, 2)) >= PLAIN
    rows = np.array([row for row in first.values() if telling[row]], dtype=np.int64)
    pairs = _candidates(prints.hashes, rows)
    with Track("comparing pictures", len(pairs), "pairs", shown=progress) as track:
        for (row, other), windows in pairs.items():
            correlation, window = _fit(prints, row, other, windows)
            if correlation >= CORRELATION and _difference(prints, row, other, window) <= DIFFERENCE:
                (x1, x2), (y1, y2) = window
                found.append(Duplicate(prints.ids[row], prints.ids[other], (x1, y1, x2, y2), correlation))
            track.advance()
    order = {image: number for number, image in enumerate(prints.ids)}
    once: dict[frozenset[str], Duplicate] = {}
    for pair in sorted(found, key=lambda pair: (-pair.correlation, order[pair.image], order[pair.of])):
        once.setdefault(frozenset((pair.image, pair.of)), pair)  # of the two ways round, the one that fits better
    return sorted(once.values(), key=lambda pair: (order[pair.image], order[pair.of]))


def _look(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint8]] | str:
    """(hashes, thumbnail) of a picture, or why there are none."""
    try:
        pixels = _square(path, "L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error)
    side = WORK // THUMBNAIL
    thumbnail = pixels.reshape(THUMBNAIL, side, THUMBNAIL, side).mean(axis=(1, 3))
    return _hashes(pixels), np.rint(thumbnail).astype(np.uint8)


def _square(path: Path, mode: str) -> NDArray[np.float32]:
    """(128, 128) grey or (128, 128, 3) coloured levels of a picture, upright, squeezed into a square."""
    with Image.open(path) as opened:
        opened.draft(mode, (WORK, WORK))  # JPEG: decoded at the smallest scale that suffices
        square = ImageOps.exif_transpose(opened).convert(mode).resize((WORK, WORK), Image.Resampling.BOX)
    return np.asarray(square, dtype=np.float32)


def _hashes(pixels: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(W,) hashes of all windows of a grey square: which of the 63 lowest frequencies are positive."""
    basis = _frequencies()
    count = len(EDGES)
    waves = (basis @ pixels @ basis.T).reshape(count, FREQUENCIES, count, FREQUENCIES)
    bits = waves.transpose(2, 0, 1, 3).reshape(count * count, FREQUENCIES**2) > 0  # window: across, down
    bits[:, 0] = False  # brightness
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)[:, 0]


@cache
def _frequencies() -> NDArray[np.float32]:
    """(len(EDGES) x 8, 128): the lowest frequencies of every part of a side."""
    steps = np.arange(FREQUENCIES)[:, None] * (2 * np.arange(THUMBNAIL)[None] + 1)
    cosines = np.cos(np.pi * steps / (2 * THUMBNAIL))
    return np.concatenate([cosines @ _averages(edge, WORK, THUMBNAIL) for edge in EDGES]).astype(np.float32)


def _averages(edge: tuple[float, float], size: int, out: int) -> NDArray[np.float64]:
    """(out, size) weights: each of ``out`` equal parts of an interval of a line of ``size`` pixels, averaged."""
    borders = np.linspace(edge[0] * size, edge[1] * size, out + 1)
    start, end = borders[:-1, None], borders[1:, None]
    left = np.arange(size)[None]
    covered = np.clip(np.minimum(end, left + 1) - np.maximum(start, left), 0, None)
    weights: NDArray[np.float64] = covered / covered.sum(axis=1, keepdims=True)
    return weights


def _candidates(hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> dict[tuple[int, int], list[int]]:
    """(picture, other) -> windows of the other whose hashes are near that of the whole picture, nearest first."""
    whole, windows = hashes[rows, 0], hashes[rows].reshape(-1)
    nearest: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for band in range(BANDS):
        keys = _key(windows, band)
        order = np.argsort(keys, kind="stable")
        for query, place in _matches(_key(whole, band), keys[order]):
            entry = order[place]
            apart = _BITS[(whole[query] ^ windows[entry])[:, None].view(np.uint16)].sum(axis=1)
            other, window = np.divmod(entry, hashes.shape[1])
            near = (apart <= DISTANCE) & (other != query)
            for a, b, number, bits in zip(query[near], other[near], window[near], apart[near], strict=True):
                nearest.setdefault((int(rows[a]), int(rows[b])), []).append((int(bits), int(number)))
    return {pair: list(dict.fromkeys(window for _, window in sorted(near)))[:3] for pair, near in nearest.items()}


def _key(hashes: NDArray[np.uint64], band: int) -> NDArray[np.uint16]:
    return (hashes >> np.uint64(_BAND * band)).astype(np.uint16)


def _matches(
    queries: NDArray[np.uint16], keys: NDArray[np.uint16], most: int = 1 << 20
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(rows of queries, places in the sorted keys) that are equal, some at a time."""
    start = np.searchsorted(keys, queries, side="left")
    counts = np.searchsorted(keys, queries, side="right") - start
    ends = np.cumsum(counts)
    first = 0
    while first < len(queries):
        last = max(first + 1, int(np.searchsorted(ends, (ends[first - 1] if first else 0) + most, side="right")))
        part = counts[first:last]
        query = np.repeat(np.arange(first, last), part)
        within = np.arange(part.sum()) - np.repeat(np.cumsum(part) - part, part)
        yield query, np.repeat(start[first:last], part) + within
        first = last


def _fit(prints: Fingerprints, row: int, other: int, windows: Sequence[int]) -> tuple[float, _Window]:
    """(highest correlation of a picture with a window of another, that window), searched from the best windows."""
    target = _cut(prints.thumbnails[row].astype(np.float32), _WINDOWS[0])
    picture = prints.thumbnails[other].astype(np.float32)
    starts = sorted(((_alike(target, _cut(picture, _WINDOWS[row])), _WINDOWS[row]) for row in windows), reverse=True)
    if starts[0][0] < UNLIKELY:
        return starts[0]
    return max(_climb(target, picture, *start) for start in starts[:2])


def _climb(
    target: NDArray[np.float32], picture: NDArray[np.float32], score: float, best: _Window
) -> tuple[float, _Window]:
    """(correlation, window) where moving the window by a little more does not help."""
    step = 0.04
    while step > 0.002:
        moved = [(_alike(target, _cut(picture, place)), place) for place in _moved(best, step)]
        highest = max(moved, default=(score, best))
        if highest[0] > score + 1e-4:
            score, best = highest
        else:
            step /= 2
    return score, best


def _difference(prints: Fingerprints, row: int, other: int, window: _Window) -> float:
    """Colour levels by which a picture differs most from a window of another, over squares of 2 x 2 of 32 x 32 parts.

    Thumbnails of pictures that differ in a small thing only, on the same ground, correlate as well as those of the same
    picture; here they part. Levels are compared after the best gain and offset of each colour, and each part with the
    best of a few places nearby.
    """
    first, second = _square(prints.files[row], "RGB"), _square(prints.files[other], "RGB")
    whole = _averages((0.0, 1.0), WORK, THUMBNAIL)
    target = np.einsum("iy,yxc,jx->cij", whole, first, whole, optimize=True)
    parts = []
    for right, below in itertools.product((-SLACK, 0.0, SLACK), repeat=2):
        across, down = (
            _averages(_shifted(*move), WORK, THUMBNAIL) for move in zip(window, (right, below), strict=True)
        )
        cut = np.einsum("iy,yxc,jx->cij", down, second, across, optimize=True)
        centred, wanted = (levels - levels.mean(axis=(1, 2), keepdims=True) for levels in (cut, target))
        gain = (centred * wanted).sum(axis=(1, 2)) / np.maximum((centred**2).sum(axis=(1, 2)), 1e-6)
        apart = wanted - gain[:, None, None] * centred
        parts.append(np.abs(apart.reshape(3, THUMBNAIL // 2, 2, THUMBNAIL // 2, 2).mean(axis=(2, 4))))
    return float(np.min(parts, axis=0).max())


def _shifted(edge: _Edge, by: float) -> _Edge:
    by = min(max(by, -edge[0]), 1.0 - edge[1])
    return edge[0] + by, edge[1] + by


def _moved(window: _Window, step: float) -> Iterator[_Window]:
    """Windows with one edge, or two that face each other, a step away."""
    for axis, (first, second) in itertools.product((0, 1), ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1))):
        low = round(min(1.0, max(0.0, window[axis][0] + first * step)), 4)
        high = round(min(1.0, max(0.0, window[axis][1] + second * step)), 4)
        if high - low >= NARROWEST and (low, high) != window[axis]:
            yield ((low, high), window[1]) if axis == 0 else (window[0], (low, high))


def _cut(pixels: NDArray[np.float32], window: _Window) -> NDArray[np.float32]:
    """(256,) of a thumbnail's window, mean 0, length 1."""
    across, down = window
    cut = (_compared(down) @ pixels @ _compared(across).T).ravel()
    centred = cut - cut.mean()
    standard: NDArray[np.float32] = centred / np.float32(max(float(np.sqrt(centred @ centred)), 1e-6))
    return standard


@lru_cache(maxsize=1 << 14)
def _compared(edge: _Edge) -> NDArray[np.float32]:
    return _averages(edge, THUMBNAIL, COMPARED).astype(np.float32)


def _alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Correlation, at most 1."""
    return min(1.0, float(first @ second))
