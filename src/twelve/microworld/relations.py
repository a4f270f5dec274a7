"""Attributes of things, and relations between two things of a scene.

These functions alone decide what is true in every dataset's questions, phrases and statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twelve.microworld.scene import Thing, WorldScene, covered

MARGIN = 8.0
"""Minimum difference of two centres in pixels for left of, right of, above and below."""


def has(thing: Thing, **attributes: str | None) -> bool:
    """Whether a thing has all given attributes (kind, colour, size, pattern, family); None matches any value."""
    return all(value is None or getattr(thing, name) == value for name, value in attributes.items())


def matching(scene: WorldScene, **attributes: str | None) -> list[Thing]:
    """The things of a scene with all given attributes."""
    return [thing for thing in scene.things if has(thing, **attributes)]


def left_of(scene: WorldScene, one: Thing, other: Thing) -> bool:
    return one.centre[0] < other.centre[0] - MARGIN


def right_of(scene: WorldScene, one: Thing, other: Thing) -> bool:
    return left_of(scene, other, one)


def above(scene: WorldScene, one: Thing, other: Thing) -> bool:
    return one.centre[1] < other.centre[1] - MARGIN


def below(scene: WorldScene, one: Thing, other: Thing) -> bool:
    return above(scene, other, one)


def in_front_of(scene: WorldScene, one: Thing, other: Thing) -> bool:
    """Whether ``one`` covers a part of ``other``."""
    return covered(other.box, one.box) > 0.03 and _rank(scene, one) > _rank(scene, other)


def behind(scene: WorldScene, one: Thing, other: Thing) -> bool:
    return in_front_of(scene, other, one)


RELATIONS: Mapping[str, Callable[[WorldScene, Thing, Thing], bool]] = {
    "left of": left_of,
    "right of": right_of,
    "above": above,
    "below": below,
    "in front of": in_front_of,
    "behind": behind,
}


def related(scene: WorldScene, relation: str, to: Thing, among: Sequence[Thing] | None = None) -> list[Thing]:
    """The things (of ``among`` or all) in ``relation`` to ``to``: related(scene, "left of", car) are those left of the
    car."""
    holds = RELATIONS[relation]
    return [
        thing for thing in (scene.things if among is None else among) if thing is not to and holds(scene, thing, to)
    ]


def place(scene: WorldScene, thing: Thing) -> str | None:
    """The third of the image, "left", "right" or "middle"; None near a border between two."""
    share = thing.centre[0] / scene.width
    for name, low, high in (("left", 0.0, 0.3), ("middle", 0.38, 0.62), ("right", 0.7, 1.0)):
        if low <= share <= high:
            return name
    return None


def level(scene: WorldScene, thing: Thing) -> str | None:
    """The part of the image, "top" or "bottom"; None in between."""
    share = thing.centre[1] / scene.height
    return "top" if share <= 0.35 else "bottom" if share >= 0.65 else None


def _rank(scene: WorldScene, thing: Thing) -> int:
    return next(number for number, other in enumerate(scene.things) if other is thing)
