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
OWN = "This study only"
"""The heading of the sections that a study adds, which is no table's title."""
LONGEST = 90
"""Most characters of a title that is the beginning of a paragraph; a longer one ends at a comma."""
_SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "†": r"$\dagger$", "‡": r"$\ddagger$"},
    "§": r"\S{}",
}
"""What LaTeX reads in another way than it is written -> how to write it."""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page.

    Attributes:
        rows: with as many cells as the header.
        before: the paragraph before it.
        heading: the one above, if this is the first table under it; otherwise empty.
        seeds: of the study.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    before: str = ""
    heading: str = ""
    seeds: tuple[int, ...] = ()

    @property
    def csv(self) -> str:
        """As CSV, whose columns hold plain numbers as far as possible.

        A column with intervals becomes up to four: that of the mean has its name, the others are called NAME low, NAME
        high and NAME mark, which holds marks and words. A column of scores followed by a number in parentheses becomes
        two, NAME and NAME in parentheses. A column of values by seed becomes one for each seed.
        """
        columns = [column for place in range(len(self.header)) for column in self._split(place)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
        return text.getvalue()

    def _split(self, place: int) -> Iterator[Sequence[str]]:
        """The columns that a column becomes, each with its header."""
        name, cells = self.header[place], [row[place] for row in self.rows]
        if "by seed" in name and (columns := self._by_seed(cells)):
            for seed, column in zip(self.seeds, columns, strict=True):
                yield [name.replace("by seed", f"seed {seed}"), *column]
            return
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

    def _by_seed(self, cells: Sequence[str]) -> Sequence[Sequence[str]]:
        """The values of each seed, in cells with one for each; empty if any cell differs."""
        rows = [re.split("; " if ";" in cell else ", ", cell) if cell else [""] * len(self.seeds) for cell in cells]
        if any(len(row) != len(self.seeds) or not all(map(_PLAIN.fullmatch, filter(None, row))) for row in rows):
            return ()
        return [[_number(each) for each in column] for column in zip(*rows, strict=True)]

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


def tables(page: str, seeds: Sequence[int] = ()) -> list[PageTable]:
    """The tables of a page in Markdown, in order.

    Args:
        seeds: of the study.
    """
    found = list[PageTable]()
    heading = before = ""
    for block in re.findall(r"(?:^\|.*\|$\n?)+|^.+$", page, flags=re.MULTILINE):
        if block.startswith("|"):
            header, _, *rows = (tuple(cell.strip() for cell in line[1:-1].split("|")) for line in block.splitlines())
            found.append(PageTable(header, tuple(rows), before, heading, tuple(seeds)))
            heading = before = ""
        elif title := re.fullmatch("#+ (.+)", block):
            heading, before = title[1] if title[1] != OWN else "", ""
        else:
            before = block
    return found


def _title(table: PageTable) -> str:
    """Its heading; else how the paragraph before it begins; else its first column."""
    first = re.split(r"[.:]", table.before)[0]
    short = first if len(first) <= LONGEST else re.split(r"[,;(]", first)[0].rstrip()
    return table.heading or short or table.header[0]


def titles(found: Sequence[PageTable]) -> list[str]:
    """What each table is called; if an earlier table is called so too, also by the first two of its columns that no
    such table has."""
    earlier: dict[str, set[str]] = {}
    named = []
    for table in found:
        first, columns = _title(table), table.header[1:]
        more = [each for each in columns if each not in earlier[first]][:2] if first in earlier else []
        named.append(first + f": {', '.join(more)}" * bool(more))
        earlier.setdefault(first, set()).update(columns)
    return named


def _floating(table: PageTable, title: str, name: str) -> str:
    """A table as LaTeX with a caption and a label."""
    caption = _escaped(title[:1].upper() + title[1:])
    head = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{name}}}"]
    return "\n".join([*head, table.latex.rstrip(), r"\end{table}", ""])


def write_tables(page: str, folder: Path, seeds: Sequence[int] = ()) -> list[Path]:
    """Write each table of a page to a CSV and a LaTeX file, named after its place and its title (:func:`titles`);
    return the files. The LaTeX files have the title as the caption and the name of the file as the label.

    Args:
        page: in Markdown.
        seeds: of the study; a column of values by seed becomes one for each in the CSV.
        folder: made if it is not there; files of the same names are replaced.

    Raises:
        TwelveError: the folder cannot be written.
    """
    files.check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    found = tables(page, seeds)
    for number, (table, title) in enumerate(zip(found, titles(found), strict=True), 1):
        name = f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}".rstrip("-")
        for ending, text in ((".csv", table.csv), (".tex", _floating(table, title, name))):
            written.append(folder / f"{name}{ending}")
            with files.replacing(written[-1]) as partial:
                partial.write_text(text, encoding="utf-8")
    return written
