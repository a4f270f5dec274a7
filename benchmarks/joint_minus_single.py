"""The figure of docs/joint-vs-single.md and the table of its numbers: the joint model minus single-task models in every
recorded study that compares them.

The numbers are those of the studies' results.json. The table goes to docs/joint-vs-single-studies.md, with links. The
last line is for docs/real-photographs.md: Flickr30k Entities, over the trainings of two studies.

    python benchmarks/joint_minus_single.py              # prints the table
    python benchmarks/joint_minus_single.py --write      # also writes docs/joint-minus-single.svg
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import as_long_as_joint
import numpy as np
from pydantic import TypeAdapter

from twelve.metrics.bootstrap import Interval
from twelve.study.bootstrap import (
    Sampled,
    by_bootstrap_alone,
    interval,
    observed,
    significant,
    t_interval,
    two_level,
)
from twelve.study.cells import MARK, UNCOUNTED, gain_of, spread, table
from twelve.study.finding_types import Comparison
from twelve.study.report import plots
from twelve.study.report.beside import minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOME = Path(__file__).parents[1]
RESULTS = HOME / "benchmarks" / "results"
FIGURE = HOME / "docs" / "joint-minus-single.svg"
STUDIES = {
    "six-tasks-joint-vs-single": "six synthetic tasks, all learning rates searched",
    "six-tasks": "six synthetic tasks",
    "four-tasks-joint-vs-single": "four synthetic tasks, equal updates of the trunk",
    "four-tasks-ten-times": "four synthetic tasks, ten times the updates",
    "four-tasks-pretrained": "four synthetic tasks after pretraining, equal updates of the trunk",
    "four-tasks-pretrained/stop-and-go minus single-pretrained": (
        "four synthetic tasks, only single-task models pretrained"
    ),
    "four-tasks-pretrained/pretrained-total minus single-pretrained": (
        "four synthetic tasks after pretraining, about equal updates in all"
    ),
    "four-tasks-pretrained-longer/pretrained-total minus single-pretrained-longer": (
        "four synthetic tasks after pretraining, longer training"
    ),
    "microworld": "twelve synthetic tasks",
    "three-photograph-tasks": "three tasks on photographs, searched learning rates",
    "real-sample": "five tasks on photographs",
    "real-photographs-small": "four tasks on photographs, longer training",
}
"""Study, and its contrast if that is not the first -> what the documentation calls it."""
POOLED = ("three-photograph-tasks", "real-photographs-small")
"""Studies with the same test images of Flickr30k Entities (RefCOCO)."""
WIDTH, LINE = 5.6, 0.21
"""Inches of the figure and of a line."""
SIZES: dict[Any, Any] = dict.fromkeys(
    ("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 10.5
)
"""Points of its letters, which a phone shows at two thirds."""
SPACE = 0.4
"""Lines between two studies."""
ALL, LEARNED = (plots.COLOURS[1], plots.MARKS[1]), (plots.COLOURS[0], plots.MARKS[0])
"""Colours and marks of the two means, as in the plots of a study."""
BOOTSTRAP: dict[str, Any] = {"linewidth": 3, "solid_capstyle": "butt"}
T: dict[str, Any] = {"linewidth": 0.9, "marker": "|", "markersize": 7, "markeredgewidth": 0.9}
POINT: dict[str, Any] = {"markersize": 6.5, "markeredgewidth": 1.1}
"""How the intervals and the means are drawn."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks of the joint minus the single-task models, in points of normalised score.

    Attributes:
        tasks: which tasks, in words.
        seeds: the same of each seed.
        counted: whether intervals decide if it is significant (``Comparison.uncounted``).
    """

    tasks: str
    gain: Interval
    seeds: Sequence[float]
    counted: bool
    style: tuple[str, str]

    @property
    def significant(self) -> bool:
        return self.counted and significant(self.gain, self.seeds) != 0

    @property
    def mark(self) -> str:
        """What stands after its numbers."""
        return UNCOUNTED if not self.counted else MARK if by_bootstrap_alone(self.gain, self.seeds) else ""


def means(study: str) -> list[Mean]:
    """The mean over all tasks and, unless it is the same, that over the learned ones."""
    study, _, contrast = study.partition("/")
    compared = next(each for each in comparisons(study) if contrast in ("", each.contrast.name))
    learned, count = sum(cell.learned for cell in compared.cells), len(compared.cells)
    words = f"all {count}" + ", learned" * (learned == count)
    found = [Mean(words, compared.every, compared.seeds, not compared.uncounted, ALL)]
    if compared.learned is not None and learned < count:
        found.append(Mean(f"{learned} learned", compared.learned, compared.learned_seeds, True, LEARNED))
    return found


@cache  # for the figure and the table
def comparisons(study: str) -> Sequence[Comparison]:
    """The recorded contrasts of a study; of ``as_long_as_joint.LONGER``, those with the other study's joint model."""
    if study == as_long_as_joint.LONGER.name.removeprefix("study-"):
        with tempfile.TemporaryDirectory() as place:
            return as_long_as_joint.both(Path(place)).comparisons
    file = RESULTS / f"study-{study}" / "results.json"
    found = json.loads(file.read_text(encoding="utf-8"))["comparisons"]
    return TypeAdapter(list[Comparison]).validate_python(found)


def rows() -> str:
    """The numbers as a table in Markdown, without links."""
    told = []
    for study, name in STUDIES.items():
        found = means(study)
        every, learned = found[0], found[-1]
        number = learned.tasks.removesuffix(" learned")
        subset = f"{number}: {_number(learned)}" if len(found) > 1 else "the same"
        told.append((name, study.partition("/")[0], _number(every), spread(every.seeds), subset, spread(learned.seeds)))
    header = ("study", "folder (`study-...`)", "all tasks, bootstrap", "t")
    return table((*header, "learned tasks (their number), bootstrap", "t"), told)


def _number(mean: Mean) -> str:
    gain = gain_of(mean.gain)
    return (f"**{gain}**" if mean.significant else gain) + mean.mark.replace("*", r"\*")


def pooled() -> Mean:
    """Accuracy on Flickr30k Entities, joint minus single-longer, over all trainings of ``POOLED``."""
    trained = []
    for seed in (seed for study in POOLED for seed in sorted((RESULTS / f"study-{study}").glob("seed-*"))):
        files = [seed / "results" / arm / "refcoco.json" for arm in ("joint", "single-longer")]
        joint, single = (json.loads(file.read_text(encoding="utf-8")) for file in files)
        trained.append(Sampled(np.array([joint["values"], single["values"]], float), joint["groups"], 0.0, 1.0))
    cells = {"refcoco": trained}
    found, drawn = (100 * each.points["refcoco"] for each in (observed(cells), two_level(cells, shared=True)))
    seeds, samples = (each[:, 0] - each[:, 1] for each in (found, drawn))
    return Mean("Flickr30k Entities", interval(samples, float(seeds.mean())), seeds.tolist(), True, LEARNED)


def figure() -> Figure:
    """The forest plot; needs matplotlib."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    found = {name: means(study) for study, name in STUDIES.items()}
    lines = sum(1 + len(shown) + SPACE for shown in found.values())
    with rc_context(SIZES):
        made = Figure(figsize=(WIDTH, 1.9 + LINE * lines), layout="constrained")
        axes = made.subplots()
        labels, top = {}, 0.0
        for name, shown in found.items():
            beside(axes, name, (0, top), -72, color=plots.INK, bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5})
            for place, mean in enumerate(shown, 1):
                draw(axes, top + place, mean)
                labels[top + place] = mean.tasks
            top += 1 + len(shown) + SPACE
        axes.set_yticks([*labels], labels.values(), color=plots.SOFT)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # plots.py says why
        axes.set_ylim(top - 0.3, -0.8)
        axes.axvline(0, color=plots.INK, linewidth=0.6, zorder=0)
        axes.grid(axis="x", color=plots.LINE, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("joint minus single-task, points of normalised score")
        above: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate("joint model behind", (0, 1), (-5, 3), ha="right", color=plots.SOFT, **above)
        axes.annotate("ahead", (0, 1), (5, 3), color=plots.SOFT, **above)
        legend(made)
    return made


def draw(axes: Axes, place: float, mean: Mean) -> None:
    """A row: the mean, its intervals and the numbers."""
    colour, mark = mean.style if mean.counted else (plots.SOFT, mean.style[1])
    t = t_interval(mean.seeds)
    assert t is not None
    axes.plot([t.low, t.high], [place, place], color=colour, **T)
    axes.plot([mean.gain.low, mean.gain.high], [place, place], color=colour, **BOOTSTRAP)
    axes.plot([mean.gain.mean], [place], mark, color=colour, mfc=colour if mean.significant else "white", **POINT)
    weight = "bold" if mean.significant else "normal"
    ink = plots.INK if mean.counted else plots.SOFT
    beside(axes, minus(gain_of(mean.gain)) + mean.mark, (1, place), 8, color=ink, weight=weight)


def beside(axes: Axes, words: str, at: tuple[float, float], shift: float, **style: Any) -> None:
    """Words that begin ``shift`` points right of a place: (share of the width, row)."""
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(words, at, (shift, 0), va="center", annotation_clip=False, **place, **style)


def legend(made: Figure) -> None:
    """What the lines, the colours and the points are."""
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        return Line2D([], [], label=label, **{"color": plots.INK, "ls": "", **style})

    (colour, square), (other, circle) = ALL, LEARNED
    hollow: dict[str, Any] = {"mfc": "white", **POINT}
    handles = [
        handle("mean of all tasks", color=colour, marker=square, **POINT),
        handle("mean of learned tasks", color=other, marker=circle, **POINT),
        handle("95% bootstrap interval", ls="-", **BOOTSTRAP),
        handle("95% t interval over the seeds", ls="-", **T),
        handle("filled: significant", marker=circle, **POINT),
        handle("hollow: not significant", marker=circle, **hollow),
        handle(f"grey,{UNCOUNTED}: not counted", color=plots.SOFT, marker=square, **hollow),
        handle(f"{MARK.strip()}: by the bootstrap alone"),
    ]
    made.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=2)


def drawn() -> bytes:
    """The figure as SVG."""
    return plots.drawn(figure)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {FIGURE.relative_to(HOME)}")
    if parser.parse_args().write:
        FIGURE.write_bytes(drawn())
    print(rows())
    entities = pooled()
    print(f"{entities.tasks}, points of accuracy: {_number(entities)}, t {spread(entities.seeds)}")


if __name__ == "__main__":
    main()
