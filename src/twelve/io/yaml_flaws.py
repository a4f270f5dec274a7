"""What is wrong with a text that is not YAML, in plain words: PyYAML's own speak of its parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

_REMEDY = "correct this line: docs/configuration.md shows how a configuration is written"
_ALIGN = "align this key with the ones above"


@dataclass(frozen=True, slots=True)
class YamlFlaw:
    """A place in a text, what is wrong there, and what to do about it.

    Attributes:
        where: line and column, from 1; None if the parser does not tell.
    """

    where: str | None
    problem: str
    remedy: str


def flaw(text: str, error: yaml.MarkedYAMLError) -> YamlFlaw:
    """The flaw that an error of PyYAML means."""
    lines, said = text.splitlines(), error.problem or error.context or ""
    here, opened = _place(error.problem_mark), _place(error.context_mark)
    here = here or opened
    if here is None:
        return YamlFlaw(None, said, _REMEDY)
    line, column = here
    if said == "mapping values are not allowed here":
        return _colon(lines, line, column)
    if "'<block mapping start>'" in said:
        return YamlFlaw(_where(here), "this key is indented differently from the keys above", _ALIGN)
    if said == "could not find expected ':'":
        problem = "a key without a colon and a value"
        return YamlFlaw(_where(opened or here), problem, "write it as key: value")
    if "'\\t' that cannot start" in said:
        return YamlFlaw(_where(here), "a tab; YAML is indented by spaces alone", "write spaces instead of the tab")
    if found := re.fullmatch(r"found character '(.+)' that cannot start any token", said):
        return YamlFlaw(_where(here), f"a value cannot begin with {found[1]}", "put the value in quotes")
    if "expected ',' or" in said or (said.startswith("expected the node content") and "stream end" in said):
        problem = "a bracket that begins here is not closed, or a comma is missing in it"
        return YamlFlaw(_where(opened or here), problem, "close it with ] or }, with commas between what it holds")
    if said == "found unexpected end of stream":
        return YamlFlaw(_where(opened or here), "a quotation mark is not closed", "close it at the end of the value")
    if said.endswith(("found '-'", "found '?'")):
        problem = "a list and keys stand side by side: lines with - in front, and lines with key: value"
        return YamlFlaw(_where(here), problem, "indent the lines with - below the key that they belong to")
    if said.endswith("found '<scalar>'"):
        return YamlFlaw(_where(here), "text after the end of a quoted value", "put the whole value in quotes")
    return YamlFlaw(_where(here), said, _REMEDY)


def _colon(lines: list[str], line: int, column: int) -> YamlFlaw:
    """The flaw of a colon where none is allowed, which has several causes."""
    own = lines[line][:column]
    indent = len(own) - len(own.lstrip())
    key = (line, indent)
    if ": " in own:
        problem = "a second colon in one line"
        return YamlFlaw(_where((line, column)), problem, "put the value in quotes, or begin a line for the second key")
    above = next((n for n in reversed(range(line)) if lines[n].strip() and not lines[n].lstrip().startswith("#")), None)
    if above is not None and not re.search(r":(\s|$)", lines[above]):
        start = len(lines[above]) - len(lines[above].lstrip())
        problem = "a key without a colon and a space after it"
        return YamlFlaw(_where((above, start)), problem, "write it as key: value")
    return YamlFlaw(_where(key), "this key is indented deeper than the key above, which has a value already", _ALIGN)


def _place(mark: yaml.Mark | None) -> tuple[int, int] | None:
    """Line and column of a mark, from 0."""
    return None if mark is None else (mark.line, mark.column)


def _where(place: tuple[int, int]) -> str:
    return f"line {place[0] + 1}, column {place[1] + 1}"
