"""``twelve study show``: the table and the plots of a study, from its results."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from twelve.io import files
from twelve.progress import tell
from twelve.study import plan as plans
from twelve.study.arms import BASE
from twelve.study.findings import findings
from twelve.study.plot import svg
from twelve.study.results import searched
from twelve.study.table import markdown

TABLE, FOUND = "results.md", "results.json"


def show(out: Path, *, console: Console | None = None) -> str:
    """Write results.md, results.json and results-ARM.svg into a study's folder, print the table and return it.

    Raises:
        DataError: no study, no complete seed, or a damaged file.
        ConfigError: a folder is in the way of a page, or a link out of the study's folder.
    """
    plan = plans.read(out)
    plans.check_links(out)
    found = findings(plan, out)
    text = markdown(found, searched(plan, out))
    tree = {key: value for key, value in asdict(found).items() if key != "plan"}
    pages = {TABLE: text, FOUND: json.dumps(tree, indent=1) + "\n"}
    pages |= {f"results-{arm}.svg": svg(found, arm) for arm in found.arms if arm != BASE}
    for name, page in pages.items():
        with files.replacing(out / name) as partial:
            partial.write_text(page, encoding="utf-8")
    tell(text, console or Console())
    return text
