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

_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_INTERVAL = re.compile(rf"(?:({_NUMBER}) )?\[({_NUMBER}), ({_NUMBER})\] ?(.*)")
_IN_PARENTHESES = re.compile(rf"({_NUMBER}) \(({_NUMBER})\)()()")
_PLAIN = re.compile(rf"({_NUMBER})()()()")
_SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "†": r"$\dagger$", "‡": r"$\ddagger$"},
}
"""What LaTeX reads in another way than it is written -> how to write it."""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page: its header, rows with as many cells, and the paragraph before it."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    before: str = ""

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
            if not any(map(pattern.fullmatch, cells)):
                continue
            found = [pattern.fullmatch(cell) or _PLAIN.fullmatch(cell) for cell in cells]
            parts = [
                ("", "", "", cell) if match is None else tuple(_number(part or "") for part in match.groups())
                for cell, match in zip(cells, found, strict=True)
            ]
            for end, column in zip(ends, zip(*parts, strict=True), strict=True):
                if any(column):
                    yield [name + end, *column]
            return
        yield [name, *map(_number, cells)]

    @property
    def latex(self) -> str:
        """As a ``tabular`` that needs no package, without its float (:func:`write_tables`)."""
        head, *rows = [" & ".join(map(_escaped, row)) + r" \\" for row in (self.header, *self.rows)]
        lines = [rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}", r"\hline", head, r"\hline"]
        return "\n".join([*lines, *rows, r"\hline", r"\end{tabular}", ""])


def _number(cell: str) -> str:
    """A cell, without the thousands separators of a number."""
    return cell.replace(",", "") if _PLAIN.fullmatch(cell) else cell


def _escaped(cell: str) -> str:
    """A cell as LaTeX. Braces keep ``[`` and ``*`` at the beginning of a row from being arguments of the line before;
    a minus sign is one."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "\0", cell)
    text = "".join(_SPECIAL.get(character, character) for character in text).replace("\0", "$-$")
    return "{}" * text.startswith(("[", "*")) + text


def tables(page: str) -> list[PageTable]:
    """The tables of a page in Markdown, in order."""
    blocks = re.findall(r"(?:^(?!\|)(.+)\n\n)?((?:^\|.*\|$\n?)+)", page, flags=re.MULTILINE)
    return [_table(block.splitlines(), before) for before, block in blocks]


def _table(lines: Sequence[str], before: str) -> PageTable:
    header, _, *rows = (tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines)
    return PageTable(header, tuple(rows), before)


def titles(found: Sequence[PageTable]) -> list[str]:
    """What each table is called: by its first column or, if that has no header, by how the paragraph before it begins;
    if an earlier table is called so too, also by the first two of its columns that no such table has."""
    earlier: dict[str, set[str]] = {}
    named = []
    for table in found:
        first, columns = table.header[0] or re.split(r"[.:]", table.before)[0], table.header[1:]
        more = [each for each in columns if each not in earlier[first]][:2] if first in earlier else []
        named.append(first + f": {', '.join(more)}" * bool(more))
        earlier.setdefault(first, set()).update(columns)
    return named


def _floating(table: PageTable, title: str, name: str) -> str:
    """A table as LaTeX with a caption and a label."""
    caption = _escaped(title[:1].upper() + title[1:])
    head = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{name}}}"]
    return "\n".join([*head, table.latex.rstrip(), r"\end{table}", ""])


def write_tables(page: str, folder: Path) -> list[Path]:
    """Write each table of a page to a CSV and a LaTeX file, named after its place and its columns (:func:`titles`);
    return the files. The LaTeX files have the title as the caption and the name of the file as the label.

    Args:
        page: in Markdown.
        folder: made if it is not there; files of the same names are replaced.

    Raises:
        TwelveError: the folder cannot be written.
    """
    files.check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    found = tables(page)
    for number, (table, title) in enumerate(zip(found, titles(found), strict=True), 1):
        name = f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}".rstrip("-")
        for ending, text in ((".csv", table.csv), (".tex", _floating(table, title, name))):
            written.append(folder / f"{name}{ending}")
            with files.replacing(written[-1]) as partial:
                partial.write_text(text, encoding="utf-8")
    return written
