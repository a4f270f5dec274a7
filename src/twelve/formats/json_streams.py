"""Reads large JSON files member by member, without holding the whole file in memory."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from twelve.errors import DataError
from twelve.formats.records import LONGEST, REMEDY, Record, describe, open_text, unreadable
from twelve.io.json_file import DECODER, limit, reason

CHUNK = 1 << 22
"""Characters that are read at a time."""
_TOKEN = 16
"""Characters; an escape, a word (``-Infinity``) or the end of a number is shorter."""
_SPACE = re.compile(r"[ \t\n\r]*")
_KEY = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:')
"""A key without escapes, and its colon: most are read with this alone."""
_WATCH: ContextVar[Callable[[int], object]] = ContextVar("_WATCH", default=lambda characters: None)


@contextmanager
def watching(watch: Callable[[int], object]) -> Iterator[None]:
    """Call ``watch`` with the number of characters of every part that is read within the block, to show progress."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def read_members(path: Path) -> Iterator[tuple[str, Record]]:
    """(key, record) of a file that is one JSON object of objects, in file order, read lazily.

    Raises:
        DataError: unreadable, not JSON, or a member that is not an object (names its key).
    """
    for key, value in _members(path, "{"):
        yield key, Record(value, path, key)


def read_list(
    path: Path, key: str, header: Callable[[str, Any], object] = lambda name, value: None
) -> Iterator[Record]:
    """The objects of the list under ``key`` in a file that is one JSON object, in file order, read lazily.

    Args:
        header: called with every other key and its value.

    Raises:
        DataError: unreadable, not JSON, no object, no list under that key, or an element that is not an object (names
            its place).
    """
    with _opened(path) as text:
        if text.mark() != "{":
            value = text.value()
            text.end()
            Record(value, path, None)
        seen: dict[str, Any] = {}
        for name in text.parts("{", "}"):
            if name in seen:
                raise text.error(f"the key {name!r} occurs twice in an object")
            seen[name] = None
            if name != key or text.mark() != "[":
                value = text.value()
                seen[name] = value if name == key else None
                if name != key:
                    header(name, value)
                continue
            seen[name] = []
            for index, _ in enumerate(text.parts("[", "]")):
                yield Record(text.value(), path, f"{key}[{index}]")
        text.end()
        Record(seen, path, None).items(key)


def read_items(path: Path, *places: str) -> Iterator[tuple[str, Any]]:
    """(place, element) of the lists at ``places`` in a file that is one JSON object, in file order, read lazily.

    Args:
        places: keys from the outermost to the innermost, joined by dots: ``data.questions``.

    Raises:
        DataError: unreadable, not JSON, or a key occurs twice in an object on the way.
    """
    with _opened(path) as text:
        yield from _items(text, "", places)
        text.end()


def _items(text: _Text, above: str, places: Sequence[str]) -> Iterator[tuple[str, Any]]:
    mark = text.mark()
    if mark == "{" and (not above or any(place.startswith(f"{above}.") for place in places)):
        seen: set[str] = set()
        for key in text.parts("{", "}"):
            if key in seen:
                raise text.error(f"the key {key!r} occurs twice in an object")
            seen.add(key)
            yield from _items(text, f"{above}.{key}" if above else key, places)
    elif mark == "[":
        for _ in text.parts("[", "]"):
            value = text.value()
            if above in places:
                yield above, value
    else:
        text.value()


def read_elements(path: Path) -> Iterator[Record]:
    """The records of a file that is one JSON list of objects, in file order, read lazily.

    Raises:
        DataError: unreadable, not JSON, or an element that is not an object (names its place).
    """
    for number, (_, value) in enumerate(_members(path, "["), start=1):
        yield Record(value, path, f"entry {number}")


def _members(path: Path, opening: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of the members of a file that is one object ("{") or list ("["; keys are empty)."""
    with _opened(path) as text:
        if text.mark() != opening:
            expected = "an object" if opening == "{" else "a list"
            found = describe(text.value())
            raise DataError(f"expected {expected}, found {found}", file=path, record=None, remedy=REMEDY)
        for key in text.parts(opening, "}" if opening == "{" else "]"):
            yield key, text.value()
        text.end()


@contextmanager
def _opened(path: Path) -> Iterator[_Text]:
    try:
        with open_text(path) as stream:
            yield _Text(stream, path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


class _Text:
    """The text of a stream from the current position on; more of it is read as needed."""

    def __init__(self, stream: IO[str], path: Path) -> None:
        self._stream, self._path = stream, path
        self._text, self._place, self._before = "", 0, 0
        self._decode = DECODER.raw_decode

    def error(self, problem: str) -> DataError:
        """An error about the current position, to raise."""
        place = f"character {self._before + self._place}"
        return DataError(f"not valid JSON: {problem}", file=self._path, record=place, remedy=REMEDY)

    def mark(self) -> str:
        """The next character that is not a space, which is not consumed; empty at the end."""
        if self._place < len(self._text) and (found := self._text[self._place]) > " ":
            return found
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
        self.mark()
        if (match := _KEY.match(self._text, self._place)) is not None:
            self._place = match.end()
            return match[1]
        key = self.value()
        if not isinstance(key, str):
            raise self.error(f"expected a key, found {describe(key)}")
        self.skip(":")
        return key

    def parts(self, opening: str, closing: str) -> Iterator[str]:
        """Yields the key (empty in a list) of each member of an object ("{") or list ("["), before its value."""
        self.skip(opening)
        mark = self.mark()
        while mark != closing:
            yield self.key() if opening == "{" else ""
            if (mark := self.mark()) != closing:
                self.skip(",")
                if (mark := self.mark()) == closing:
                    raise self.error(f"expected another member after the comma, found {closing!r}")
        self._place += 1

    def end(self) -> None:
        """Raise an error if anything but space follows."""
        if self.mark():
            raise self.error("there is more data after its end")

    def value(self) -> Any:
        """Consume the value at the current position."""
        self.mark()
        while True:
            try:
                value, end = self._decode(self._text, self._place)
            except json.JSONDecodeError as error:
                # A value that was cut has its error at the end (a string: at its beginning); others are wrong anyway.
                cut = error.pos > len(self._text) - _TOKEN or error.msg.startswith("Unterminated string")
                if cut and self._more():
                    continue
                raise self.error(reason(error.msg)) from None
            except (ValueError, RecursionError) as error:
                raise self.error(limit(error)) from None
            if end == len(self._text) and self._more():  # a number may continue in what has not been read yet
                continue
            self._place = end
            return value

    def _more(self) -> bool:
        """Read more and drop what was consumed; False at the end of the file."""
        if len(self._text) - self._place > LONGEST:
            raise self.error(f"a member of more than {LONGEST:,} characters")
        chunk = self._stream.read(CHUNK)
        _WATCH.get()(len(chunk))
        self._before += self._place
        self._text, self._place = self._text[self._place :] + chunk, 0
        return bool(chunk)
