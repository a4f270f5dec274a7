"""Writes NLVR2: statements about pairs of images, each true of two out of four pairs.

So a statement alone reveals nothing. Neighbouring pairs in the world form a set; a statement has the same number in all
pairs of its set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from twelve.microworld.language import Slots, Wording, choose, pick, read, sentence
from twelve.microworld.meaning import fitting, sample_slots, stand
from twelve.microworld.reserved import wordings_of
from twelve.microworld.scene import WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import write_lines

PAIRS = 4
"""Number of pairs in a set; a statement is true of half of them."""
STATEMENTS = {"train": 7, "dev": 4, "test1": 5}
"""Number of statements per set."""
TRIES = 150
"""Number of tries for one statement."""
Pair: TypeAlias = tuple[WorldImage, WorldImage]
Count = Callable[[WorldScene, Slots], int]


@dataclass(frozen=True, slots=True)
class Meaning:
    """A number for each of the two images, and the condition that the two numbers must meet.

    ``near``: a set must have a pair for which the statement is false although one number is not 0; otherwise one image
    alone would often suffice.
    """

    counts: tuple[Count, Count]
    holds: Callable[[int, int], bool]
    near: bool = False

    def true(self, pair: Pair, slots: Slots) -> bool:
        return self.holds(*self.values(pair, slots))

    def values(self, pair: Pair, slots: Slots) -> tuple[int, int]:
        left, right = self.counts
        return left(pair[0].scene, slots), right(pair[1].scene, slots)


def _number(scene: WorldScene, slots: Slots) -> int:
    return len(fitting(scene, slots["thing"]))


def _second(scene: WorldScene, slots: Slots) -> int:
    return len(fitting(scene, slots["thing2"]))


def _related(scene: WorldScene, slots: Slots) -> int:
    return len(stand(scene, fitting(scene, slots["thing"]), slots["relation"], slots["thing2"]))


def _exactly(scene: WorldScene, slots: Slots) -> int:
    return int(_number(scene, slots) == slots["number"])


def _at_least(scene: WorldScene, slots: Slots) -> int:
    return int(_number(scene, slots) >= slots["number"])


def _ground(scene: WorldScene, slots: Slots) -> int:
    return int(scene.ground == slots["ground"])


def _together(scene: WorldScene, slots: Slots) -> int:
    return int(bool(_number(scene, slots)) and bool(_second(scene, slots)))


def _all(scene: WorldScene, slots: Slots) -> int:
    """Whether such things exist and all have the adjective."""
    found = fitting(scene, slots["thing"])
    return int(bool(found) and all(slots["adjective"].fits(thing) for thing in found))


def _both(count: Count) -> Meaning:
    return Meaning((count, count), lambda left, right: left > 0 and right > 0, near=True)


def _one(count: Count) -> Meaning:
    return Meaning((count, count), lambda left, right: (left > 0) != (right > 0), near=True)


def _any(count: Count) -> Meaning:
    return Meaning((count, count), lambda left, right: left > 0 or right > 0)


def _none(count: Count) -> Meaning:
    return Meaning((count, count), lambda left, right: left == right == 0)


MORE = Meaning((_number, _number), lambda left, right: left > right)
FEWER = Meaning((_number, _number), lambda left, right: left < right)
AS_MANY = Meaning((_number, _number), lambda left, right: left == right)
EACH_ITS_OWN = Meaning((_number, _second), lambda left, right: left > 0 and right > 0, near=True)
LEFT_ONLY = Meaning((_number, _number), lambda left, right: left > 0 and right == 0, near=True)

WORDINGS: tuple[Wording[Meaning], ...] = (
    Wording("both images contain {a_thing}.", _both(_number), weight=2),
    Wording("exactly one image contains {a_thing}.", _one(_number), weight=3),
    Wording("at least one image contains {a_thing}.", _any(_number), weight=2),
    Wording("no image contains {a_thing}.", _none(_number)),
    Wording("there are more {things} in the left image than in the right image.", MORE, weight=2),
    Wording("there are as many {things} in the left image as in the right image.", AS_MANY),
    Wording("exactly one image contains exactly {number} {things}.", _one(_exactly)),
    Wording("both images contain at least {number} {things}.", _both(_at_least)),
    Wording("exactly one image contains {a_thing} {relation} {a_thing2}.", _one(_related), weight=1.5),
    Wording("at least one image contains {a_thing} {relation} {a_thing2}.", _any(_related), weight=1.5),
    Wording("the left image contains {a_thing} and the right image contains {a_thing2}.", EACH_ITS_OWN),
    Wording("only the left image contains {a_thing}.", LEFT_ONLY),
    Wording("exactly one image was taken on {ground}.", _one(_ground)),
    Wording("at least one image contains both {a_thing} and {a_thing2}.", _any(_together)),
    Wording("there are fewer {things} in the left image than in the right image.", FEWER, only_test=True),
    Wording("exactly one image contains at least {number} {things}.", _one(_at_least), only_test=True),
    Wording("in exactly one image all {things} are {adjective}.", _one(_all), only_test=True),
    Wording("both images contain {a_thing} {relation} {a_thing2}.", _both(_related), only_test=True),
)


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write ``train.json``, ``dev.json`` and ``test1.json``."""
    wordings = wordings_of(world, "nlvr2", WORDINGS)
    tally = Tally("nlvr2", templates={wording.text for wording in wordings}, unseen=world.unseen)
    for split, wanted in STATEMENTS.items():
        rows: list[dict[str, Any]] = []
        for pairs in _sets(world, split):
            for number, text in enumerate(_statements(rng, wordings, pairs, wanted, test=split == "test1")):
                rows += [_row(pair, number, text) for pair in pairs]
                if split == "train":
                    tally.answers.update(str(true(text, pair)) for pair in pairs)
                else:
                    found = {_identifier(pair, number): true(text, pair) for pair in pairs}
                    tally.oracle.setdefault(split, {}).update(found)
                    reserved = read(wordings, text)[0].only_test
                    for key in found:
                        tally.note(split, key, text, reserved=reserved)
        write_lines(folder / f"{split}.json", rows)
        tally.examples[split] = len(rows)
    tally.write_answers(folder)
    return tally


def true(text: str, pair: Pair) -> bool:
    """Whether a statement is true of a pair."""
    wording, slots = read(WORDINGS, text)
    return wording.meaning.true(pair, slots)


def _sets(world: World, split: str) -> list[list[Pair]]:
    """Group the pairs of a split by fours, dropping the remainder."""
    images = [image for image in world.nlvr2 if image.part == split]
    pairs = list(zip(images[::2], images[1::2], strict=True))
    return [pairs[start : start + PAIRS] for start in range(0, len(pairs) - PAIRS + 1, PAIRS)]


def _statements(
    rng: np.random.Generator, wordings: Sequence[Wording[Meaning]], pairs: Sequence[Pair], wanted: int, *, test: bool
) -> list[str]:
    """Statements that are true of half of the pairs, with slots sampled from an image."""
    found: list[str] = []
    for _ in range(wanted):
        wording = choose(rng, wordings, test=test)
        for _ in range(TRIES):
            slots = _slots(rng, wording, pairs)
            text = "" if slots is None else sentence(wording.say(slots))
            if slots is not None and text not in found and _balanced(wording.meaning, pairs, slots):
                found.append(text)
                break
    return found


def _slots(rng: np.random.Generator, wording: Wording[Meaning], pairs: Sequence[Pair]) -> Slots | None:
    scene = pick(rng, pick(rng, pairs)).scene
    counted = "{things}" in wording.text
    slots = sample_slots(rng, wording, scene, most=1 if counted else 2, general=0.5 if counted else 0.15)
    if slots is not None and "thing2" in slots and "relation" not in slots:
        other = sample_slots(rng, WORDINGS[0], pick(rng, pick(rng, pairs)).scene, most=1)
        slots = None if other is None else {**slots, "thing2": other["thing"]}
    return slots


def _balanced(meaning: Meaning, pairs: Sequence[Pair], slots: Slots) -> bool:
    """Whether a statement is true of half of the pairs and, if required, nearly true of another one."""
    values = [meaning.values(pair, slots) for pair in pairs]
    false = [(left, right) for left, right in values if not meaning.holds(left, right)]
    near = any(left or right for left, right in false)
    return 2 * len(false) == len(pairs) and (near or not meaning.near)


def _identifier(pair: Pair, number: int) -> str:
    """split-set-pair-sentence; the first three are the images' own."""
    return f"{pair[0].key.removesuffix('-img0')}-{number}"


def _row(pair: Pair, number: int, text: str) -> dict[str, Any]:
    label = str(true(text, pair))
    left, right = pair
    return {
        "sentence": text,
        "label": label,
        "identifier": _identifier(pair, number),
        "left_url": "",
        "right_url": "",
        "writer": "1",
        "validation": {"1": label},
        "synset": "drawing",
        "query": f"{left.scene.ground}, {right.scene.ground}",
    }
