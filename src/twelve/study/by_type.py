"""Scores by kind of example (evaluation/kinds.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from twelve.study.results import ByType


def by_type(kinds: Mapping[str, Sequence[str]], values: NDArray[np.float64]) -> ByType:
    """Kind -> value -> (mean score in per cent, examples).

    Args:
        kinds: kind -> (N,) value of each example, see :func:`twelve.evaluation.kinds.kinds_of`.
        values: (N,) contribution of each example to the score, 0..1.
    """
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for kind, column in kinds.items():
        names = np.array(column)
        for name in sorted(set(column)):
            own = values[names == name]
            found.setdefault(kind, {})[name] = (round(100 * float(own.mean()), 4), len(own))
    return found
