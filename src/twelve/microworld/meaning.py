"""Meanings of phrases in a scene, and sampling of slots that are true of a thing, all by relations.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twelve.microworld.language import (
    ANYTHING,
    EXTREMES,
    HIDDEN,
    NOUNS,
    ORDINALS,
    Description,
    Slots,
    Wording,
    adjective,
    pick,
)
from twelve.microworld.relations import RELATIONS, level, place
from twelve.microworld.scene import COLOURS, KINDS, PATTERNS, SIZES, Thing, WorldScene

ATTRIBUTES = ("colour", "size", "pattern")


def fitting(scene: WorldScene, description: Description) -> list[Thing]:
    """The things that a description fits."""
    return [thing for thing in scene.things if description.fits(thing)]


def the(scene: WorldScene, description: Description) -> Thing | None:
    """The referent of "the ..."; None unless exactly one thing fits."""
    found = fitting(scene, description)
    return found[0] if len(found) == 1 else None


def stand(scene: WorldScene, things: Sequence[Thing], relation: str, other: Description) -> list[Thing]:
    """``things`` in ``relation`` to at least one (other) thing that fits ``other``."""
    others, holds = fitting(scene, other), RELATIONS[relation]
    return [thing for thing in things if any(holds(scene, thing, to) for to in others if to is not thing)]


def reached(scene: WorldScene, things: Sequence[Thing], inverse: str, other: Description) -> list[Thing]:
    """``things`` to which at least one (other) thing that fits ``other`` stands in relation ``inverse``."""
    others, holds = fitting(scene, other), RELATIONS[inverse]
    return [thing for thing in things if any(holds(scene, one, thing) for one in others if one is not thing)]


def related(scene: WorldScene, things: Sequence[Thing], slots: Slots) -> list[Thing]:
    """``things`` in every relation of a wording with the slots ``relation``, ``inverse`` and ``also``."""
    for name, other, keep in (("relation", "thing2", stand), ("inverse", "thing2", reached), ("also", "thing3", stand)):
        if name in slots:
            things = keep(scene, things, slots[name], slots[other])
    return [*things]


def extreme(scene: WorldScene, things: Sequence[Thing], superlative: str) -> list[Thing]:
    """The referent of the superlative among ``things``; empty if two are too close."""
    holds = RELATIONS[EXTREMES[superlative]]
    return [thing for thing in things if all(holds(scene, thing, other) for other in things if other is not thing)]


def nth(scene: WorldScene, things: Sequence[Thing], ordinal: int, side: str) -> list[Thing]:
    """The ``ordinal``-th (from 1) of ``things`` from the left or right; empty if two are too close."""
    holds = RELATIONS[f"{side} of"]
    found = [
        thing
        for thing in things
        if all(holds(scene, thing, other) or holds(scene, other, thing) for other in things if other is not thing)
    ]
    return [thing for thing in found if sum(holds(scene, other, thing) for other in things) == ordinal - 1]


def at_side(scene: WorldScene, things: Sequence[Thing], side: str, *, strictly: bool = False) -> list[Thing]:
    """``things`` on a side; unless ``strictly``, including those too near the border to tell."""
    return [thing for thing in things if place(scene, thing) in ((side,) if strictly else (side, None))]


def at_level(scene: WorldScene, things: Sequence[Thing], height: str) -> list[Thing]:
    """``things`` at the top or bottom."""
    return [thing for thing in things if level(scene, thing) == height]


def describe(
    rng: np.random.Generator,
    thing: Thing,
    *,
    least: int = 0,
    most: int = 2,
    general: float = 0.15,
    without: Sequence[str] = (),
) -> Description:
    """A description that fits a thing.

    Args:
        least, most: number of attributes that it names (fewer if ``without`` leaves fewer).
        general: how often its noun is wider than the thing's kind.
        without: attributes that it must not name.
    """
    free = [name for name in ATTRIBUTES if name not in without]
    count = min(int(rng.integers(least, most + 1)), len(free))
    named = rng.permutation(len(free))[:count].tolist()
    noun = thing.kind
    if rng.random() < general:
        wider = [ANYTHING] if named else []
        noun = pick(rng, [*wider, thing.family if thing.family in NOUNS else thing.kind])
    return Description(noun, **{free[number]: getattr(thing, free[number]) for number in named})


def invent(rng: np.random.Generator, least: int = 0, most: int = 2) -> Description:
    """Sample a description, of a thing that need not exist."""
    thing = Thing(
        pick(rng, list(KINDS)), pick(rng, list(COLOURS)), pick(rng, list(SIZES)), pick(rng, PATTERNS), (0, 0, 1, 1)
    )
    return describe(rng, thing, least=least, most=most, general=0)


def sample_slots(
    rng: np.random.Generator,
    wording: Wording[Any],
    scene: WorldScene,
    target: Thing | None = None,
    **detail: Any,
) -> Slots | None:
    """Sample slots for a wording that are true of a thing of the scene (``target`` or any) and its surroundings.

    ``detail`` is passed to :func:`describe`. Returns None if the scene cannot fill a slot.
    """
    thing = pick(rng, scene.things) if target is None else target
    found: dict[str, Any] = {}
    actors = _actors(rng, wording, scene, thing, found)
    if actors is None:
        return None
    named = [name for name in ATTRIBUTES if name in wording.keys]
    attributes = [name for name in rng.permutation(list(ATTRIBUTES)).tolist() if name not in named]
    for key in ("adjective", "adjective2"):
        if key in wording.keys:
            named.append(attributes.pop())
            found[key] = adjective(getattr(thing, named[-1]))
    for name in ATTRIBUTES:
        if name in wording.keys:
            found[name] = getattr(thing, name)
    for key, actor in actors.items():
        if key in wording.keys:
            found[key] = describe(rng, actor, **detail | ({"without": named} if key == "thing" else {}))
    if "missing" in wording.keys:
        found["missing"] = invent(rng, 0, 1)
    for number in ("", "2"):
        if f"number{number}" in wording.keys:
            found[f"number{number}"] = len(fitting(scene, found[f"thing{number}"]))
    found |= _whereabouts(rng, wording, scene, actors)
    return found if wording.keys <= found.keys() and None not in found.values() else None


def _actors(
    rng: np.random.Generator, wording: Wording[Any], scene: WorldScene, thing: Thing, found: dict[str, Any]
) -> Mapping[str, Thing] | None:
    """The things that a wording refers to; adds relations between them to ``found``."""
    actors = {"thing": thing}
    for key, slot, start in (
        ("thing2", ("relation", "inverse", "unrelated"), "thing"),
        ("thing3", ("relation2",), "thing2"),
        ("thing3", ("also",), "thing"),
    ):
        name = next((name for name in slot if name in wording.keys), None)
        if key not in wording.keys or key in actors or (name is None and key == "thing3" and "also" in wording.keys):
            continue
        others = [other for other in scene.things if all(other is not actor for actor in actors.values())]
        relations = list(RELATIONS)
        rng.shuffle(relations)
        for relation in relations if name else [""]:
            fit = [other for other in others if not name or _holds(scene, name, relation, actors[start], other)]
            if fit:
                actors[key] = pick(rng, fit)
                found |= {name: relation} if name else {}
                break
        else:
            return None
    return actors


def _holds(scene: WorldScene, slot: str, relation: str, one: Thing, other: Thing) -> bool:
    if slot == "inverse":
        one, other = other, one
    return RELATIONS[relation](scene, one, other) != (slot == "unrelated")


def _whereabouts(
    rng: np.random.Generator, wording: Wording[Any], scene: WorldScene, actors: Mapping[str, Thing]
) -> dict[str, Any]:
    """Sides, levels, ground, superlatives and hidden qualities for the wording's slots."""
    thing, other = actors["thing"], actors.get("thing2", actors["thing"])
    found = {
        "side": place(scene, thing),
        "side2": place(scene, other),
        "level": level(scene, thing),
        "ground": scene.ground,
        "extreme": pick(rng, list(EXTREMES)),
        "ordinal": int(rng.integers(1, len(ORDINALS))),
        "hidden": pick(rng, HIDDEN),
    }
    return {key: value for key, value in found.items() if key in wording.keys}
