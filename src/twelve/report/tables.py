"""Files that ``twelve data table`` made: what is wrong or missing there is corrected in their table."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from twelve.data import table_origin
from twelve.data.table_origin import TableOrigin
from twelve.progress import enumerated
from twelve.report.reading import Run
from twelve.report.step import as_named


def table_of(run: Run, split: str) -> TableOrigin | None:
    """Where a split comes from; None where it is no table, or a file was edited, which cannot be converted again."""
    root = Path(run.config.data)
    origin = table_origin.of_split(root, split)
    return origin if origin and all(table_origin.of_split(root, each) for each in origin.tables) else None


def tested_share(origin: TableOrigin) -> float | None:
    """Share of a table's new images that become test images; None where these have a table of their own."""
    from twelve.runs.own_task import FRACTION  # imports Pillow, which a mistake need not wait for

    return None if origin.option("--test") else float(origin.option("--test-fraction") or FRACTION)


def converting(run: Run, splits: Iterable[str]) -> list[str]:
    """The commands that convert the tables of splits again."""
    found = (origin for split in splits if (origin := table_of(run, split)))
    return list(dict.fromkeys(shlex.join(origin.command) for origin in found))


def sources(run: Run, splits: Iterable[str]) -> str:
    """The files that a person edits: of files made from a table, the table."""
    files = []
    for split in splits:
        origin = table_of(run, split)
        files.append(origin.tables[split] if origin else str(as_named(run, Path(run.config.data, split))))
    return enumerated([*dict.fromkeys(files)])


def rows_to(origin: TableOrigin, split: str) -> str:
    """Where rows are added: ``rows to a.csv and their images to photos, of which about half will be used for
    testing``."""
    where = f"rows to {origin.tables[split]} and their images to {origin.option('--images')}"
    share = tested_share(origin)
    about = "" if share is None else f"about {'half' if share == 0.5 else f'{share:.0%}'}"
    return f"{where}, of which {about} will be used for testing" if about else where
