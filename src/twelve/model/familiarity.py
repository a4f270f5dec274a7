"""Statistics of the training images' regions, to warn about images unlike any of them.

Two measures of an image. Held-out training images determine their limits:

- ``outside``: share of the region features' energy outside the directions in which training regions vary around their
  mean. A detector's features of other kinds of images point elsewhere.
- ``distance``: distance of the image's mean feature, in these directions, from those of the training images.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 400, 2400
"""Minimum and maximum number of training images; half give the statistics, half the limits."""
ROWS = 20_000
"""Number of training regions used to find the directions."""
AXES = 64
"""Maximum number of directions; they cover ``SHARE`` of the variance."""
SHARE = 0.985
NEAR = 8
"""Number of leading directions in which the distance is measured."""
BEYOND, MARGIN = 0.005, 1.03
"""Each limit is the value that this share of held-out images exceeds, times the margin. For the microworld's model, 3
to 7 of 1,000 held-out images exceed a limit, 97 to 98 of 100 photographs, and 95 of 100 drawings of another kind."""
OUTLIERS = 0.1
"""Largest share of further training images that may exceed a limit without raising it: a few odd images among images
like those of the base model must not make photographs familiar. One odd image of the tutorial's twenty would let 35 of
100 photographs pass, and 30 of 40 images of colour noise."""
_SIZE = 1 << 15
"""Maximum feature size (:class:`twelve.TwelveConfig`)."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """Statistics of training images' regions.

    Attributes:
        mean: (F,) mean region feature.
        axes: (K, F) orthonormal directions.
        center, spread: (K,) mean and variance of the images' mean features along the axes.
        limits: largest familiar ``outside`` and ``distance``.
    """

    mean: Array
    axes: Array
    center: Array
    spread: Array
    limits: tuple[float, float]

    def knows(self, features: NDArray[np.floating]) -> bool:
        """Whether an image resembles the training images, from its region features (R, F), R > 0. False if the features
        have another size or are not finite."""
        if features.ndim != 2 or features.shape[1] != len(self.mean) or not np.isfinite(features).all():
            return False
        found = self.measures(features)
        return found[0] <= self.limits[0] and found[1] <= self.limits[1]

    def measures(self, features: NDArray[np.floating]) -> tuple[float, float]:
        """``outside`` (0..1) and ``distance`` (1: the average of training images) of (R, F) features."""
        difference = features.astype(np.float64) - self.mean
        along = difference @ self.axes.T
        whole = np.maximum((difference**2).sum(1), 1e-12)
        outside = float(np.clip(1 - (along**2).sum(1) / whole, 0, 1).mean())
        return outside, float((((along.mean(0) - self.center) ** 2) / self.spread)[:NEAR].mean())

    def widened(self, images: Iterable[NDArray[np.floating]]) -> Familiarity:
        """The same statistics for further training images, (R, F) features each: each limit that at least two of them,
        and more than ``OUTLIERS``, exceed is raised until none does."""
        found = np.array([self.measures(features) for features in images if len(features)] or [(0.0, 0.0)])
        beyond = (found > self.limits).sum(0)
        raised = (beyond > 1) & (beyond > OUTLIERS * len(found))
        limits = np.where(raised, [float(f"{MARGIN * limit:.4g}") for limit in found.max(0)], self.limits)
        return replace(self, limits=(float(limits[0]), float(limits[1])))

    def to_tree(self) -> dict[str, Any]:
        """Plain values, rounded to four digits."""
        return {
            "mean": _short(self.mean),
            "axes": [_short(axis) for axis in self.axes],
            "center": _short(self.center),
            "spread": _short(self.spread),
            "limits": list(self.limits),
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Familiarity:
        """Inverse of :meth:`to_tree`; check the tree with :func:`sound` first."""
        arrays = {name: np.asarray(tree[name], dtype=np.float64) for name in ("mean", "axes", "center", "spread")}
        return cls(**arrays, limits=(float(tree["limits"][0]), float(tree["limits"][1])))


def familiarity_of(
    images: Sequence[str],
    features: Callable[[str], NDArray[np.floating]],
    kind_of: Callable[[str], str] = lambda image: "",
) -> Familiarity | None:
    """Compute the statistics of training images; None if there are too few or they do not vary.

    Args:
        images: image ids; every second one serves for the limits.
        features: image id -> its region features (R, F).
        kind_of: image id -> its kind. The limits are those of the kind that varies most: of images of all kinds
            together, a small kind would be among those that exceed them. Of fewer than ``LEAST`` images of a kind, all
            serve for the limits.
    """
    known = [(kind_of(image), found) for image in images if len(found := features(image))]
    kinds, chosen = [kind for kind, _ in known], [found for _, found in known]
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
    # From the rounded values, as they will be read back.
    axes, mean = np.array([_short(axis) for axis in axes]), np.array(_short(mean))
    means = np.array([(part.astype(np.float64) - mean).mean(0) @ axes.T for part in seen])
    spread = np.maximum(means.var(0), 1e-6 * values[0])
    made = Familiarity(mean, axes, np.array(_short(means.mean(0))), np.array(_short(spread)), (1.0, math.inf))
    measured: dict[str, list[tuple[float, float]]] = {}
    sizes = Counter(kinds)
    for place, (kind, part) in enumerate(zip(kinds, chosen, strict=True)):
        if place % 2 or sizes[kind] < LEAST:
            measured.setdefault(kind, []).append(made.measures(part))
    limits = np.max([np.quantile(found, 1 - BEYOND, axis=0) for found in measured.values()], axis=0)
    outside, distance = (float(f"{MARGIN * limit:.4g}") for limit in limits)
    return Familiarity(made.mean, made.axes, made.center, made.spread, (outside, distance))


def sound(tree: Any) -> bool:
    """Whether a value read from a file is None or could come from :meth:`Familiarity.to_tree`."""
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
    """Whether a value is a list of finite numbers, of the given length if any."""
    if not isinstance(value, list) or not 1 <= len(value) <= most or (length is not None and len(value) != length):
        return False
    return all(isinstance(number, int | float) and type(number) is not bool and abs(number) < 1e15 for number in value)


def _short(values: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
