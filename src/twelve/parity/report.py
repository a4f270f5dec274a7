"""Differences between a recording and this package, and the table that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

HEADER = ("quantity", "largest difference", "tolerance", "", "")


@dataclass(frozen=True)
class Difference:
    """One recorded quantity compared with ours.

    Attributes:
        quantity: name of the quantity in the recording.
        largest: largest absolute difference over valid positions; infinite if ours is missing, has another shape, or is
            NaN where the recording is not.
        tolerance: largest difference that passes.
        note: what the comparison omits, or why it failed.
    """

    quantity: str
    largest: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference is within its tolerance, which NaN never is."""
        return self.largest <= self.tolerance


def report(compared: Iterable[tuple[str, Sequence[Difference]]], console: Console) -> int:
    """Print all differences under their titles and a verdict; return 0 if all are within tolerance, else 1."""
    quantities, beyond = 0, 0
    for title, differences in compared:
        show(title, differences, console)
        quantities += len(differences)
        beyond += sum(not difference.ok for difference in differences)
    verdict = "all within their tolerances" if not beyond else f"{beyond} beyond their tolerance"
    console.print(f"{quantities} quantities compared, {verdict}")
    return 1 if beyond else 0


def show(title: str, differences: Sequence[Difference], console: Console) -> None:
    """Print one line per quantity: a table on a terminal, otherwise aligned plain text."""
    rows = [
        (d.quantity, f"{d.largest:.3g}", f"{d.tolerance:.3g}", "ok" if d.ok else "TOO LARGE", d.note)
        for d in differences
    ]
    if console.is_terminal:
        table = Table(*HEADER, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for row in rows:
            style = "" if row[3] == "ok" else "bold red"
            table.add_row(*(Text(cell, style=style) for cell in row))
        console.print(table)
        return
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (HEADER, *rows)]
    console.file.write("\n".join([title, *(line.rstrip() for line in lines), "", ""]))
