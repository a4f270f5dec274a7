"""Finds the window of an image that another image fits best, as a crop of it.

A window is x1, x2, y1, y2 in steps of 1/400 of the sides of the image, so that the weights of all intervals can be
computed once. Many windows are moved at the same time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

UNIT = 400
"""Steps of a side."""
NARROWEST = 300
"""Least width and height of a window, in steps."""
_NARROWER = UNIT - NARROWEST
THUMBNAIL = 32
"""Side of the thumbnails that windows are cut from."""
COMPARED = 16
"""Side of the windows that are compared."""
EDGES = (
    *((0.0, 1.0), (0.0, 0.95), (0.05, 1.0), (0.0, 0.9), (0.05, 0.95), (0.1, 1.0)),
    *((0.0, 0.8), (0.05, 0.85), (0.1, 0.9), (0.15, 0.95), (0.2, 1.0)),
)
"""Intervals of a side, one across and one down for each initial window. The first is the whole side."""
STARTS = np.array(
    [[round(UNIT * end) for end in (*across, *down)] for across, down in itertools.product(EDGES, EDGES)],
    dtype=np.int64,
)
"""(121, 4) initial windows, whose hashes are kept; the first is the whole image."""
_STEPS = np.array([16, 8, 4, 2, 1], dtype=np.int64)
_MOVES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)], dtype=np.int64)
"""Moves of the two ends of an interval."""
_GAIN = 1e-4
"""Least gain of correlation for which a window is moved."""
_TOGETHER = 512
"""Windows that are processed at a time."""


def averages(edge: tuple[float, float], size: int, out: int) -> NDArray[np.float64]:
    """(out, size) weights that average ``size`` pixels over each of ``out`` equal parts of an interval in 0..1."""
    borders = np.linspace(edge[0] * size, edge[1] * size, out + 1)
    start, end = borders[:-1, None], borders[1:, None]
    left = np.arange(size)[None]
    covered = np.clip(np.minimum(end, left + 1) - np.maximum(start, left), 0, None)
    weights: NDArray[np.float64] = covered / covered.sum(axis=1, keepdims=True)
    return weights


def averaged(pixels: NDArray[np.float32], edges: Sequence[tuple[float, float]], out: int) -> NDArray[np.float32]:
    """(E, out, ...) averages of pixels (size, ...) over the parts of each interval, as :func:`averages`, by cumulative
    sums."""
    size = len(pixels)
    starts, ends = np.array(edges, dtype=np.float64).T * size
    borders: NDArray[np.float64] = np.linspace(starts, ends, out + 1, axis=1)  # (E, out + 1)
    before = np.minimum(borders.astype(np.int64), size - 1)
    rest = [1] * (pixels.ndim - 1)
    part = (borders - before).astype(np.float32).reshape(*borders.shape, *rest)
    sums = np.zeros((size + 1, *pixels.shape[1:]), dtype=np.float32)
    np.cumsum(pixels, axis=0, out=sums[1:])
    width = (borders[:, 1] - borders[:, 0]).astype(np.float32).reshape(-1, 1, *rest)
    return np.asarray(np.diff(sums[before] + part * pixels[before], axis=1) / width, dtype=np.float32)


def correlations(
    thumbnails: NDArray[np.uint8], rows: NDArray[np.int64], others: NDArray[np.int64], windows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(P,) correlation of whole images with windows (P, 4) of others; rows of ``thumbnails`` (N, 32, 32)."""
    found = np.empty(len(rows), dtype=np.float32)
    for first in range(0, len(rows), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        cut = _cut(thumbnails[others[part]].astype(np.float32), windows[part])
        found[part] = (_whole(thumbnails[rows[part]]) * _standard(cut)).sum(axis=1)
    return np.minimum(found, 1.0)


def fitted(
    thumbnails: NDArray[np.uint8], rows: NDArray[np.int64], others: NDArray[np.int64], windows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(P,) correlations as :func:`correlations`, with the windows (P, 4) that ``windows`` become by moving them until
    no move helps."""
    best = windows.copy()
    score = correlations(thumbnails, rows, others, windows)
    step = np.zeros(len(rows), dtype=np.int64)  # index in _STEPS; beyond its end, the window is final
    left = np.arange(len(rows))
    while len(left):
        moved, window = _moved(thumbnails, rows[left], others[left], best[left], _STEPS[step[left]])
        better = moved > score[left] + _GAIN
        gained = left[better]
        score[gained], best[gained] = moved[better], window[better]
        step[left[~better]] += 1
        left = left[step[left] < len(_STEPS)]
    return np.minimum(score, 1.0), best


def _moved(
    thumbnails: NDArray[np.uint8],
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    windows: NDArray[np.int64],
    steps: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(P,) best correlation after one move, and (P, 4) the moved window; -1 where no move is allowed."""
    score, best = np.empty(len(rows), dtype=np.float32), windows.copy()
    for first in range(0, len(rows), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        images, now = thumbnails[others[part]].astype(np.float32), windows[part]
        target = _whole(thumbnails[rows[part]])[:, None]
        tried, scores = [], []
        for axis in (0, 1):
            side = now[:, None, 2 * axis : 2 * axis + 2]
            sides = np.clip(side + _MOVES * steps[part, None, None], 0, UNIT)  # (P, 6, 2)
            allowed = (sides[..., 1] - sides[..., 0] >= NARROWEST) & (sides != side).any(axis=2)
            sides = np.where(allowed[..., None], sides, side).astype(np.int64)
            other = _weights(now[:, 2:] if axis == 0 else now[:, :2])
            moved = _weights(sides.reshape(-1, 2)).reshape(*sides.shape[:2], COMPARED, THUMBNAIL)
            if axis == 0:
                cut = (other @ images)[:, None] @ moved.swapaxes(2, 3)
            else:
                cut = moved @ (images @ other.swapaxes(1, 2))[:, None]
            flat = np.asarray(cut.reshape(len(now), len(_MOVES), -1), dtype=np.float32)
            found = (_standard(flat) * target).sum(axis=2)
            scores.append(np.where(allowed, found, -1.0))
            place = np.repeat(now[:, None], len(_MOVES), axis=1)
            place[..., 2 * axis : 2 * axis + 2] = sides
            tried.append(place)
        every, places = np.concatenate(scores, axis=1), np.concatenate(tried, axis=1)
        highest = every.argmax(axis=1)
        score[part], best[part] = (array[np.arange(len(now)), highest] for array in (every, places))
    return score, best


def _cut(images: NDArray[np.float32], windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(P, 256) pixels of windows (P, 4) of thumbnails (P, 32, 32)."""
    cut = _weights(windows[:, 2:]) @ images @ _weights(windows[:, :2]).swapaxes(1, 2)
    return np.asarray(cut.reshape(len(images), -1), dtype=np.float32)


def _whole(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(P, 256) standardised whole thumbnails."""
    side = THUMBNAIL // COMPARED
    means = thumbnails.reshape(-1, COMPARED, side, COMPARED, side).mean(axis=(2, 4), dtype=np.float32)
    return _standard(means.reshape(len(thumbnails), -1).astype(np.float32))


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values with mean 0 and length 1 along the last axis."""
    centred = values - values.mean(axis=-1, keepdims=True)
    length = np.sqrt((centred * centred).sum(axis=-1, keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-6), dtype=np.float32)


def _weights(sides: NDArray[np.int64]) -> NDArray[np.float32]:
    """(S, 16, 32) weights of intervals (S, 2)."""
    return _table()[sides[:, 0], UNIT - sides[:, 1]]


@cache
def _table() -> NDArray[np.float32]:
    """(101, 101, 16, 32) weights of every interval, by its distances from both ends of the side."""
    low, high = np.meshgrid(np.arange(_NARROWER + 1), UNIT - np.arange(_NARROWER + 1), indexing="ij")
    high = np.maximum(high, low + NARROWEST)  # narrower intervals are never needed
    scale = THUMBNAIL / UNIT
    borders = scale * (low[..., None] + (high - low)[..., None] * np.linspace(0, 1, COMPARED + 1))
    start, end = borders[..., :-1, None], borders[..., 1:, None]
    left = np.arange(THUMBNAIL)
    covered = np.clip(np.minimum(end, left + 1) - np.maximum(start, left), 0, None)
    return np.asarray(covered / covered.sum(axis=-1, keepdims=True), dtype=np.float32)
