"""Forms of GQA's questions, and which questions entail which."""

from __future__ import annotations

from collections.abc import Iterator

from twelve.microworld import facts
from twelve.microworld.facts import OPPOSITE, sort_of
from twelve.microworld.language import Description
from twelve.microworld.programs import join, select, then
from twelve.microworld.questions import Fact, Facts, Form


def _query(name: str, group: str, *wordings: str, reserved: tuple[str, ...] = (), weight: float = 1.0) -> Form:
    semantic = "cat" if name in ("category", "name") else "attr"
    full = "The {thing} is {a_answer}." if name == "name" else "The {thing} is {answer}."
    return Form(
        f"{group}Query",
        facts.attribute(name),
        wordings,
        reserved,
        weight,
        group=group,
        full=full,
        semantic=semantic,
        structural="query",
    )


def _other(
    name: str,
    made: Facts,
    types: str,
    *wordings: str,
    reserved: tuple[str, ...] = (),
    weight: float = 0.5,
    group: str | None = None,
    full: str = "",
    most: int = 2,
) -> Form:
    structural, semantic = types.split()
    return Form(
        name,
        made,
        wordings,
        reserved,
        weight,
        most=most,
        group=group,
        full=full,
        semantic=semantic,
        structural=structural,
    )


FORMS = (
    _query(
        "color",
        "color",
        "which colour is the {thing}?",
        "the {thing} has which colour?",
        "which colour does the {thing} have?",
        reserved=("in which colour is the {thing} shown?",),
        weight=1.8,
    ),
    _query("pattern", "pattern", "which pattern does the {thing} have?", "the {thing} has which pattern?", weight=0.7),
    _query("size", "size", "which size is the {thing}?", "how large is the {thing}?", weight=0.4),
    _query(
        "name",
        "object",
        "which object is the {thing}?",
        "the {thing} is which object?",
        reserved=("what do you call the {thing}?",),
        weight=1.2,
    ),
    _query(
        "category", "category", "which kind of thing is the {thing}?", "which category fits the {thing}?", weight=0.5
    ),
    _query("hposition", "hposition", "in which part of the picture is the {thing}?", weight=0.7),
    _other(
        "place",
        facts.ground,
        "query global",
        "which ground do you see?",
        "which kind of ground is it?",
        reserved=("on which ground was this picture taken?",),
        group="place",
        full="It is {answer}.",
        most=1,
    ),
    _other(
        "relateName",
        facts.related_attribute("name"),
        "query rel",
        "which {hint} is {relation} the {thing}?",
        "which {hint} do you see {relation} the {thing}?",
        group="object",
        full="It is the {answer}.",
        weight=0.7,
    ),
    _other(
        "relateColor",
        facts.related_attribute("color"),
        "query rel",
        "the {hint} {relation} the {thing} has which colour?",
        "which colour is the {hint} {relation} the {thing}?",
        group="color",
        full="It is {answer}.",
        weight=0.6,
    ),
    _other(
        "colorVerify",
        facts.verify("color"),
        "verify attr",
        "does the {thing} look {value}?",
        "is the colour of the {thing} {value}?",
        weight=0.8,
    ),
    _other("patternVerify", facts.verify("pattern"), "verify attr", "does the {thing} look {value}?"),
    _other("sizeVerify", facts.verify("size"), "verify attr", "does the {thing} look {value}?"),
    _other("nameVerify", facts.verify("name"), "verify cat", "does the {thing} look like {a_value}?"),
    _other(
        "placeVerify",
        facts.verify_ground,
        "verify global",
        "is the ground in this picture {value}?",
        weight=0.25,
        most=1,
    ),
    _other(
        "relVerify",
        facts.relation,
        "verify rel",
        "does the {thing} stand {relation} the {thing2}?",
        reserved=("is the {thing} placed {relation} the {thing2}?",),
        weight=0.7,
    ),
    _other(
        "existVerify",
        facts.exist,
        "verify obj",
        "do you see {a_thing}?",
        "does {a_thing} appear in the picture?",
        reserved=("could you find {a_thing} here?",),
        weight=0.9,
    ),
    _other("existAnd", facts.exist_two("and"), "logical obj", "do you see both {a_thing} and {a_thing2}?"),
    _other("existOr", facts.exist_two("or"), "logical obj", "do you see either {a_thing} or {a_thing2}?", weight=0.4),
    _other(
        "colorChoose",
        facts.choose("color"),
        "choose attr",
        "is the colour of the {thing} {one} or {two}?",
        group="color",
        full="The {thing} is {answer}.",
    ),
    _other(
        "patternChoose",
        facts.choose("pattern"),
        "choose attr",
        "does the {thing} look {one} or {two}?",
        group="pattern",
        full="The {thing} is {answer}.",
        weight=0.3,
    ),
    _other(
        "nameChoose",
        facts.choose("name"),
        "choose cat",
        "does the {thing} look like {a_one} or {a_two}?",
        reserved=("what fits the {thing}, {one} or {two}?",),
        group="object",
        full="It is {a_answer}.",
    ),
    _other(
        "relChoose",
        facts.choose_relation,
        "choose rel",
        "does the {thing} stand {one} or {two} the {thing2}?",
        group="side",
        full="It is {answer}.",
    ),
    _other(
        "colorSame",
        facts.same("color"),
        "compare attr",
        "do the {thing} and the {thing2} share the same colour?",
        weight=0.4,
    ),
    _other(
        "patternDifferent",
        facts.same("pattern", "different"),
        "compare attr",
        "do the {thing} and the {thing2} differ in pattern?",
        weight=0.3,
    ),
    _other(
        "largerChoose",
        facts.larger,
        "compare attr",
        "which is larger, the {thing} or the {thing2}?",
        group="object",
        full="The {answer} is larger.",
        weight=0.4,
    ),
)
_VERIFIED = ("color", "pattern", "size", "name")


def implied(fact: Fact) -> Iterator[tuple[str, Fact]]:
    """Entailed questions, with the names of the forms that ask them."""
    operation, slots = fact.program[-1].operation, fact.slots
    verb, _, name = operation.partition(" ")
    name = fact.program[-1].argument if verb == "query" else name
    if verb in ("query", "choose") and name in _VERIFIED and "hint" not in slots:
        said = slots["thing"]
        program = then(fact.program[:-1], f"verify {name}", fact.answer)
        yield f"{name}Verify", Fact({"thing": said, "value": fact.answer}, program, "yes")
    elif operation == "verify rel":
        one, other, relation = slots["thing"], slots["thing2"], str(slots["relation"])
        assert isinstance(one, Description) and isinstance(other, Description)
        turned = OPPOSITE[relation]
        program = join(select(other), select(one), "verify rel", f"{one.noun},{turned},o")
        yield (
            "relVerify",
            Fact({"thing": other, "relation": turned, "thing2": one}, program, fact.answer, turned),
        )
    elif (operation, fact.answer) in (("and", "yes"), ("or", "no")):
        for said in slots.values():
            assert isinstance(said, Description)
            program = then(select(said), "exist", "?")
            yield "existVerify", Fact({"thing": said}, program, fact.answer, sort_of(said))
