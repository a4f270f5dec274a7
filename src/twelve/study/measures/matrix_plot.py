"""A matrix of relations between tasks as an SVG, if matplotlib (the extra ``plots``) is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from twelve.study.measures.affinities import Intervals

CELL = 0.55
"""Inches."""


def heat_map(names: Sequence[str], found: Intervals, *, title: str) -> str | None:
    """A heat map with its numbers, bold where the interval excludes 0; None without matplotlib.

    Colours saturate at the largest value off the diagonal, on which a task is compared with itself.

    Args:
        found: (T, T), row i: of a step on ``names[i]``.
    """
    if find_spec("matplotlib") is None:
        return None
    import matplotlib
    from matplotlib.figure import Figure

    count = len(names)
    off = np.where(np.eye(count, dtype=bool), 0.0, found.mean)
    most = float(np.abs(off).max()) or 1.0
    figure = Figure(figsize=(CELL * count + 2.5, CELL * count + 2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(found.mean, cmap="RdBu", vmin=-most, vmax=most)
    axes.set_xticks(range(count), names, rotation=60, ha="right")
    axes.set_yticks(range(count), names)
    axes.set_title(title, fontsize=9, wrap=True)
    for (row, column), value in np.ndenumerate(found.mean):
        dark = abs(value) > 0.6 * most
        weight = "bold" if found.sign[row, column] else "normal"
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=7, weight=weight,
                  color="white" if dark else "black")  # fmt: skip
    figure.colorbar(image, shrink=0.7)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "twelve", "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
