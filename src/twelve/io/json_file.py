"""Reads JSON files as a whole, without trusting them.

Pipes, devices, files that are too large, values that are nested too deeply, numbers that are too long, and keys that
occur twice in an object are refused. Files of gigabytes are streamed: :mod:`twelve.formats.json_streams`.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError, TwelveError, shown
from twelve.io.files import is_there

SMALL = 1 << 26
"""Most bytes of a file that describes a model: a vocabulary of a million words is half as large."""
LARGE = 1 << 32
"""Most bytes of a dataset's file that is not streamed."""
_LOG = 1 << 29
"""Most bytes of a log, of more than a million lines."""
DEEP = 100
"""Most levels of nesting."""
_WHOLE = 1 << 63
"""Whole numbers are smaller than this."""
_PIECE = 1 << 20
_MARK, _DIGITS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]'), re.compile(r"[0-9]{1000}")


class Flaw(ValueError):
    """What is wrong with a JSON text, and where."""

    def __init__(self, problem: str, place: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.place = problem, place


class Twice(ValueError):
    """A key occurs twice in an object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object; raises Twice where a key occurs twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Twice(next(key for number, key in enumerate(keys) if key in keys[:number]))
    return members


DECODER = json.JSONDecoder(object_pairs_hook=_once)
"""Decodes JSON; raises ValueError for a key that occurs twice."""


def opened(path: Path) -> BufferedReader:
    """A regular file (or a link to one), open for reading bytes.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe or a device; does not wait for a pipe.
    """
    stream = open(path, "rb", opener=_at_once)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(0, "is not a regular file", str(path))
    return stream


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe would wait for its writer


def read(
    path: Path,
    error: type[TwelveError] = CheckpointError,
    *,
    remedy: str,
    most: int = SMALL,
    strict: bool = True,
) -> Any:
    """The value in a file of JSON.

    Args:
        error: what to raise.
        remedy: its advice: where a good file comes from.
        most: bytes.
        strict: see :func:`decode`.

    Raises:
        TwelveError: of type ``error``; names the file, the place in it and what is wrong.
    """
    try:
        return decode(read_text(path, error, remedy=remedy, most=most), strict=strict)
    except Flaw as flaw:
        raise error(flaw.problem, file=path, record=flaw.place, remedy=remedy) from None


def read_text(path: Path, error: type[TwelveError] = CheckpointError, *, remedy: str, most: int = SMALL) -> str:
    """The text in a file, in UTF-8 with or without a byte order mark; as :func:`read`."""
    try:
        return _text(path, most)
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise error(f"cannot be read: {why}", file=path, remedy=remedy) from None
    except Flaw as flaw:
        raise error(flaw.problem, file=path, record=flaw.place, remedy=remedy) from None


def read_object(
    path: Path,
    error: type[TwelveError] = CheckpointError,
    *,
    remedy: str,
    most: int = SMALL,
) -> dict[str, Any]:
    """The JSON object in a file; as :func:`read`, strictly."""
    tree = read(path, error, remedy=remedy, most=most)
    if not isinstance(tree, dict):
        raise error(f"expected a JSON object, found {type(tree).__name__}", file=path, remedy=remedy)
    return tree


def read_or_none(path: Path, *, most: int = SMALL) -> Any:
    """The value in a JSON file, or None where the file is missing or damaged.

    Raises:
        CheckpointError: a folder, a pipe or a device is in its place.
    """
    try:
        return decode(_text(path, most)) if is_there(path, CheckpointError) else None
    except (OSError, UnicodeDecodeError, Flaw):
        return None


def log_lines(path: Path) -> Iterator[str]:
    """The lines of a log, with their ends; empty where it is missing. Lines of more than 1 MB are skipped.

    Raises:
        CheckpointError: it cannot be read, is no file, or is larger than any log.
    """
    if not is_there(path, CheckpointError):
        return
    remedy = "move it away: a run goes on without it"
    try:
        with opened(path) as stream:
            if (there := os.fstat(stream.fileno()).st_size) > _LOG:
                raise CheckpointError(f"expected at most {_LOG:,} bytes, found {there:,}", file=path, remedy=remedy)
            begun = False  # whether the next piece is the rest of a line that is too long
            while line := stream.readline(_PIECE):
                ends = line.endswith(b"\n")
                if not begun and (ends or len(line) < _PIECE):
                    yield line.decode("utf-8", errors="replace")
                begun = not ends
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", file=path, remedy=remedy) from None


def decode(text: str, *, strict: bool = True, first: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        first: allow something after the value.
        strict: also refuse more than :data:`DEEP` levels of nesting, whole numbers of more than 64 bits, numbers that
            are not finite, and half surrogate pairs.

    Raises:
        Flaw: says what is wrong, and where.
    """
    try:
        tree = DECODER.raw_decode(text)[0] if first else DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Flaw(f"not valid JSON: {reason(error.msg)}", f"line {error.lineno}, column {error.colno}") from None
    except Twice as error:
        raise Flaw("this key occurs twice in an object", str(error)) from None
    except (ValueError, RecursionError) as error:
        place = _beyond(text, deep=isinstance(error, RecursionError))
        raise Flaw(f"not JSON that can be read: {limit(error)}", place) from None
    if strict:
        _check(tree)
    return tree


def readable(tree: Any, *, indent: int | None = None) -> str:
    """JSON of plain values in characters as they are, but for those that a terminal may take for a command, and half
    ones (of the name of a file that is not UTF-8)."""
    return shown(json.dumps(tree, ensure_ascii=False, indent=indent), lambda mark: json.dumps(mark)[1:-1])


def reason(message: str) -> str:
    """A message of a JSON decoder without the place, which some of them announce."""
    return re.sub("( starting)? at$", "", message)


def limit(error: Exception) -> str:
    """What is wrong with a JSON text, from the error of its decoder."""
    if isinstance(error, Flaw):
        return error.problem
    if isinstance(error, Twice):
        return f"the key {str(error)[:60]!r} occurs twice in an object"
    if isinstance(error, RecursionError):
        return "lists or objects nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        if not error.doc[error.pos :].strip() and (opened := _unclosed(error.doc)) is not None:
            mark = error.doc[opened]
            return f"the {mark} at column {opened + 1} is not closed: write {_CLOSING[mark]} at its end"
        return f"{reason(error.msg)} at column {error.colno}"
    return "a number with thousands of digits" if "digits" in str(error) else str(error)


_CLOSING = {"{": "}", "[": "]"}
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')


def _unclosed(text: str) -> int | None:
    """Where the last bracket begins that a line of JSON does not close; None where all are closed."""
    opened: list[int] = []
    for found in _TEXT_OR_BRACKET.finditer(text):
        if found[0] in _CLOSING:
            opened.append(found.start())
        elif found[0] in _CLOSING.values() and opened:
            opened.pop()
    return opened[-1] if opened and "\n" not in text.strip() else None


def _text(path: Path, most: int) -> str:
    """A file's text, with or without a byte order mark; raises OSError, UnicodeDecodeError or Flaw."""
    parts: list[bytes] = []
    size = 0
    with opened(path) as stream:
        if (there := os.fstat(stream.fileno()).st_size) > most:
            raise Flaw(f"expected at most {most:,} bytes, found {there:,}")
        while piece := stream.read(_PIECE):
            if (at := piece.find(b"\0")) >= 0 and not (size == 0 and at < 4):  # UTF-16 has its own message
                raise Flaw("not text: it contains NUL", f"byte {size + at + 1}")
            size += len(piece)
            if size > most:
                raise Flaw(f"expected at most {most:,} bytes, found more")
            parts.append(piece)
    return b"".join(parts).decode("utf-8-sig")


def _beyond(text: str, *, deep: bool) -> str | None:
    """Line and column of what is nested too deeply, or of the number that is too long."""
    depth, at = 0, None
    for found in (_MARK if deep else _DIGITS).finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > DEEP or not deep:
            at = found.start()
            break
    if at is None:
        return None
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _check(tree: Any) -> None:
    """Raise Flaw for values that :func:`decode` refuses if strict."""
    # (value, its place as (place of its container, its key), depth); not recursive, since the tree may be deep
    waiting: list[tuple[Any, Any, int]] = [(tree, None, 0)]
    while waiting:
        value, place, depth = waiting.pop()
        if isinstance(value, dict | list):
            if depth >= DEEP:
                raise Flaw("not JSON that can be read: lists or objects nested too deeply", _place(place))
            if isinstance(value, dict):
                for key, item in value.items():
                    _check_plain(key, (place, key))
                    waiting.append((item, (place, key), depth + 1))
            else:
                waiting.extend((item, (place, number), depth + 1) for number, item in enumerate(value))
        else:
            _check_plain(value, place)


def _check_plain(value: Any, place: Any) -> None:
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Flaw("expected text, found half a character", _place(place)) from None
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Flaw(f"expected a finite number, found {value}", _place(place))
    elif isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
        raise Flaw("expected a whole number of 64 bits, found a longer one", _place(place))


def _place(place: Any) -> str | None:
    keys: list[str] = []
    while place is not None and len(keys) < DEEP:
        place, key = place
        keys.append(str(key)[:60])
    return ".".join(reversed(keys)) or None
