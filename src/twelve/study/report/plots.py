"""Plots of a study as a paper prints them: in the width of its page, with vector fonts, colours that colour-blind
people distinguish (Okabe and Ito 2008), and lines and marks that differ without colour too.

They need matplotlib, which the extra ``plots`` brings.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from twelve.metrics.bootstrap import Interval
from twelve.progress import with_sign
from twelve.study.bootstrap import by_bootstrap_alone, significant, t_interval
from twelve.study.cells import MARK, gain_of
from twelve.study.finding_types import Comparison, Curve, Findings
from twelve.study.measures.affinities import Intervals
from twelve.study.report.beside import minus, short
from twelve.study.report.relations import Relation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = 6.9
"""Width in inches of a page of two columns."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKS = ("o", "s", "^", "D", "v", "P")
INK, SOFT, LINE = "#1b2330", "#6b7480", "#c9d0d8"
BAR = 0.04
"""Height of a bar and the space below it, as a share of a panel's."""
SHOWN = 3
"""Contrasts whose tasks are shown one by one in a plot; the page's tables have all."""
MOST_CONTRASTS = 24
MOST_ROWS = 12
"""Most rows of a panel of a forest plot."""
ALL, LEARNED = "mean of all", "mean of learned"
"""Rows of means."""
MEANS: dict[str, tuple[str, str]] = {ALL: (INK, "D"), LEARNED: (COLOURS[3], "v")}
"""Colour and mark of each where contrasts are rows; neither is that of a contrast where these are told by colour."""
T = "t"
"""Mark (``gid``) of the lines of t intervals."""
NOT_COUNTED = "neither gain nor loss"
"""What a hollow mark says."""
MOST_ARMS = len(COLOURS)
_Row = TypeVar("_Row")
STYLE: dict[Any, Any] = {
    **{"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 7.5, "axes.titlesize": 8},
    **{"axes.labelsize": 7.5, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "axes.edgecolor": SOFT},
    **{"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK},
    **{"xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5},
    **{"lines.linewidth": 1.2, "hatch.linewidth": 0.5, "legend.frameon": False, "figure.facecolor": "white"},
    **{"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "twelve"},
}


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def drawn(draw: Callable[[], Figure]) -> tuple[bytes, bytes]:
    """A figure as SVG and as PDF; the same findings give the same bytes."""
    with _settings():
        figure = draw()
        files = []
        for form, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
            file = io.BytesIO()
            figure.savefig(file, format=form, metadata=metadata)
            files.append(file.getvalue())
    return files[0], files[1]


def contrasts(compared: Sequence[Comparison]) -> Figure:
    """A forest plot: each contrast's mean over all its tasks and over those that are learned, where these are fewer,
    with its interval; hollow if it is not counted (finding_types.py)."""
    names = [each.contrast.name.replace(" minus ", "\nminus ") for each in compared]
    lines = max(name.count("\n") + 1 for name in names)
    halves = _halves([*zip(names, compared, strict=True)])
    numbers = len(halves) == 1
    two = any(_partly_learned(each) for each in compared)
    height = 0.5 + max(0.15 * lines, 0.24 * (two and numbers)) * max(map(len, halves)) + 0.3 * two
    figure, panels = _panels(TEXT, height, 1, len(halves))
    for axes, half in zip(panels, halves, strict=True):
        for place, (_, each) in enumerate(half):
            shift = (0.23 if numbers else 0.17) * _partly_learned(each)
            _interval(axes, place - shift, each.every, each.seeds, *MEANS[ALL], not each.uncounted, numbers)
            if _partly_learned(each):
                seeds = each.main_measure_seeds
                _interval(axes, place + shift, each.main_measure, seeds, *MEANS[LEARNED], True, numbers)
        _rows(axes, [name for name, _ in half])
    _same_scale(figure, panels)
    if two:
        for mean, (colour, mark) in MEANS.items():
            panels[0].plot([], [], color=colour, marker=mark, markersize=3.5, label=f"{mean} tasks")
        figure.legend(loc="outside upper center", ncols=2, handlelength=2)
    return figure


def _partly_learned(comparison: Comparison) -> bool:
    """Whether the means over all and over the learned tasks are of different tasks, and both exist."""
    return comparison.learned is not None and not _all_learned(comparison)


def _all_learned(comparison: Comparison) -> bool:
    return all(cell.learned for cell in comparison.cells)


def tasks(found: Findings, compared: Sequence[Comparison]) -> Figure:
    """A forest plot of differences in each task and their mean, normalised scores; hollow marks are of tasks that are
    not learned, and of means that are not counted (finding_types.py)."""
    titles = task_rows(found, compared)
    halves = _halves([*titles])
    numbers = len(halves) == 1
    height = 0.75 + (0.14 + 0.13 * len(compared)) * max(map(len, halves)) + 0.15 * len(compared)
    figure, panels = _panels(TEXT, height, 1, len(halves))
    for axes, half in zip(panels, halves, strict=True):
        for number, each in enumerate(compared):
            shift = 0.62 * ((number + 0.5) / len(compared) - 0.5)
            style = COLOURS[number], MARKS[number]
            for cell in each.cells:
                if cell.task in half:
                    place = half.index(cell.task) + shift
                    _interval(axes, place, cell.closed, cell.closed_seeds, *style, cell.learned, numbers)
            if ALL in half:
                place = half.index(ALL) + shift
                _interval(axes, place, each.every, each.seeds, *style, not each.uncounted, numbers)
            if LEARNED in half and each.learned is not None:
                place = half.index(LEARNED) + shift
                _interval(axes, place, each.learned, each.learned_seeds, *style, True, numbers)
        _rows(axes, [titles[row] for row in half])
        if half[0] != ALL and ALL in half:
            axes.axhline(half.index(ALL) - 0.5, color=LINE, linewidth=0.6)
    _same_scale(figure, panels)
    hollow: dict[str, Any] = {"color": SOFT, "markerfacecolor": "white", "linestyle": ":", "markersize": 3.5}
    partly = list[int]()
    for number, each in enumerate(compared):
        filled = not each.uncounted or any(cell.learned for cell in each.cells)
        drawing = {"color": COLOURS[number], "markersize": 3.5} if filled else hollow
        label = each.contrast.name.replace(") minus (", ")\nminus (")
        label += f": {NOT_COUNTED}" * (not filled)  # an entry of its own would have the same mark
        panels[0].plot([], [], marker=MARKS[number], label=label, **drawing)
        if filled and (each.uncounted or not _all_learned(each)):
            partly.append(number)
    if partly:
        panels[0].plot([], [], marker=MARKS[partly[0]], label=NOT_COUNTED, **hollow)
    if len(halves) > 1:
        figure.legend(loc="outside upper center", ncols=2, handlelength=2)
    else:
        panels[0].legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=1, handlelength=2)
    return figure


def task_rows(found: Findings, compared: Sequence[Comparison]) -> dict[str, str]:
    """Rows of :func:`tasks` -> what they are called: the tasks of the contrasts, and means."""
    names = [row.name for row in found.rows if any(row.name == cell.task for each in compared for cell in each.cells)]
    means = [ALL, *([LEARNED] if any(each.learned is not None for each in compared) else [])]
    return {name: short(found, name) for name in names} | {mean: mean for mean in means}


def _halves(rows: Sequence[_Row]) -> list[Sequence[_Row]]:
    """The rows of one panel, or of two panels side by side where they are many."""
    middle = -(-len(rows) // 2)
    return [rows[:middle], rows[middle:]] if len(rows) > MOST_ROWS else [rows]


def _same_scale(figure: Figure, panels: Sequence[Axes]) -> None:
    """One scale of differences for all panels, and what it is."""
    words = "difference in normalised score, points"
    if len(panels) == 1:
        panels[0].set_xlabel(words)
        return
    limits = [axes.get_xlim() for axes in panels]
    for axes in panels:
        axes.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
    figure.supxlabel(words, fontsize=7.5)


def matrix(found: Findings, known: Sequence[Relation]) -> Figure:
    """What each group (column) gains when others (row) are trained with it: official metrics, bold and in full colour
    where significant."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    groups = list(dict.fromkeys(row.group for row in found.rows))
    groups = [group for group in groups if any(each.group == group for each in known)]
    partners = list(dict.fromkeys(each.partners for each in known))
    figure, axes = _figure(TEXT, 0.35 + 0.22 * len(partners))
    most = max((abs(each.points.mean) for each in known if each.significant), default=1.0)
    colours = colormaps["PuOr_r"]
    for each in known:
        x, y = groups.index(each.group), partners.index(each.partners)
        strength = min(1.0, max(-1.0, each.points.mean / most))
        face = colours(0.5 + (0.32 if each.significant else 0.06) * strength) if each.learned else "white"
        hatch = None if each.learned else "////"
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor=LINE if hatch else "white", hatch=hatch))
        if not each.learned:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            told = f"not learned ({minus(with_sign(each.points.mean))})"
            axes.text(x + 0.5, y + 0.5, told, ha="center", va="center", fontsize=6, bbox=box)
            continue
        weight = "bold" if each.significant else "normal"
        said = _number(each.points, each.by_bootstrap_alone)
        axes.text(x + 0.5, y + 0.5, said, ha="center", va="center", weight=weight)
    axes.set(xlim=(0, len(groups)), ylim=(len(partners), 0))
    axes.set_xticks([place + 0.5 for place in range(len(groups))], groups)
    axes.set_yticks([place + 0.5 for place in range(len(partners))], ["with " + ", ".join(each) for each in partners])
    axes.tick_params(length=0, labelsize=6.5)
    axes.xaxis.tick_top()
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def heat_map(names: Sequence[str], found: Intervals, title: str) -> Figure:
    """A matrix of relations between tasks with its numbers, bold where the interval excludes 0.

    Colours saturate at the largest value off the diagonal, on which a task is compared with itself.

    Args:
        found: (T, T), row i: of a step on ``names[i]``.
    """
    count = len(names)
    most = float(np.abs(np.where(np.eye(count, dtype=bool), 0.0, found.mean)).max()) or 1.0
    figure, axes = _figure(0.55 * count + 2.5, 0.55 * count + 2)
    image = axes.imshow(found.mean, cmap="PuOr_r", vmin=-most, vmax=most)
    axes.set_xticks(range(count), names, rotation=60, ha="right")
    axes.set_yticks(range(count), names)
    axes.set_title(title, wrap=True)
    for (row, column), value in np.ndenumerate(found.mean):
        weight = "bold" if found.sign[row, column] else "normal"
        colour = "white" if abs(value) > 0.6 * most else INK
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", weight=weight, color=colour)
    figure.colorbar(image, shrink=0.7)
    return figure


def curves(found: Findings, arms: Sequence[str]) -> Figure:
    """Validation scores while training, a panel for each task: the mean over seeds, thin lines for each seed. Bars
    at the bottom are the iterations in which the schedule had stopped the task, in the first seed."""
    names = [row.name for row in found.rows if any(curve.task == row.name and curve.points for curve in found.curves)]
    across = 2 if len(names) == 4 else min(3, len(names))
    down = -(-len(names) // across)
    figure, panels = _panels(TEXT * (0.4 + 0.2 * across), 0.4 + 1.55 * down, down, across)
    for axes, name in zip(panels, names, strict=False):
        bars: list[tuple[int, list[tuple[int, int]]]] = []
        for number, arm in enumerate(arms):
            of_arm = [curve for curve in found.curves if (curve.arm, curve.task) == (arm, name) and curve.points]
            if not of_arm:
                continue
            style = {"color": COLOURS[number], "linestyle": DASHES[number]}
            for curve in of_arm if len(of_arm) > 1 else ():
                axes.plot(*zip(*curve.points, strict=True), linewidth=0.4, alpha=0.45, **style)
            mean = _mean(of_arm)
            axes.plot(
                *zip(*mean, strict=True), marker=MARKS[number] if len(mean) == 1 else None, markersize=3.5, **style
            )
            if spans := stopped(of_arm[0]):
                bars.append((number, [(start, end - start) for start, end in spans]))
        low, high = axes.get_ylim()
        axes.set_ylim(low - BAR * len(bars) / (1 - BAR * len(bars)) * (high - low), high)
        for place, (number, spans) in enumerate(bars):
            axes.broken_barh(
                spans, (BAR * place + 0.01, BAR - 0.01), transform=axes.get_xaxis_transform(),
                facecolor=COLOURS[number], edgecolor=INK, linewidth=0.3, hatch="////" if number % 2 else None,
            )  # fmt: skip
        axes.set_title(short(found, name), loc="left")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for number, arm in enumerate(arms):
        panels[0].plot([], [], color=COLOURS[number], linestyle=DASHES[number], label=arm)
    figure.supxlabel("iteration", fontsize=7.5)
    figure.supylabel("validation score, per cent", fontsize=7.5)
    figure.legend(loc="outside upper center", ncols=max(1, min(4, 90 // (8 + max(map(len, arms))))), handlelength=3)
    return figure


def stopped(curve: Curve) -> list[tuple[int, int]]:
    """(from, to) iterations in which the schedule had stopped the task."""
    spans, since, end = [], None, max((sum(curve.parts), *(at for at, _ in curve.points)))
    for event in curve.events:
        if event.event == "stop" and since is None:
            since = event.iteration
        elif event.event == "go" and since is not None:
            spans.append((since, event.iteration))
            since = None
    return [*spans, (since, end)] if since is not None and since < end else spans


def _mean(of_arm: Sequence[Curve]) -> list[tuple[int, float]]:
    """The mean over seeds at the iterations that all have."""
    points = [dict(curve.points) for curve in of_arm]
    shared = sorted(set.intersection(*(set(each) for each in points))) or sorted(points[0])
    return [(at, sum(each[at] for each in points if at in each) / sum(at in each for each in points)) for at in shared]


def _number(interval: Interval, starred: bool) -> str:
    """A mean with its interval, and a star if the t interval over the seeds contains 0 and this one does not."""
    return minus(gain_of(interval)) + MARK * starred


def _interval(
    axes: Axes,
    place: float,
    interval: Interval,
    seeds: Sequence[float],
    colour: str,
    mark: str,
    learned: bool,
    number: bool,
) -> None:
    """A mean with its bootstrap interval and, thin, the t interval over its seeds; with ``number``, what the first two
    are at the right end of the row; the star of :func:`_number` stands beside the interval otherwise."""
    line: dict[str, Any] = {"color": colour if learned else SOFT, "linestyle": "-" if learned else ":"}
    if (spread := t_interval(seeds)) is not None:
        from matplotlib.lines import Line2D

        # Not with plot: a t interval over few seeds may be so long that the others would be mere points (_rows).
        thin = {"color": line["color"], "linewidth": 0.5, "marker": "|", "markersize": 3.5, "markeredgewidth": 0.5}
        axes.add_artist(Line2D([spread.low, spread.high], [place, place], gid=T, **thin))
    axes.plot([interval.low, interval.high], [place, place], linewidth=1.8, solid_capstyle="butt", **line)
    face = colour if learned else "white"
    axes.plot([interval.mean], [place], mark, markersize=3.8, markeredgewidth=0.8, color=line["color"], mfc=face)
    starred = learned and by_bootstrap_alone(interval, seeds)
    beside: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    if number:
        weight = "bold" if learned and significant(interval, seeds) else "normal"
        beside |= {"xycoords": ("axes fraction", "data"), "color": line["color"], "weight": weight, "fontsize": 6.5}
        axes.annotate(_number(interval, starred), (1, place), (8, 0), **beside)
    elif starred:
        axes.annotate("*", (interval.high, place), (1.5, 2), **beside)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top, and a line at zero. The t intervals widen the scale to three times what
    the rest needs, at most; what is longer is cut off."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.dataLim.intervalx
    ends = [float(end) for line in axes.lines if line.get_gid() == T for end in np.asarray(line.get_xdata())]
    wider = [min(max(end, 2 * low - high), 2 * high - low) for end in ends]
    axes.update_datalim([(end, 0) for end in wider], updatey=False)
    axes.autoscale_view(scaley=False)
    # The default locator depends on the width of the axes: the layout makes room for labels, and then they change.
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axvline(0, color=INK, linewidth=0.6, zorder=0)
    axes.grid(axis="x", color=LINE, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure, panels = _panels(width, height, 1, 1)
    return figure, panels[0]


def _panels(width: float, height: float, down: int, across: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(down, across, squeeze=False).flat)


def _settings() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(STYLE)
