"""Finds images that show the same photograph in different files: saved again, resized, or cropped.

The fingerprint of an image (fingerprints.py) has perceptual hashes (pHash: the signs of the lowest frequencies of the
cosine transform of the grey image) of the whole image and of windows in it, and a small grey thumbnail. Two images are
candidates if the hash of one is close to the hash of a window of the other. A candidate counts if the thumbnails
correlate well once the window has been moved to where it fits best, and if the coloured images agree.

The time is linear in the number of images: hashes are sorted, each image is compared with a bounded number of
neighbours, and the most similar of these are examined. Among thousands of very similar images (drawings on the same
background), some duplicates can therefore be missed.

Not found: mirrored or rotated images, crops of more than a fifth of a side, images with a frame. Two almost identical
shots of a series count as duplicates.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.data.crop_matching import STARTS, THUMBNAIL, UNIT, averaged, correlations, fitted
from twelve.data.fingerprints import Fingerprints, square
from twelve.progress import Track

DISTANCE = 10
"""Bits, of 63, in which the hashes of candidates may differ."""
PLAIN = 4.0
"""Images with a smaller standard deviation of grey levels (0..255) show too little to be compared."""
CORRELATION = 0.95
"""Least correlation of thumbnails of the same photograph."""
UNLIKELY = 0.75
"""Windows with a smaller correlation are not moved to find a better fit."""
DIFFERENCE = 60.0
"""Largest difference in colour levels (0..255) of any small part, after matching brightness and contrast."""
SLACK = 0.01
"""Share of a side by which compared parts may be shifted."""
NEIGHBOURS = 1024
"""Most hashes that the hash of an image is compared with, in each sorting order."""
CLOSE = 8
"""Most images that an image is examined with."""
_BITS = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)
_BAND = 16
"""Hashes are sorted four times, each time with another quarter of their bits first. Those that are compared agree in
that quarter."""
_KEPT = 64
"""Close windows that are kept for an image in each sorting order."""
_WINDOWS = 3
"""Windows of a candidate that are tried."""
_WINDOW, _PAIR = 7, 13
"""Bits of a number for a window, and for a window and a distance."""
_QUERIES = 1024
"""Images whose neighbours are searched at a time."""
_PAIRS = 4096
"""Pairs that are examined at a time."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """``image`` shows the same as ``of``, or as a part of it.

    Attributes:
        window: x1, y1, x2, y2 of that part in ``of``, each in 0..1.
        correlation: of the two thumbnails, at most 1.
    """

    image: str
    of: str
    window: tuple[float, float, float, float]
    correlation: float


def duplicates(prints: Fingerprints, *, workers: int | None = None, progress: bool = True) -> list[Duplicate]:
    """Pairs of images that show the same photograph, each once, in the order of the ids.

    Of images with equal thumbnails, only the first is compared with the others.

    Args:
        workers: threads that decode images; by default one for each core.
    """
    found: list[Duplicate] = []
    first: dict[bytes, int] = {}
    for row, thumbnail in enumerate(prints.thumbnails):
        same = first.setdefault(thumbnail.tobytes(), row)
        if same != row:
            found.append(Duplicate(prints.ids[row], prints.ids[same], (0.0, 0.0, 1.0, 1.0), 1.0))
    telling = prints.thumbnails.std(axis=(1, 2)) >= PLAIN if len(prints.ids) else []
    rows = np.array([row for row in first.values() if telling[row]], dtype=np.int64)
    pairs = _likely(prints.thumbnails, *_candidates(prints.hashes, rows, progress=progress))
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        Track("comparing images", len(pairs), "pairs", shown=progress) as track,
    ):
        for start in range(0, len(pairs), _PAIRS):
            part = pairs[start : start + _PAIRS]
            found += _same(prints, part, pool)
            track.advance(len(part))
    order = {image: number for number, image in enumerate(prints.ids)}
    once: dict[frozenset[str], Duplicate] = {}
    for pair in sorted(found, key=lambda pair: (-pair.correlation, order[pair.image], order[pair.of])):
        once.setdefault(frozenset((pair.image, pair.of)), pair)  # of the two directions, the one with the better fit
    return sorted(once.values(), key=lambda pair: (order[pair.image], order[pair.of]))


def _candidates(
    hashes: NDArray[np.uint64], rows: NDArray[np.int64], *, progress: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C, 2) images and others, and (C,) windows of the others whose hashes are close to those of the whole images: for
    each pair of images at most three, next to each other, the closest first."""
    whole, windows = hashes[rows, 0], hashes[rows].reshape(-1)
    parts = [np.empty(0, dtype=np.int64)]
    bands = 64 // _BAND
    with Track("finding pairs", bands * len(rows), "images", shown=progress) as track:
        for band in range(bands):
            keys = _turned(windows, band)
            order = np.argsort(keys)
            keys = keys[order]
            for start in range(0, len(rows), _QUERIES):
                queries = np.arange(start, min(start + _QUERIES, len(rows)))
                parts.append(_near(queries, _turned(whole[queries], band), keys, order, hashes.shape[1]))
                track.advance(len(queries))
    near = np.unique(np.concatenate(parts))
    pair = near >> _PAIR
    near = near[_rank(pair) < _WINDOWS]
    query, other = np.divmod(near >> _PAIR, max(1, len(rows)))
    return np.stack((rows[query], rows[other]), axis=1), near & (1 << _WINDOW) - 1


def _near(
    queries: NDArray[np.int64],
    wanted: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    order: NDArray[np.int64],
    windows: int,
) -> NDArray[np.int64]:
    """Entries of the sorted ``keys`` that are close to the hashes ``wanted`` (Q,) of ``queries``, as numbers that sort
    by pair of images, then by the number of bits that differ: (pair << 13) + (bits << 7) + window.

    Args:
        order: index of each key among the windows of all images, each of which has ``windows``.
    """
    rest = np.uint64((1 << 64 - _BAND) - 1)
    place = np.searchsorted(keys, wanted)
    first = np.maximum(np.searchsorted(keys, wanted & ~rest), place - NEIGHBOURS // 2)
    last = np.minimum(np.searchsorted(keys, wanted | rest, side="right"), place + NEIGHBOURS // 2)
    counts = last - first
    query = np.repeat(np.arange(len(queries)), counts)
    entry = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    apart = _BITS[(wanted[query] ^ keys[entry])[:, None].view(np.uint16)].sum(axis=1, dtype=np.int64)
    other, window = np.divmod(order[entry], windows)
    near = (apart <= DISTANCE) & (other != queries[query])
    query, other, window, apart = queries[query[near]], other[near], window[near], apart[near]
    nearest = np.lexsort((apart, query))
    nearest = nearest[_rank(query[nearest]) < _KEPT]
    pair = query * (len(order) // windows) + other
    numbers: NDArray[np.int64] = (pair << _PAIR) + (apart << _WINDOW) + window
    return numbers[nearest]


def _turned(hashes: NDArray[np.uint64], band: int) -> NDArray[np.uint64]:
    """Hashes with another quarter of their bits first."""
    bits = np.uint64(_BAND * band)
    return hashes if band == 0 else (hashes << bits) | (hashes >> np.uint64(64 - _BAND * band))


def _rank(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how many equal values precede each value, where equal values are next to each other."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    return np.arange(len(values)) - np.repeat(starts, lengths)


def _likely(
    thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64], windows: NDArray[np.int64]
) -> list[tuple[int, int, list[int]]]:
    """(image, other, the one or two windows of the other that are most similar to the image): for each image, the
    others that are most similar, if any is similar at all."""
    score = correlations(thumbnails, pairs[:, 0], pairs[:, 1], STARTS[windows])
    best: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for (row, other), found in zip(pairs.tolist(), zip(score.tolist(), windows.tolist(), strict=True), strict=True):
        best.setdefault((row, other), []).append(found)
    close: dict[int, list[tuple[float, int, list[int]]]] = {}
    for (row, other), scores in best.items():
        starts = sorted(scores, reverse=True)[:2]
        if starts[0][0] >= UNLIKELY:
            close.setdefault(row, []).append((starts[0][0], other, [window for _, window in starts]))
    return [
        (row, other, starts)
        for row, others in close.items()
        for _, other, starts in sorted(others, reverse=True)[:CLOSE]
    ]


def _same(
    prints: Fingerprints, pairs: Sequence[tuple[int, int, list[int]]], pool: ThreadPoolExecutor
) -> list[Duplicate]:
    """The pairs that show the same photograph."""
    flat = [(row, other, start) for row, other, starts in pairs for start in starts]
    rows, others, starts = np.array(flat, dtype=np.int64).reshape(-1, 3).T
    scores, windows = fitted(prints.thumbnails, rows, others, STARTS[starts])
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}
    for (row, other, _), score, window in zip(flat, scores.tolist(), windows.tolist(), strict=True):
        if score >= CORRELATION:
            best[row, other] = max(best.get((row, other), (0.0, ())), (score, tuple(window)))
    parts = [tuple(end / UNIT for end in window) for _, window in best.values()]
    tasks = [(prints.files[row], prints.files[other], part) for (row, other), part in zip(best, parts, strict=True)]
    differences = pool.map(lambda task: _difference(*task), tasks)
    return [
        Duplicate(prints.ids[row], prints.ids[other], (part[0], part[2], part[1], part[3]), score)
        for ((row, other), (score, _)), part, apart in zip(best.items(), parts, differences, strict=True)
        if apart <= DIFFERENCE
    ]


def _difference(first: Path, second: Path, window: tuple[float, ...]) -> float:
    """Largest difference, in colour levels, between an image and a window (x1, x2, y1, y2) of another, over squares of
    2 x 2 of 32 x 32 parts.

    Thumbnails of images that differ in one small thing correlate as well as those of the same image; this difference
    distinguishes them. Levels are compared after the best gain and offset of each colour, and each part with the best
    of a few places nearby.
    """
    wanted, whole = _coloured(first), _coloured(second)
    across, down = ([_shifted(window[axis : axis + 2], by) for by in (-SLACK, 0.0, SLACK)] for axis in (0, 2))
    target = _centred(averaged(averaged(wanted, [(0.0, 1.0)], THUMBNAIL)[0].swapaxes(0, 1), [(0.0, 1.0)], THUMBNAIL))
    strips = averaged(whole, down, THUMBNAIL)  # place, down, across, colour
    cut = _centred(averaged(strips.transpose(2, 0, 1, 3), across, THUMBNAIL).transpose(0, 2, 1, 3, 4))
    gain = (cut * target).sum(axis=(-3, -2), keepdims=True) / np.maximum(
        (cut**2).sum(axis=(-3, -2), keepdims=True), 1e-6
    )
    half = THUMBNAIL // 2
    apart = (target - gain * cut).reshape(-1, half, 2, half, 2, 3).mean(axis=(2, 4))
    return float(np.abs(apart).min(axis=0).max())


@lru_cache(maxsize=256)
def _coloured(path: Path) -> NDArray[np.float32]:
    return square(path, "RGB").astype(np.float32)


def _centred(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Levels (..., 32, 32, 3) minus their mean."""
    return np.asarray(levels - levels.mean(axis=(-3, -2), keepdims=True), dtype=np.float32)


def _shifted(edge: Sequence[float], by: float) -> tuple[float, float]:
    by = min(max(by, -edge[0]), 1.0 - edge[1])
    return edge[0] + by, edge[1] + by
