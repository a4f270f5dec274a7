"""``twelve study show``: the table and the plots of a study, from its results."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from twelve.io import files
from twelve.progress import tell
from twelve.study import plan as plans
from twelve.study.brief import brief
from twelve.study.findings import findings
from twelve.study.report import plots
from twelve.study.report.page import plots_of
from twelve.study.table import markdown
from twelve.study.tables import write_tables

TABLE, FOUND = "results.md", "results.json"
NOT_AGAIN = ("plan", "folder", "arms", "sections", "plots")
"""Findings that are not repeated in results.json: they are in study.json, or on the page."""


def show(out: Path, *, tables: bool = False, tables_to: Path | None = None, console: Console | None = None) -> str:
    """Write results.md, results.json and, if matplotlib is installed, the plots of the report as SVG into a study's
    folder, unless they are there with these tables, and return the tables. Prints the answer and each arm's score.

    Args:
        tables: print the tables instead.
        tables_to: write each table to a CSV and a LaTeX file in this folder, and print their paths instead.

    Raises:
        DataError: no study, no complete arm, or a damaged file.
        ConfigError: a folder is in the way of a page, or a link out of the study's folder.
        TwelveError: ``tables_to`` cannot be written.
    """
    found = findings(out)
    plans.check_links(out)
    text = markdown(found)
    if not _is_there(out, text):
        tree = {key: value for key, value in asdict(found).items() if key not in NOT_AGAIN}
        pages = {FOUND: json.dumps(tree, indent=1, default=_plain) + "\n"}
        pages |= {f"{plot.name}.svg": plot.svg.decode() for plot in plots_of(found, "results")}
        pages |= {f"results-{name}.svg": plot for name, plot in found.plots.items()}
        for name, page in {**pages, TABLE: text}.items():  # the tables last: they say that the others are there
            with files.replacing(out / name) as partial:
                partial.write_text(page, encoding="utf-8")
    if tables_to is not None:
        told = "\n".join(map(str, write_tables(text, tables_to, found.seeds)))
    else:
        told = text if tables else brief(found, str(out / TABLE))
    tell(told, console or Console())
    return text


def _is_there(out: Path, text: str) -> bool:
    """Whether these tables, and plots if they can be drawn, were written before: drawing takes seconds."""
    if not all((out / name).is_file() for name in (TABLE, FOUND)) or (out / TABLE).read_bytes() != text.encode():
        return False
    return not plots.available() or any(out.glob("results-*.svg"))


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
