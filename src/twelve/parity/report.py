"""The table that a comparison prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from twelve.parity.base import Difference

HEADER = ("quantity", "largest difference", "tolerance", "", "")


def show(title: str, differences: Sequence[Difference], console: Console) -> None:
    """Print a line for each quantity: as a table on a terminal, else as aligned plain text of any width."""
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
