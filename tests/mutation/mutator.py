"""Sound files, damaged: every mutation of a file is made from a seed, and the same seed makes the same bytes.

A file is damaged in its values (:func:`of_tree`: one value of a JSON or pickled tree becomes another one) or in its
bytes (:func:`of_bytes`: cut, flipped, in another encoding). What a reader may make of it depends: after a
``strict`` one it refuses the file or reads exactly what it read before; after any other it may read something else.
"""

from __future__ import annotations

import copy
import gzip
import json
import pickle
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import bombs

DEEP = 500
"""Nesting that JSON's reader still follows."""
_RAW = re.compile('"\ue000(.*?)\ue001"')
_AGAIN = "\ue002"


@dataclass(frozen=True)
class Mutation:
    """A damaged file.

    Attributes:
        name: what was done to it, for people: ``$.questions[].image_id: null``.
        content: its bytes.
        strict: nothing but a refusal or what the sound file says is right.
        inner: the damage is to one record, which a refusal must name.
    """

    name: str
    content: bytes
    strict: bool = False
    inner: bool = False


def raw(text: str) -> str:
    """A string that is written into JSON as it stands, without quotes."""
    return f"\ue000{text}\ue001"


def dump(tree: Any) -> str:
    """JSON of a tree with raw parts and with keys that occur twice."""
    return _RAW.sub(lambda found: found[1], json.dumps(tree, ensure_ascii=False)).replace(_AGAIN, "")


def write_json(tree: Any) -> bytes:
    """Halves of surrogate pairs can only be written as escapes."""
    return dump(tree).replace("\ud800", "\\ud800").encode()


def write_lines(tree: Any) -> bytes:
    rows = tree if isinstance(tree, list) else [tree]
    return b"".join(write_json(row) + b"\n" for row in rows)


def write_packed(tree: Any) -> bytes:
    return gzip.compress(write_lines(tree), mtime=0)


def write_pickle(tree: Any) -> bytes:
    """A pickle as Python 2 wrote them."""
    return pickle.dumps(tree, protocol=0)


# --- values ---------------------------------------------------------------------------------------------------------

_WRONG: list[tuple[str, Any]] = [
    ("null", None),
    ("true", True),
    ("number as text", "1e3"),
    ("number", 7),
    ("fraction", 7.5),
    ("NaN", float("nan")),
    ("Infinity", float("inf")),
    ("-Infinity", float("-inf")),
    ("1e30", 1e30),
    ("30 digits", 10**30),
    ("300 digits", -(10**320)),
    ("list", []),
    ("list of lists", [[]]),
    ("object", {}),
    ("object of text", {"a": "b"}),
    ("text", "a"),
    ("half of a pair", "a\ud800b"),
    ("NUL", "a\0b"),
]
_JSON_ONLY: list[tuple[str, Any]] = [
    ("1e400", raw("1e400")),
    ("10,000 digits", raw("9" * 10_000)),
    ("deep list", raw("[" * DEEP + "]" * DEEP)),
    ("deep object", raw('{"a":' * DEEP + "1" + "}" * DEEP)),
    ("bottomless list", raw("[" * 50_000 + "]" * 50_000)),
]
_PICKLE_ONLY: list[tuple[str, Any]] = [
    ("bytes", b"abc"),
    ("set", {1}),
    ("tuple", (1, 2)),
    ("complex", 1j),
    ("40,000 bits", 1 << 40_000),
    ("deep list", bombs.nested(DEEP)),
    ("list of itself", bombs.circular()),
    ("shared lists", bombs.shared(40)),
]
_ALWAYS = ("1e30", "30 digits", "300 digits", "half of a pair", "NUL")
"""Wrong wherever a number or text is looked at, even of the right type."""


def _kind(value: Any) -> str:
    return type(value).__name__


def _wrong(value: Any, packed: bool) -> Iterator[tuple[str, Any, bool]]:
    """(name, new value, strict) of values of another type, or such that no type can be."""
    for name, new in _WRONG + (_PICKLE_ONLY if packed else _JSON_ONLY):
        other = _kind(new) != _kind(value) or (isinstance(new, str) and new.startswith("\ue000"))
        yield name, new, other or name in _ALWAYS
    yield "within a list", [value], True
    yield "within an object", {"a": value}, True


def _other(value: Any) -> Iterator[tuple[str, Any, bool]]:
    """(name, new value, strict) of other values of the same type."""
    if isinstance(value, bool):
        yield "the opposite", not value, False
    elif isinstance(value, int | float):
        for name, new in (("-1", -1), ("0", 0), ("negative", -value - 1), ("twelve digits", 10**12), ("ten", 10)):
            yield name, type(value)(new), False
        yield "as text", str(value), True
        yield "as a float", float(value) if isinstance(value, int) else value + 0.25, isinstance(value, int)
    elif isinstance(value, str):
        news = ("", " ", "x" * 100_000, "../../etc/passwd", "/", value + value, "-1", "\u0661", "\u202e\x1b[2J", "a-b")
        yield from ((f"text {new[:16]!a}", new, False) for new in news)
    elif isinstance(value, list) and value:
        yield "shortened", value[:-1], False
        yield "reversed", value[::-1], False
        yield "last one twice", [*value, copy.deepcopy(value[-1])], True
        yield "null among them", [*value, None], True
        yield "true among them", [True, *value[1:]], True
    elif isinstance(value, dict) and value:
        yield "unknown field", {**value, "zz_unknown": 1}, True


def _places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, tree
    members = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in members:
        yield from _places(value, (*path, key))


def pattern(path: tuple[Any, ...]) -> str:
    """A path without its numbers: ``$.questions[].image_id``; ids that are keys become ``{}``."""
    parts = ["[]" if isinstance(part, int) else "{}" if re.search(r"\d", part) else f".{part}" for part in path]
    return "$" + "".join(parts)


_GONE = object()


def _changed(tree: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    whole = copy.deepcopy(tree)
    parent = whole
    for part in path[:-1]:
        parent = parent[part]
    if new is _GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return whole


def _twice(tree: Any, path: tuple[Any, ...]) -> Any:
    """The object at a path with its first key twice, the second time with another value."""
    *_, parent = (value for place, value in _places(tree) if place == path)
    key, value = next(iter(parent.items()))
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else None
    other = f"{value}x" if isinstance(value, str) else type(value)() if isinstance(value, list | dict) else other
    return _changed(tree, path, {**parent, f"{key}{_AGAIN}": other})


def of_tree(
    tree: Any, write: Callable[[Any], bytes], rng: random.Random, count: int, *, packed: bool = False
) -> list[Mutation]:
    """``count`` mutations of a tree's values (fewer, if there are no more), spread over all of its fields.

    Args:
        write: the file's format.
        packed: it is a pickle's.
    """
    by_pattern: dict[str, list[tuple[Any, ...]]] = {}
    for path, _ in _places(tree):
        by_pattern.setdefault(pattern(path), []).append(path)
    lanes = []
    for name, paths in by_pattern.items():
        lane: list[tuple[str, tuple[Any, ...], Any, bool]] = []
        for path in rng.sample(paths, min(3, len(paths))):
            (value,) = (value for place, value in _places(tree) if place == path)
            changes = [*_wrong(value, packed), *_other(value)]
            lane += [(f"{name}: {what}", path, new, strict) for what, new, strict in changes]
            if path and isinstance(path[-1], str):
                lane.append((f"{name}: absent", path, _GONE, not name.endswith("{}")))  # a record may be left out
            if isinstance(value, dict) and value and not packed:
                lane.append((f"{name}: a key twice", path, _AGAIN, True))
        rng.shuffle(lane)
        lane.sort(key=lambda change: change[0].endswith(("a key twice", ": NaN")))  # the last ones come first
        lanes.append(lane)
    found: dict[str, Mutation] = {}
    while len(found) < count and any(lanes):
        for lane in lanes:
            if not lane or len(found) >= count:
                continue
            name, path, new, strict = lane.pop()
            if name not in found:
                whole = _twice(tree, path) if new is _AGAIN and name.endswith("twice") else _changed(tree, path, new)
                try:
                    content = write(whole)
                except (RecursionError, ValueError):  # Python's own pickler goes less far than its reader
                    continue
                found[name] = Mutation(name, content, strict, len(path) >= 2)
    return list(found.values())


# --- bytes ----------------------------------------------------------------------------------------------------------


def of_bytes(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """``count`` mutations of a file of text, whatever it holds."""
    fixed = list(_encodings(content)) + list(_shapes(content))
    return fixed + drawn(content, rng, count - len(fixed))


def of_binary(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """``count`` mutations of a file that is no text."""
    fixed = list(_shapes(content))
    return fixed + drawn(content, rng, count - len(fixed))


def _encodings(content: bytes) -> Iterator[Mutation]:
    text, half = content.decode(), len(content) // 2
    yield Mutation("begins with a byte order mark", b"\xef\xbb\xbf" + content, strict=True)
    yield Mutation("two byte order marks", b"\xef\xbb\xbf" * 2 + content)
    yield Mutation("lines end as on Windows", content.replace(b"\n", b"\r\n"), strict=True)
    for name in ("utf-16", "utf-16-le", "utf-32"):
        yield Mutation(f"in {name}", text.encode(name))
    yield Mutation("a Latin-1 letter", content[:half] + b"\xe9" + content[half:])
    yield Mutation("a Latin-1 letter at the end", content + b"\xe9")
    yield Mutation("NUL in the middle", content[:half] + b"\0" + content[half:])
    yield Mutation("NULs at the end, as after a crash", content + b"\0" * 4096)
    yield Mutation("NULs alone", b"\0" * 4096)
    yield Mutation("half of a surrogate pair", content[:half] + b"\xed\xa0\x80" + content[half:])


def _shapes(content: bytes) -> Iterator[Mutation]:
    yield Mutation("empty", b"")
    yield Mutation("white space", b" \n\t\n ")
    yield Mutation("a byte order mark alone", b"\xef\xbb\xbf")
    yield Mutation("first half", content[: len(content) // 2])
    yield Mutation("last byte missing", content.rstrip()[:-1])
    yield Mutation("twice", content + content)
    yield Mutation("something follows", content + b"x")
    for text in (b"null", b"0", b"NaN", b'""', b"[]", b"{}", b"[[]]", b"[{}]", b'{"a": {}}', b"true", b"a,b\n"):
        yield Mutation(f"nothing but {text.decode().strip()}", text)
    yield Mutation("nothing but brackets", b"[" * 100_000)
    yield Mutation("nothing but objects", b'{"a":' * 100_000)
    yield Mutation("deep and complete", b"[" * 100_000 + b"]" * 100_000)
    yield Mutation("a number of 10,000 digits", b"9" * 10_000)
    yield Mutation("a string without end", b'"' + b"x" * 100_000)
    yield Mutation("a line of a million letters", b"x" * 1_000_000)


def drawn(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """``count`` mutations of any file's bytes."""
    return [_drawn(content, rng, number) for number in range(count)]


def _drawn(content: bytes, rng: random.Random, number: int) -> Mutation:
    """A mutation that the seed alone decides."""
    at, length = rng.randrange(max(1, len(content))), rng.randrange(1, 40)
    kind = number % 5
    if kind == 0:
        return Mutation(f"cut at byte {at}", content[:at])
    if kind == 1:
        return Mutation(f"bytes {at}-{at + length} missing", content[:at] + content[at + length :])
    if kind == 2:
        return Mutation(f"bytes {at}-{at + length} twice", content[: at + length] + content[at:])
    if kind == 3:
        return Mutation(f"random bytes at {at}", content[:at] + rng.randbytes(length) + content[at + length :])
    bit = 1 << rng.randrange(8)
    return Mutation(f"bit {bit} of byte {at} flipped", content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])


def of_packed_bytes(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """``count`` mutations of a file that is packed with gzip: of its bytes, and of the text in it."""
    inner = of_bytes(gzip.decompress(content), rng, count // 2)
    found = [Mutation(f"packed: {m.name}", gzip.compress(m.content, mtime=0), m.strict, m.inner) for m in inner]
    found += [
        Mutation("not packed at all", gzip.decompress(content)),
        Mutation("packed twice", gzip.compress(content, mtime=0)),
        Mutation("in two parts", content + content),
        Mutation("NULs follow", content + b"\0" * 100, strict=True),
        Mutation("something follows", content + b"x" * 100),
        Mutation("empty", b""),
        Mutation("nothing packed", gzip.compress(b"", mtime=0)),
        *(Mutation(f"unpacks to {name}", bomb) for name, bomb in bombs.packed()),
    ]
    return found + drawn(content, rng, count - len(found))


def of_pickle_bytes(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """``count`` mutations of a pickle: of its bytes, in other protocols, and programs in its place."""
    tree = pickle.loads(content)
    found = [Mutation(f"protocol {number}", pickle.dumps(tree, number), strict=True) for number in range(6)]
    found += [Mutation("empty", b""), Mutation("something follows", content + b"."), Mutation("twice", content * 2)]
    found += [Mutation(f"nothing but {value!r}", pickle.dumps(value)) for value in (None, 1, "a", [], {}, [[]], [{}])]
    found += [Mutation(f"a pickle of {name}", bomb) for name, bomb in bombs.pickles()]
    return found + drawn(content, rng, count - len(found))
