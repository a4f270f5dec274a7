"""Large JSON files, member by member: a file of gigabytes never stands in memory as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from twelve.data.records import REMEDY, Record, describe, open_text, unreadable
from twelve.errors import DataError

CHUNK = 1 << 22
"""Characters that are read at a time."""
_SPACE = re.compile(r"[ \t\n\r]*")


def read_members(path: Path) -> Iterator[tuple[str, Record]]:
    """(key, record) of a file that is one JSON object of objects, in file order, read as it is asked for.

    Raises:
        DataError: unreadable, not JSON, or a member that is not an object (names its key).
    """
    for key, value in _members(path, "{"):
        yield key, Record(value, path, key)


def read_elements(path: Path) -> Iterator[Record]:
    """The records of a file that is one JSON list of objects, in file order, read as it is asked for.

    Raises:
        DataError: unreadable, not JSON, or an element that is not an object (names its place).
    """
    for index, (_, value) in enumerate(_members(path, "[")):
        yield Record(value, path, f"[{index}]")


def _members(path: Path, opening: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of the members of the one object ("{") or list ("["; keys are empty) that a file holds."""
    try:
        with open_text(path) as stream:
            text = _Text(stream, path)
            if text.mark() != opening:
                expected = "an object" if opening == "{" else "a list"
                raise DataError(
                    f"expected {expected}, found {describe(text.value())}", file=path, record=None, remedy=REMEDY
                )
            text.skip(opening)
            closing = "}" if opening == "{" else "]"
            while text.mark() != closing:
                key = text.key() if opening == "{" else ""
                yield key, text.value()
                if text.mark() != closing:
                    text.skip(",")
                    if text.mark() == closing:
                        raise text.error(f"expected another member after the comma, found {closing!r}")
            text.skip(closing)
            if text.mark():
                raise text.error("something follows its end")
    except (OSError, EOFError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(path, error) from None


class _Text:
    """The text of a stream from the place that was reached; more is read when what is there does not suffice."""

    def __init__(self, stream: IO[str], path: Path) -> None:
        self._stream, self._path = stream, path
        self._text, self._place, self._before = "", 0, 0
        self._decode = json.JSONDecoder().raw_decode

    def error(self, problem: str) -> DataError:
        """An error about this place, to be raised."""
        place = f"character {self._before + self._place}"
        return DataError(f"not valid JSON: {problem}", file=self._path, record=place, remedy=REMEDY)

    def mark(self) -> str:
        """The next character that is no space, without passing it; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            assert match is not None
            self._place = match.end()
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def skip(self, mark: str) -> None:
        found = self.mark()
        if found != mark:
            raise self.error(f"expected {mark!r}, found {found!r}" if found else f"it ends before {mark!r}")
        self._place += 1

    def key(self) -> str:
        key = self.value()
        if not isinstance(key, str):
            raise self.error(f"expected a key, found {describe(key)}")
        self.skip(":")
        return key

    def value(self) -> Any:
        """The value that begins here."""
        self.mark()
        while True:
            try:
                value, end = self._decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise self.error(error.msg) from None
            if end == len(self._text) and self._more():  # a number may go on in what was not read yet
                continue
            self._place = end
            return value

    def _more(self) -> bool:
        """Read on, let go of what was passed; False at the end of the file."""
        chunk = self._stream.read(CHUNK)
        self._before += self._place
        self._text, self._place = self._text[self._place :] + chunk, 0
        return bool(chunk)
