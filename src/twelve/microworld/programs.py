"""Questions as programs over a scene, in GQA's operations (Hudson & Manning 2019), and their answers.

A program is a list of steps, which read the results of earlier steps. "What colour is the car left of the cup?" is

    select: cup -> relate: car,left of,s [0] -> query: color [1]

Operation and attribute names are GQA's own (so ``color``); ``count`` and ``more`` are additions.
relations.py decides what is true of things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from twelve.microworld.language import ANYTHING, Description
from twelve.microworld.relations import RELATIONS, level, place, related
from twelve.microworld.scene import Thing, WorldScene


@dataclass(frozen=True, slots=True)
class Step:
    """One operation; ``needs`` are the indices of the steps whose results it reads."""

    operation: str
    argument: str = ""
    needs: tuple[int, ...] = ()


Program: TypeAlias = tuple[Step, ...]
Result: TypeAlias = "list[Thing] | str"
"""The result of a step: things or an answer."""

GROUND = "scene"
"""Argument of ``select`` in questions about the whole image."""


class Undefined(ValueError):
    """The program has no answer in this scene, e.g. "the car" does not refer to exactly one."""


def select(description: Description) -> Program:
    """The things that a description fits."""
    return _filtered((Step("select", description.noun),), description)


def _filtered(program: Program, description: Description) -> Program:
    """The things of a program that have the attributes of a description."""
    for name, value in (("size", description.size), ("color", description.colour), ("pattern", description.pattern)):
        if value is not None:
            program = then(program, f"filter {name}", value)
    return program


def then(program: Program, operation: str, argument: str = "") -> Program:
    """Append a step that reads the last step's result."""
    return (*program, Step(operation, argument, (len(program) - 1,)))


def join(one: Program, other: Program, operation: str, argument: str = "") -> Program:
    """Concatenate two programs and a step that reads both results."""
    shifted = tuple(Step(s.operation, s.argument, tuple(n + len(one) for n in s.needs)) for s in other)
    needs = (len(one) - 1, len(one) + len(other) - 1)
    return (*one, *shifted, Step(operation, argument, needs))


def relate(to: Program, relation: str, description: Description) -> Program:
    """The things that fit a description and are in ``relation`` to the result of ``to``."""
    name = "_" if description.noun == ANYTHING else description.noun
    return _filtered(then(to, "relate", f"{name},{relation},s"), description)


def answer(program: Program, scene: WorldScene) -> str:
    """The program's answer; raises Undefined if it has none."""
    result = trace(program, scene)[-1]
    if not isinstance(result, str):
        raise TypeError("expected an answer from the last step of a program, found things")
    return result


def trace(program: Program, scene: WorldScene) -> list[Result]:
    """The result of every step; raises Undefined if the program has no answer."""
    results: list[Result] = []
    for step in program:
        verb, _, rest = step.operation.partition(" ")
        inputs = [results[number] for number in step.needs]
        results.append(_VERBS[verb](scene, rest, step.argument, inputs))
    return results


def value_of(scene: WorldScene, thing: Thing, attribute: str) -> str:
    """A thing's attribute, by GQA's name; raises Undefined for a place near a border."""
    found = _VALUES[attribute](scene, thing)
    if found is None:
        raise Undefined(f"no clear {attribute}")
    return found


_VALUES: Mapping[str, Callable[[WorldScene, Thing], str | None]] = {
    "name": lambda scene, thing: thing.kind,
    "category": lambda scene, thing: thing.family,
    "color": lambda scene, thing: thing.colour,
    "size": lambda scene, thing: thing.size,
    "pattern": lambda scene, thing: thing.pattern,
    "hposition": place,
    "vposition": level,
}

_Verb: TypeAlias = Callable[[WorldScene, str, str, Sequence[Result]], Result]


def _things(result: Result) -> list[Thing]:
    if isinstance(result, str):
        raise Undefined(f"{result!r} is not a thing")
    return result


def _the(result: Result) -> Thing:
    things = _things(result)
    if len(things) != 1:
        raise Undefined(f"expected one thing, found {len(things)}")
    return things[0]


def _named(things: Sequence[Thing], name: str) -> list[Thing]:
    if name in (ANYTHING, "_"):
        return list(things)
    return [thing for thing in things if name in (thing.kind, thing.family)]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _select(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    return GROUND if argument == GROUND else _named(scene.things, argument)


def _filter(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    return [thing for thing in _things(inputs[0]) if value_of(scene, thing, rest) == argument]


def _relate(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    name, relation, _ = argument.split(",")
    return related(scene, relation, _the(inputs[0]), _named(scene.things, name))


def _query(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    return scene.ground if inputs[0] == GROUND else value_of(scene, _the(inputs[0]), argument)


def _verify(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    if inputs[0] == GROUND:
        return _yes(scene.ground == argument)
    if rest != "rel":
        return _yes(value_of(scene, _the(inputs[0]), rest) == argument)
    relation = argument.split(",")[1]
    return _yes(RELATIONS[relation](scene, _the(inputs[0]), _the(inputs[1])))


def _choose(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    if rest == "larger":
        large = [thing for thing in map(_the, inputs) if thing.size == "large"]
        return _the(large).kind
    if rest == "rel":
        choices = argument.split(",")[1].split("|")
        fits = [relation for relation in choices if RELATIONS[relation](scene, _the(inputs[0]), _the(inputs[1]))]
    else:
        fits = [value for value in argument.split("|") if value == value_of(scene, _the(inputs[0]), rest)]
    if len(fits) != 1:
        raise Undefined(f"{len(fits)} of the choices are true")
    return fits[0].removesuffix(" of")


def _same(scene: WorldScene, rest: str, argument: str, inputs: Sequence[Result]) -> Result:
    one, other = (value_of(scene, _the(result), rest) for result in inputs)
    return _yes(one == other)


_VERBS: Mapping[str, _Verb] = {
    "select": _select,
    "filter": _filter,
    "relate": _relate,
    "query": _query,
    "verify": _verify,
    "choose": _choose,
    "same": _same,
    "different": lambda scene, rest, argument, inputs: _yes(_same(scene, rest, argument, inputs) == "no"),
    "exist": lambda scene, rest, argument, inputs: _yes(bool(_things(inputs[0]))),
    "and": lambda scene, rest, argument, inputs: _yes(all(result == "yes" for result in inputs)),
    "or": lambda scene, rest, argument, inputs: _yes(any(result == "yes" for result in inputs)),
    "count": lambda scene, rest, argument, inputs: str(len(_things(inputs[0]))),
    "more": lambda scene, rest, argument, inputs: _yes(len(_things(inputs[0])) > len(_things(inputs[1]))),
}
