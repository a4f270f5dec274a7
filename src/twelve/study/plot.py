"""A plot of a study as SVG: the difference of each task, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from twelve.report.curves import ticks
from twelve.study.finding_types import Comparison, Findings

NOT = " (not learned)"
LEFT, WIDTH, RIGHT, STEP, TOP, BOTTOM = 230, 420, 110, 22, 46, 40
STYLE = (
    "text{font:12px sans-serif;fill:#222}.axis{stroke:#ccc}.zero{stroke:#666}.bar{stroke-width:2}"
    ".up{stroke:#1a7f4b;fill:#1a7f4b}.down{stroke:#b3261e;fill:#b3261e}.none{stroke:#777;fill:#777}"
)


def svg(found: Findings, comparison: Comparison) -> str:
    """For each task of a contrast and their mean, the difference of the way from baseline to upper bound, per cent.
    Tasks that are not learned are grey, and not in the mean unless none is learned."""
    titles = {row.name: row.title for row in found.rows}
    learned = comparison.learned is not None
    rows = [
        *((titles[cell.task] + (NOT * (not cell.learned)), cell.closed, cell.learned) for cell in comparison.cells),
        ("mean over learned tasks" if learned else "mean over tasks", comparison.endpoint, learned),
    ]
    gains = [gain for _, gain, _ in rows]
    marks = ticks(min(0.0, *(gain.low for gain in gains)), max(0.0, *(gain.high for gain in gains)), 6)
    low, high = marks[0], marks[-1]
    height = TOP + STEP * len(rows) + BOTTOM

    def across(value: float) -> float:
        return LEFT + WIDTH * (value - low) / (high - low)

    title = f"{comparison.contrast.name}: closed from baseline to upper bound, per cent, with 95 % intervals"
    lines = [_text(10, 20, title, "start")]
    bottom = height - BOTTOM
    for mark in marks:
        kind = "zero" if mark == 0 else "axis"
        lines.append(_line(across(mark), TOP - 8, across(mark), bottom, kind))
        lines.append(_text(across(mark), bottom + 18, f"{mark:+g}" if mark else "0", "middle"))
    for number, (name, gain, counts) in enumerate(rows):
        y = TOP + STEP * (number + 0.5)
        kind = "none" if not counts else "up" if gain.low > 0 else "down" if gain.high < 0 else "none"
        lines += [
            _text(LEFT - 10, y + 4, name, "end"),
            _line(across(gain.low), y, across(gain.high), y, f"bar {kind}"),
            f'<circle class="{kind}" cx="{across(gain.mean):.1f}" cy="{y:.1f}" r="4"/>',
            _text(LEFT + WIDTH + 12, y + 4, f"{gain.mean:+.1f}", "start"),
        ]
    return _page(lines, LEFT + WIDTH + RIGHT, height, title)


def _page(lines: Sequence[str], width: float, height: float, title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    said = f'role="img" aria-label="{escape(title)}"'
    paper = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([f"{head} {said}>", f"<style>{STYLE}</style>", paper, *lines, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
