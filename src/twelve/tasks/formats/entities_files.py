"""Readers of Flickr30k Entities' files, equivalent to the official parser (BryanPlummer/flickr30k_entities).

``Sentences/<image>.txt`` has one sentence per line, with phrases marked by their entity and its types::

    [/EN#98372/clothing A red hat] beside [/EN#0/notvisual the way] and [/EN#153440/other/bodyparts a hand] .

``Annotations/<image>.xml`` has the entities' boxes; pixels count from 1, and boxes include their last pixel::

    <annotation><filename>278118254.jpg</filename><size><width>500</width><height>375</height><depth>3</depth></size>
    <object><name>98372</name><name>153440</name>
    <bndbox><xmin>104</xmin><ymin>181</ymin><xmax>204</xmax><ymax>319</ymax></bndbox></object>
    <object><name>7</name><scene>1</scene><nobndbox>0</nobndbox></object></annotation>
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from twelve.errors import DataError, MissingData
from twelve.formats.records import REMEDY, check_regular, unreadable
from twelve.types.examples import Box

_PHRASE = re.compile(r"\[/EN#(\d+)((?:/[^/\s\[\]]+)+) ([^\[\]]*[^\[\]\s])\]")
_MARK = "/EN#"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase: its text, its entity, the entity's types, and the index of its first word in the sentence."""

    text: str
    entity: str
    types: tuple[str, ...]
    first_word: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without markup, and its phrases in order."""

    text: str
    phrases: Sequence[Phrase]


@dataclass(frozen=True, slots=True)
class Annotation:
    """The entities of an image.

    Attributes:
        size: width, height and depth of the image.
        boxes: entity -> its boxes, with pixels from 0.
        scene: entities that are the whole scene. no_box: entities without a box.
    """

    size: tuple[int, int, int]
    boxes: Mapping[str, Sequence[Box]]
    scene: Sequence[str]
    no_box: Sequence[str]


def read_sentences(path: Path) -> list[Sentence]:
    """Read the sentences of an image, skipping empty lines.

    Raises:
        MissingData: the file does not exist.
        DataError: the file is unreadable, or a phrase's markup is incomplete.
    """
    lines = _text(path).split("\n")
    return [_sentence(line.strip(), path, number) for number, line in enumerate(lines, 1) if line.strip()]


def _sentence(line: str, path: Path, number: int) -> Sentence:
    plain, phrases, done = "", [], 0
    for match in _PHRASE.finditer(line):
        plain += line[done : match.start()]
        entity, types, text = match.groups()
        phrases.append(Phrase(text, entity, tuple(types[1:].split("/")), len(plain.split())))
        plain, done = plain + text, match.end()
    plain += line[done:]
    if _MARK in plain:
        at = plain.index(_MARK)
        raise DataError(
            f"expected a phrase [/EN#number/type words], found {plain[max(0, at - 1) : at + 40]!r}",
            file=path,
            record=f"line {number}",
            remedy=REMEDY,
        )
    return Sentence(" ".join(plain.split()), phrases)


def read_annotation(path: Path) -> Annotation:
    """Read the entities of an image.

    Raises:
        MissingData: the file does not exist.
        DataError: the file is unreadable, is not XML, declares a document type, or has missing or malformed elements.
    """
    tree = _tree(path)
    boxes: dict[str, list[Box]] = {}
    scene, no_box = [], []
    for place, thing in enumerate(tree.findall("object")):
        record = f"object {place}"
        names = [(name.text or "").strip() for name in thing.findall("name")]
        if not names or not all(names):
            raise DataError("an object must name its entities", file=path, record=record, remedy=REMEDY)
        drawn = thing.find("bndbox")
        if drawn is not None:
            box = _box(drawn, path, record)
            for name in names:
                boxes.setdefault(name, []).append(box)
            continue
        without, whole = (_number(thing, key, path, record) > 0 for key in ("nobndbox", "scene"))
        for name in names:
            no_box.extend([name] * without)
            scene.extend([name] * whole)
    size = tree.find("size")
    if size is None:
        raise DataError("<size> is missing", file=path, remedy=REMEDY)
    width, height, depth = (_number(size, key, path, "size") for key in ("width", "height", "depth"))
    return Annotation((width, height, depth), boxes, scene, no_box)


class _Plain(ElementTree.TreeBuilder):
    """Builds XML trees and rejects document types, whose entities could expand without bound or read other files."""

    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        raise _DeclaresError


class _DeclaresError(Exception):
    """The XML declares a document type."""


def _tree(path: Path) -> ElementTree.Element:
    # The official files declare no document type.
    try:
        return ElementTree.fromstring(_bytes(path), ElementTree.XMLParser(target=_Plain()))
    except _DeclaresError:
        raise DataError("expected XML without a document type", file=path, remedy=REMEDY) from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        line, column = getattr(error, "position", (None, None))
        place = None if line is None else f"line {line}, column {column}"
        raise DataError(f"not valid XML: {error}", file=path, record=place, remedy=REMEDY) from None


def _box(drawn: ElementTree.Element, path: Path, record: str) -> Box:
    """x1, y1, x2, y2, with pixels from 0 (from 1 in the file), as in the official parser."""
    x1, y1, x2, y2 = (_number(drawn, key, path, record) - 1 for key in _CORNERS)
    if x2 < x1 or y2 < y1:
        found = ", ".join(f"{key} {value + 1}" for key, value in zip(_CORNERS, (x1, y1, x2, y2), strict=True))
        raise DataError(
            f"expected xmin <= xmax and ymin <= ymax, found {found}", file=path, record=record, remedy=REMEDY
        )
    return float(x1), float(y1), float(x2), float(y2)


def _number(above: ElementTree.Element, key: str, path: Path, record: str) -> int:
    text = (above.findtext(key) or "").strip()
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        found = "nothing" if not text else repr(text[:40])
        raise DataError(f"<{key}> must be an integer, found {found}", file=path, record=record, remedy=REMEDY)
    return int(text)


def read_images(path: Path) -> list[str]:
    """Read the image ids of a split, one per line.

    Raises:
        DataError: the file is unreadable, an id is not a number, or one occurs twice.
    """
    found: dict[str, int] = {}
    for number, line in enumerate(_text(path).split("\n"), 1):
        key, record = line.strip(), f"line {number}"
        if not key:
            continue
        if not re.fullmatch(r"[0-9]{1,18}", key):
            raise DataError(
                f"expected an image id (a number), found {key[:40]!r}", file=path, record=record, remedy=REMEDY
            )
        if key in found:
            raise DataError(f"image {key} is already on line {found[key]}", file=path, record=record, remedy=REMEDY)
        found[key] = number
    return list(found)


def _bytes(path: Path) -> bytes:
    try:
        check_regular(path)
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingData(
            "no such file", file=path, remedy="unpack the release's folders Sentences and Annotations there"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(path, error) from None
