"""What the training images' regions have in common, so that a model can tell that an image is unlike all of them.

Two numbers of an image, whose limits images decide that the statistics were not made of:

- ``outside``: the share of its regions' features that lies outside the directions in which the training regions differ
  from their mean. A detector's features of images of another kind point elsewhere.
- ``distance``: how far its mean feature lies, in these directions, from where those of the training images lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 400, 2400
"""Training images: of one half statistics are made, the other half decides the limits. Fewer tell too little."""
ROWS = 20_000
"""Regions of training images that directions are found from."""
AXES = 64
"""Directions at most, and ``SHARE`` of what the regions differ by."""
SHARE = 0.985
NEAR = 8
"""Directions, of the largest differences, in which the distance is measured."""
BEYOND, MARGIN = 0.005, 1.03
"""Each limit is where this share of the other half lies beyond, times the margin: of the microworld's model 3 to 7 of
1,000 held-out images are beyond, 97 to 98 of 100 photographs, and 95 of 100 drawings of another kind."""
_SIZE = 1 << 15
"""Features of a region at most (:class:`twelve.TwelveConfig`)."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """Statistics of training images' regions.

    Attributes:
        mean: (F,) of the regions' features.
        axes: (K, F) orthonormal directions.
        center, spread: (K,) mean and variance of the images' mean features along the axes.
        limits: of ``outside`` and of ``distance``.
    """

    mean: Array
    axes: Array
    center: Array
    spread: Array
    limits: tuple[float, float]

    def knows(self, features: NDArray[np.floating]) -> bool:
        """Whether an image is like the training images, by its regions' features (R, F), R > 0; an image with features
        of another size is not, nor one with features that are not finite."""
        if features.ndim != 2 or features.shape[1] != len(self.mean) or not np.isfinite(features).all():
            return False
        found = self.measures(features)
        return found[0] <= self.limits[0] and found[1] <= self.limits[1]

    def measures(self, features: NDArray[np.floating]) -> tuple[float, float]:
        """``outside``, in 0..1, and ``distance`` (1: as far as training images are on average) of (R, F) features."""
        difference = features.astype(np.float64) - self.mean
        along = difference @ self.axes.T
        whole = np.maximum((difference**2).sum(1), 1e-12)
        outside = float(np.clip(1 - (along**2).sum(1) / whole, 0, 1).mean())
        return outside, float((((along.mean(0) - self.center) ** 2) / self.spread)[:NEAR].mean())

    def to_tree(self) -> dict[str, Any]:
        """Plain values, with four digits."""
        return {
            "mean": _short(self.mean),
            "axes": [_short(axis) for axis in self.axes],
            "center": _short(self.center),
            "spread": _short(self.spread),
            "limits": list(self.limits),
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Familiarity:
        """What :meth:`to_tree` gave, once :func:`sound` has said so."""
        arrays = {name: np.asarray(tree[name], dtype=np.float64) for name in ("mean", "axes", "center", "spread")}
        return cls(**arrays, limits=(float(tree["limits"][0]), float(tree["limits"][1])))


def familiarity_of(images: Sequence[str], features: Callable[[str], NDArray[np.floating]]) -> Familiarity | None:
    """The statistics of training images; None where there are too few to tell, or nothing differs.

    Args:
        images: ids; every other one decides the limits.
        features: of an id, its regions' (R, F).
    """
    chosen = [found for image in images if len(found := features(image))]
    seen, held = chosen[::2], chosen[1::2]
    if len(chosen) < LEAST:
        return None
    rows = np.concatenate(seen).astype(np.float64)
    if not np.isfinite(rows).all() or not all(np.isfinite(part).all() for part in held):
        return None
    sample = rows[:: max(1, math.ceil(len(rows) / ROWS))]
    mean = sample.mean(0)
    values, vectors = np.linalg.eigh(np.cov((sample - mean).T).reshape(len(mean), len(mean)))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    if not values[0] > 0:
        return None
    count = int(np.searchsorted(np.cumsum(values) / values.sum(), SHARE)) + 1
    axes = vectors[:, : min(count, AXES)].T
    # Of what is saved, so that the limits are those of what is read again.
    axes, mean = np.array([_short(axis) for axis in axes]), np.array(_short(mean))
    means = np.array([(part.astype(np.float64) - mean).mean(0) @ axes.T for part in seen])
    spread = np.maximum(means.var(0), 1e-6 * values[0])
    made = Familiarity(mean, axes, np.array(_short(means.mean(0))), np.array(_short(spread)), (1.0, math.inf))
    found = np.array([made.measures(part) for part in held])
    outside, distance = (float(f"{MARGIN * limit:.4g}") for limit in np.quantile(found, 1 - BEYOND, axis=0))
    return Familiarity(made.mean, made.axes, made.center, made.spread, (outside, distance))


def sound(tree: Any) -> bool:
    """Whether a value read from a file is one of :meth:`Familiarity.to_tree`, or None."""
    if tree is None:
        return True
    if not isinstance(tree, dict) or tree.keys() != {"mean", "axes", "center", "spread", "limits"}:
        return False
    axes = tree["axes"]
    if not isinstance(axes, list) or not 1 <= len(axes) <= AXES or not _numbers(tree["mean"], most=_SIZE):
        return False
    return (
        all(_numbers(axis, len(tree["mean"])) for axis in axes)
        and _numbers(tree["center"], len(axes))
        and _numbers(tree["spread"], len(axes))
        and min(tree["spread"]) > 0
        and _numbers(tree["limits"], 2)
    )


def _numbers(value: Any, length: int | None = None, most: int = _SIZE) -> bool:
    """Whether a value is a list of finite numbers, of a length."""
    if not isinstance(value, list) or not 1 <= len(value) <= most or (length is not None and len(value) != length):
        return False
    return all(isinstance(number, int | float) and type(number) is not bool and abs(number) < 1e15 for number in value)


def _short(values: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
