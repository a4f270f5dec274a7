"""Phrases about scenes: from slots to sentences and back.

A wording is a sentence with slots (``"{a_thing} {relation} {a_thing2}"``). It converts slots to text, and the text
back to the same slots. Meaning is computed from what was read (meaning.py), so a dataset's oracle understands a
sentence as a reader does, not by the thing that it was made from.

    slot                        text                            fills
    {thing} {a_thing} {things}  red ball, a red ball, red balls thing
    {adjective}                 red | striped | small           adjective
    {colour} {size} {pattern}   red, small, striped             colour, size, pattern
    {relation} {inverse} {also} left of                         relation, inverse, also
    {side} {where}              left, on the left               side
    {level} {height}            top, at the top                 level
    {number} {ordinal}          two, second                     number, ordinal
    {extreme} {ground} {hidden} leftmost, sand, borrowed        extreme, ground, hidden

A number after a slot's name ({a_thing2}) distinguishes slots of one kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from twelve.microworld.relations import RELATIONS, has
from twelve.microworld.scene import COLOURS, GROUNDS, KINDS, PATTERNS, SIZES, Thing

Item = TypeVar("Item")
Meaning = TypeVar("Meaning")
Slots: TypeAlias = Mapping[str, Any]
"""Slot -> its value: a Description (thing, adjective), an int (number, ordinal) or a word."""

ANYTHING = "thing"
NOUNS: Mapping[str, tuple[str, str]] = {
    **{kind: (kind, f"{kind}s") for kind in KINDS},
    "toy": ("toy", "toys"),
    "vehicle": ("vehicle", "vehicles"),
    "kitchenware": ("piece of kitchenware", "pieces of kitchenware"),
    "furniture": ("piece of furniture", "pieces of furniture"),
    "household": ("household item", "household items"),
    ANYTHING: ("thing", "things"),
}
"""Kind, family of kinds, or anything -> (singular, plural)."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
ORDINALS = ("first", "second", "third", "fourth")
EXTREMES = {"leftmost": "left of", "rightmost": "right of", "highest": "above", "lowest": "below"}
"""Superlative -> relation of its referent to all others of its sort."""
WHERE = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
HEIGHT = {"top": "at the top", "bottom": "at the bottom"}
HIDDEN = ("new", "cheap", "heavy", "borrowed", "handmade", "hollow", "fragile", "valuable")
"""Qualities that images of this world cannot show."""

Style: TypeAlias = Mapping[str, str]
"""The world's word -> the word used instead."""
PLAIN: Style = {}
LIVELY: Style = {
    "small": "tiny",
    "large": "big",
    "dotted": "spotted",
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "higher up than",
    "below": "lower down than",
    "in front of": "partly covering",
    "behind": "partly covered by",
}
_OWN = {said: own for own, said in LIVELY.items()}


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """Choose one item uniformly at random."""
    return items[int(rng.integers(len(items)))]


@dataclass(frozen=True, slots=True)
class Description:
    """The conditions of a noun phrase on a thing; None is no condition. ``noun`` is a key of NOUNS."""

    noun: str = ANYTHING
    colour: str | None = None
    size: str | None = None
    pattern: str | None = None

    def fits(self, thing: Thing) -> bool:
        """Whether the phrase applies to the thing."""
        kind = self.noun if self.noun in KINDS else None
        family = self.noun if kind is None and self.noun != ANYTHING else None
        return has(thing, kind=kind, family=family, colour=self.colour, size=self.size, pattern=self.pattern)

    @property
    def adjectives(self) -> tuple[str, ...]:
        return tuple(word for word in (self.size, self.colour, self.pattern) if word is not None)

    def said(self, *, plural: bool = False, style: Style = PLAIN) -> str:
        """The phrase, e.g. "small red striped ball", or its plural."""
        return " ".join([*(style.get(word, word) for word in self.adjectives), NOUNS[self.noun][plural]])


def article(phrase: str) -> str:
    """Prefix the phrase with "a" or "an"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def adjective(word: str) -> Description:
    """The description of a single adjective."""
    for name, words in (("colour", COLOURS), ("size", SIZES), ("pattern", PATTERNS)):
        if word in words:
            return Description(**{name: word})
    raise ValueError(f"{word!r} is not an adjective of this world")


def _any(words: Iterable[str]) -> str:
    """Pattern for any of the words in any style, longest first."""
    words = [*words]
    words += [said for said, own in _OWN.items() if own in words]
    return "(?:" + "|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word)))) + ")"


_ADJECTIVES = rf"(?:{_any(SIZES)} )?(?:{_any(COLOURS)} )?(?:{_any(PATTERNS)} )?"
_SINGULAR = {singular: noun for noun, (singular, _) in NOUNS.items()}
_PLURAL = {plural: noun for noun, (_, plural) in NOUNS.items()}


def _read_phrase(text: str) -> Description:
    """Parse a noun phrase, with or without article, singular or plural."""
    words = re.sub(r"^an? ", "", text)
    for ending, noun in (_SINGULAR | _PLURAL).items():
        if words == ending or words.endswith(f" {ending}"):
            found: dict[str, str] = {}
            for word in words[: len(words) - len(ending)].split():
                own = _OWN.get(word, word)
                found["colour" if own in COLOURS else "size" if own in SIZES else "pattern"] = own
            return Description(noun, **found)
    raise ValueError(f"{text!r} is not a phrase of this world")


@dataclass(frozen=True, slots=True)
class _Slot:
    """A kind of slot: its key, the pattern of its text, and how to write and read it."""

    key: str
    pattern: str
    say: Callable[[Any, Style], str]
    read: Callable[[str], Any]


def _words(key: str, words: Iterable[str]) -> _Slot:
    return _Slot(key, _any(words), lambda value, style: style.get(value, value), lambda text: _OWN.get(text, text))


def _table(key: str, said: Mapping[str, str]) -> _Slot:
    back = {text: own for own, text in said.items()}
    return _Slot(key, _any(back), lambda value, style: said[value], lambda text: back[text])


def _count(key: str, words: Sequence[str], first: int) -> _Slot:
    return _Slot(key, _any(words), lambda value, style: words[value - first], lambda text: words.index(text) + first)


_ONE = rf"{_ADJECTIVES}{_any(_SINGULAR)}"
_SLOTS: Mapping[str, _Slot] = {
    "thing": _Slot("thing", _ONE, lambda value, style: value.said(style=style), _read_phrase),
    "a_thing": _Slot("thing", f"an? {_ONE}", lambda value, style: article(value.said(style=style)), _read_phrase),
    "things": _Slot(
        "thing",
        rf"{_ADJECTIVES}{_any([*_PLURAL, *_SINGULAR])}",
        lambda value, style: value.said(plural=True, style=style),
        _read_phrase,
    ),
    "missing": _Slot("missing", _ONE, lambda value, style: value.said(style=style), _read_phrase),
    "adjective": _Slot(
        "adjective",
        _any([*COLOURS, *SIZES, *PATTERNS]),
        lambda value, style: style.get(value.adjectives[0], value.adjectives[0]),
        lambda text: adjective(_OWN.get(text, text)),
    ),
    "colour": _words("colour", COLOURS),
    "size": _words("size", SIZES),
    "pattern": _words("pattern", PATTERNS),
    "relation": _words("relation", RELATIONS),
    "inverse": _words("inverse", RELATIONS),
    "also": _words("also", RELATIONS),
    "unrelated": _words("unrelated", RELATIONS),
    "side": _words("side", WHERE),
    "where": _table("side", WHERE),
    "level": _words("level", HEIGHT),
    "height": _table("level", HEIGHT),
    "number": _count("number", NUMBERS, 0),
    "ordinal": _count("ordinal", ORDINALS, 1),
    "extreme": _words("extreme", EXTREMES),
    "ground": _words("ground", GROUNDS),
    "hidden": _words("hidden", HIDDEN),
}
_NAME = re.compile(r"\{([a-z_]+)(\d?)\}")


@dataclass(frozen=True)
class Wording(Generic[Meaning]):
    """A sentence with slots and its meaning.

    Attributes:
        text: lower-case text with slots in braces.
        meaning: the writer's interpretation of (scene, slots).
        only_test: reserved for the test sets.
        weight: relative frequency among the dataset's wordings.
        style: the vocabulary of the text.
    """

    text: str
    meaning: Meaning
    only_test: bool = False
    weight: float = 1.0
    style: Style = field(default_factory=dict)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Keys of the required slots."""
        return frozenset(_SLOTS[name].key + number for name, number in _NAME.findall(self.text))

    @cached_property
    def slots(self) -> frozenset[str]:
        """Kinds of its slots, as the text has them."""
        return frozenset(name for name, _ in _NAME.findall(self.text))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts, end = [], 0
        for match in _NAME.finditer(self.text):
            parts += [re.escape(self.text[end : match.start()]), f"({_SLOTS[match.group(1)].pattern})"]
            end = match.end()
        return re.compile("".join(parts) + re.escape(self.text[end:]), re.IGNORECASE)

    def say(self, slots: Slots) -> str:
        """Fill the slots. A noun after the number one is singular."""

        def fill(match: re.Match[str]) -> str:
            name, number = match.groups()
            if name == "things" and slots.get(f"number{number}") == 1:
                name = "thing"
            slot = _SLOTS[name]
            return slot.say(slots[slot.key + number], self.style)

        return _NAME.sub(fill, self.text)

    def read(self, sentence: str) -> Slots | None:
        """Slots of a sentence in this wording, ignoring case; None if it has another wording."""
        match = self._pattern.fullmatch(sentence)
        if match is None:
            return None
        found: dict[str, Any] = {}
        for (name, number), text in zip(_NAME.findall(self.text), match.groups(), strict=True):
            found[_SLOTS[name].key + number] = _SLOTS[name].read(text.lower())
        return found


def read(wordings: Iterable[Wording[Meaning]], sentence: str) -> tuple[Wording[Meaning], Slots]:
    """The wording and slots of a sentence; raises ValueError if it matches no wording."""
    for wording in wordings:
        slots = wording.read(sentence)
        if slots is not None:
            return wording, slots
    raise ValueError(f"{sentence!r} matches no wording")


def choose(rng: np.random.Generator, wordings: Sequence[Wording[Meaning]], *, test: bool = False) -> Wording[Meaning]:
    """Choose a wording at random by weight, from those for training or from all (``test``)."""
    open_to = [wording for wording in wordings if test or not wording.only_test]
    weights = np.array([wording.weight for wording in open_to])
    return open_to[int(rng.choice(len(open_to), p=weights / weights.sum()))]


def sentence(text: str) -> str:
    """Capitalize the first letter."""
    return text[:1].upper() + text[1:]
