"""The tables of a study as files, for a paper (LaTeX) and for programs (CSV).

They are read from the page of the study, which is Markdown, as are the sections that a study of your own adds to it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.io import files

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_INTERVAL = re.compile(rf"(?:({_NUMBER}) )?\[({_NUMBER}), ({_NUMBER})\] ?(.*)")
_IN_PARENTHESES = re.compile(rf"({_NUMBER}) \(({_NUMBER})\)()()")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "†": r"$\dagger$", "‡": r"$\ddagger$"},
}
"""What LaTeX reads in another way than it is written -> how to write it."""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page: its header, and rows with as many cells."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def csv(self) -> str:
        """As CSV, whose columns hold plain numbers as far as possible.

        A column with intervals becomes up to four: that of the mean has its name, the others are called NAME low, NAME
        high and NAME mark, which holds marks and words. A column of scores followed by a number in parentheses becomes
        two, NAME and NAME in parentheses.
        """
        columns = [column for place in range(len(self.header)) for column in self._split(place)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
        return text.getvalue()

    def _split(self, place: int) -> Iterator[Sequence[str]]:
        """The columns that a column becomes, each with its header."""
        name, cells = self.header[place], [row[place] for row in self.rows]
        for pattern, ends in (
            (_INTERVAL, ("", " low", " high", " mark")),
            (_IN_PARENTHESES, ("", " in parentheses", "", " mark")),
        ):
            found = [pattern.fullmatch(cell) for cell in cells]
            if not any(found):
                continue
            parts = [
                ("", "", "", cell) if match is None else tuple(part or "" for part in match.groups())
                for cell, match in zip(cells, found, strict=True)
            ]
            for end, column in zip(ends, zip(*parts, strict=True), strict=True):
                if any(column):
                    yield [name + end, *column]
            return
        yield [name, *(cell.replace(",", "") if _THOUSANDS.fullmatch(cell) else cell for cell in cells)]

    @property
    def latex(self) -> str:
        """As a ``tabular`` that needs no package."""
        head, *rows = [" & ".join(map(_escaped, row)) + r" \\" for row in (self.header, *self.rows)]
        lines = [rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}", r"\hline", head, r"\hline"]
        return "\n".join([*lines, *rows, r"\hline", r"\end{tabular}", ""])


def _escaped(cell: str) -> str:
    """A cell as LaTeX. Braces keep ``[`` and ``*`` at the beginning of a row from being arguments of the line before;
    a minus sign is one."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "\0", cell)
    text = "".join(_SPECIAL.get(character, character) for character in text).replace("\0", "$-$")
    return "{}" * text.startswith(("[", "*")) + text


def tables(page: str) -> list[PageTable]:
    """The tables of a page in Markdown, in order."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", page, flags=re.MULTILINE)
    return [_table(block.splitlines()) for block in blocks]


def _table(lines: Sequence[str]) -> PageTable:
    header, _, *rows = (tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines)
    return PageTable(header, tuple(rows))


def write_tables(page: str, folder: Path) -> list[Path]:
    """Write each table of a page to a CSV and a LaTeX file, named after its place and its first column; return the
    files.

    Args:
        page: in Markdown.
        folder: made if it is not there; files of the same names are replaced.

    Raises:
        TwelveError: the folder cannot be written.
    """
    files.check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, table in enumerate(tables(page), 1):
        name = f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', table.header[0].lower()).strip('-')}"
        for ending, text in ((".csv", table.csv), (".tex", table.latex)):
            written.append(folder / f"{name}{ending}")
            with files.replacing(written[-1]) as partial:
                partial.write_text(text, encoding="utf-8")
    return written
