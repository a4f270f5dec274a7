"""Generators of facts to ask about a scene, in random order and with answers.

Phrases are unambiguous: "the car" is used if there is exactly one. Wrong alternatives (a colour that the car does not
have, an absent thing) are sampled like the right ones, so that words alone reveal nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from random import Random

from twelve.microworld.language import ANYTHING, NOUNS, Description
from twelve.microworld.meaning import fitting
from twelve.microworld.programs import GROUND, Program, Step, Undefined, answer, join, relate, select, then, value_of
from twelve.microworld.questions import Fact, Facts, Slots
from twelve.microworld.relations import RELATIONS, has, place, related
from twelve.microworld.scene import COLOURS, GROUNDS, KINDS, PATTERNS, SIZES, Thing, WorldScene

VALUES: Mapping[str, Sequence[str]] = {
    "name": tuple(KINDS),
    "category": tuple(dict.fromkeys(family for family, _ in KINDS.values())),
    "color": tuple(COLOURS),
    "size": tuple(SIZES),
    "pattern": PATTERNS,
    "hposition": ("left", "middle", "right"),
    "vposition": ("top", "bottom"),
}
"""GQA's name of an attribute -> its values."""

OPPOSITE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "in front of": "behind",
    "behind": "in front of",
}
_FIELDS = {"color": "colour", "size": "size", "pattern": "pattern"}
_SETS = [names for count in range(3) for names in combinations(_FIELDS.values(), count)]
MOST_COUNTED = 6
"""Larger counts are too rare to learn."""
_REDUNDANT = 0.25
"""How often a phrase names one attribute more than necessary."""


def refer(
    scene: WorldScene, thing: Thing, random: Random, hide: str = "", among: Sequence[Thing] | None = None
) -> Description | None:
    """A description that fits only this thing (of ``among``), of minimal length or slightly longer.

    Args:
        hide: attribute, under GQA's name, that it must not reveal.
    """
    noun = ANYTHING if hide in ("name", "category") else thing.kind
    others = [other for other in (scene.things if among is None else among) if other is not thing]
    if noun != ANYTHING:
        others = [other for other in others if has(other, kind=noun)]
    longer = 1 if random.random() < _REDUNDANT else 0
    found: list[Description] = []
    for names in _SETS:
        if _FIELDS.get(hide) in names or (noun == ANYTHING and not names):
            continue
        if found and len(names) > len(found[0].adjectives):
            if not longer:
                break
            longer, found = 0, []
        values = {name: getattr(thing, name) for name in names}
        if not any(has(other, **values) for other in others):
            found.append(Description(noun, **values))
    return random.choice(found) if found else None


def _shuffled(things: Sequence[Thing], random: Random) -> list[Thing]:
    return random.sample(things, len(things))


def _known(scene: WorldScene, thing: Thing, attribute: str) -> str | None:
    try:
        return value_of(scene, thing, attribute)
    except Undefined:
        return None


def attribute(name: str) -> Facts:
    """An attribute of a thing, such as colour, kind or place. Slots: thing."""

    def facts(scene: WorldScene, random: Random) -> Iterator[Fact]:
        for thing in _shuffled(scene.things, random):
            value, said = _known(scene, thing, name), refer(scene, thing, random, name)
            if value is not None and said is not None:
                yield Fact({"thing": said}, then(select(said), "query", name), value)

    return facts


def verify(name: str) -> Facts:
    """Whether a thing has an attribute value. Slots: thing, value."""

    def facts(scene: WorldScene, random: Random) -> Iterator[Fact]:
        for thing in _shuffled(scene.things, random):
            value, said = _known(scene, thing, name), refer(scene, thing, random, name)
            if value is None or said is None:
                continue
            wrong = random.choice([other for other in VALUES[name] if other != value])
            for asked in random.sample((value, wrong), 2):
                program = then(select(said), f"verify {name}", asked)
                yield Fact({"thing": said, "value": asked}, program, "yes" if asked == value else "no")

    return facts


def choose(name: str) -> Facts:
    """Which of two values a thing has. Slots: thing, one, two."""

    def facts(scene: WorldScene, random: Random) -> Iterator[Fact]:
        for thing in _shuffled(scene.things, random):
            value, said = _known(scene, thing, name), refer(scene, thing, random, name)
            if value is not None and said is not None:
                wrong = random.choice([other for other in VALUES[name] if other != value])
                one, two = random.sample((value, wrong), 2)
                program = then(select(said), f"choose {name}", f"{one}|{two}")
                yield Fact({"thing": said, "one": one, "two": two}, program, value)

    return facts


def _some(scene: WorldScene, random: Random) -> Iterator[Description]:
    """Descriptions with one or two attributes, of things that are present, nearly present or absent."""
    while True:
        thing = random.choice(scene.things)
        values = {"noun": thing.kind, **{name: getattr(thing, name) for name in _FIELDS.values()}}
        change = random.randrange(4)
        if change == 0:
            values |= {"noun": random.choice(VALUES["name"]), "colour": random.choice(VALUES["color"])}
        elif change == 1:
            name = random.choice(("noun", *_FIELDS))
            values[_FIELDS.get(name, name)] = random.choice(VALUES["name" if name == "noun" else name])
        named = random.choice(_SETS[:4])
        if not named and random.random() < 0.15:
            values["noun"] = random.choice([noun for noun in NOUNS if noun not in KINDS and noun != ANYTHING])
        yield Description(values["noun"], **{name: values[name] for name in named})


def sort_of(description: Description) -> str:
    """The attributes that a description names, e.g. "family", "kind" or "colour kind"."""
    kind = "kind" if description.noun in KINDS else "thing" if description.noun == ANYTHING else "family"
    named = [name for name in _FIELDS.values() if getattr(description, name) is not None]
    return " ".join([*named, kind])


def exist(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """Whether a thing exists. Slots: thing."""
    for said in _some(scene, random):
        program = then(select(said), "exist", "?")
        yield Fact({"thing": said}, program, answer(program, scene), sort_of(said))


def exist_two(operation: str) -> Facts:
    """Whether both ("and") or either ("or") of two things exist. Slots: thing, thing2."""

    def facts(scene: WorldScene, random: Random) -> Iterator[Fact]:
        descriptions = _some(scene, random)
        while True:
            one, two = next(descriptions), next(descriptions)
            if one.noun != two.noun:
                first, second = (then(select(said), "exist", "?") for said in (one, two))
                program = join(first, second, operation)
                yield Fact({"thing": one, "thing2": two}, program, answer(program, scene))

    return facts


def count(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """How many things there are. Slots: thing (in the plural)."""
    while True:
        thing = random.choice(scene.things)
        noun, colour, size, pattern = thing.kind, random.choice(VALUES["color"]), thing.size, random.choice(PATTERNS)
        if random.random() < 0.5:
            noun, colour = random.choice(VALUES["name"]), thing.colour
        family = random.choice([noun for noun in NOUNS if noun not in KINDS and noun != ANYTHING])
        said = random.choice(
            (
                Description(noun),
                Description(noun),
                Description(family),
                Description(colour=colour),
                Description(size=size),
                Description(pattern=pattern),
            )
        )
        program = then(select(said), "count")
        number = answer(program, scene)
        if int(number) <= MOST_COUNTED:
            yield Fact({"thing": said}, program, number, sort_of(said))


def more(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """Whether there are more of one sort than of another (never equally many). Slots: thing, thing2."""
    while True:
        name = random.choice(("noun", "color", "size", "pattern"))
        values = [getattr(thing, _FIELDS.get(name, "kind")) for thing in scene.things]
        first = random.choice(values)
        second = random.choice([value for value in VALUES["name" if name == "noun" else name] if value != first])
        one, two = (Description(**{_FIELDS.get(name, name): value}) for value in random.sample((first, second), 2))
        if len(fitting(scene, one)) != len(fitting(scene, two)):
            program = join(select(one), select(two), "more")
            yield Fact({"thing": one, "thing2": two}, program, answer(program, scene), name)


def _pairs(
    scene: WorldScene, random: Random, hide: str = ""
) -> Iterator[tuple[Thing, Thing, Description, Description]]:
    """Pairs of things with unambiguous phrases."""
    for _ in range(12):
        one, two = random.sample(scene.things, 2)
        said, said2 = refer(scene, one, random, hide), refer(scene, two, random, hide)
        if said is not None and said2 is not None:
            yield one, two, said, said2


def relation(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """Whether a relation or its opposite holds between two things. Slots: thing, relation, thing2."""
    for one, two, said, said2 in _pairs(scene, random):
        name = random.choice(("in front of", "behind") if random.random() < 0.2 else tuple(OPPOSITE)[:4])
        holds = RELATIONS[name](scene, one, two)
        if holds or RELATIONS[OPPOSITE[name]](scene, one, two):
            program = join(select(said), select(said2), "verify rel", f"{said2.noun},{name},o")
            slots: Slots = {"thing": said, "relation": name, "thing2": said2}
            yield Fact(slots, program, "yes" if holds else "no", name)


def choose_relation(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """On which side of another thing a thing lies. Slots: thing, one, two (relations), thing2."""
    for first, second, said, said2 in _pairs(scene, random):
        one, two = random.sample(random.choice((("left of", "right of"), ("above", "below"))), 2)
        program = join(select(said), select(said2), "choose rel", f"{said2.noun},{one}|{two},s")
        if RELATIONS[one](scene, first, second) or RELATIONS[two](scene, first, second):
            slots: Slots = {"thing": said, "one": one.removesuffix(" of"), "two": two, "thing2": said2}
            yield Fact(slots, program, answer(program, scene))


def related_attribute(name: str) -> Facts:
    """An attribute of the thing in a relation to another. Slots: hint, relation, thing.

    ``hint`` describes the queried thing as far as necessary ("thing", "red thing", "car").
    """

    def facts(scene: WorldScene, random: Random) -> Iterator[Fact]:
        for thing in _shuffled(scene.things, random):
            to = refer(scene, thing, random)
            for relation_name in random.sample(tuple(RELATIONS), len(RELATIONS)):
                there = related(scene, relation_name, thing)
                if to is None or not there or len(there) > 3:
                    continue
                target = random.choice(there)
                hint = _hint(scene, target, random, name, there)
                if hint is not None and hint.noun != to.noun:
                    program = then(relate(select(to), relation_name, hint), "query", name)
                    yield Fact({"hint": hint, "relation": relation_name, "thing": to}, program, answer(program, scene))

    return facts


def _hint(scene: WorldScene, thing: Thing, random: Random, name: str, among: Sequence[Thing]) -> Description | None:
    if len(among) == 1 and random.random() < 0.5:
        return Description()
    return refer(scene, thing, random, name, among)


def same(name: str, operation: str = "same") -> Facts:
    """Whether two things have the same (or different) attribute values. Slots: thing, thing2."""

    def facts(scene: WorldScene, random: Random) -> Iterator[Fact]:
        for _, _, said, said2 in _pairs(scene, random, name):
            program = join(select(said), select(said2), f"{operation} {name}")
            yield Fact({"thing": said, "thing2": said2}, program, answer(program, scene))

    return facts


def larger(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """Which of two things is larger. Slots: thing, thing2."""
    for one, two, said, said2 in _pairs(scene, random, "size"):
        if one.size != two.size and one.kind != two.kind:
            program = join(select(said), select(said2), "choose larger")
            yield Fact({"thing": said, "thing2": said2}, program, answer(program, scene))


def at_place(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """The kind of the only (red, striped, ...) thing in a third of the image. Slots: hint, place."""
    for thing in _shuffled(scene.things, random):
        where = place(scene, thing)
        for hint in (Description(**{name: getattr(thing, name)}) for name in _FIELDS.values()):
            like = fitting(scene, hint)
            clear = all(place(scene, other) is not None for other in like)
            if where is not None and clear and sum(place(scene, other) == where for other in like) == 1:
                program = then(then(select(hint), "filter hposition", where), "query", "name")
                yield Fact({"hint": hint, "place": where}, program, thing.kind)


def ground(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """What the ground is. No slots."""
    yield Fact({}, (Step("select", GROUND), Step("query", "ground", (0,))), scene.ground)


def verify_ground(scene: WorldScene, random: Random) -> Iterator[Fact]:
    """Whether the ground has a value. Slots: value."""
    wrong = random.choice([other for other in GROUNDS if other != scene.ground])
    for asked in random.sample((scene.ground, wrong), 2):
        program: Program = (Step("select", GROUND), Step("verify ground", asked, (0,)))
        yield Fact({"value": asked}, program, "yes" if asked == scene.ground else "no")
