"""Writes Visual7W's pointing questions: "which ...?" with four boxes, one of them correct.

The images are Visual Genome's (``v7w_<id>.jpg`` in the file). Some wrong boxes contain only ground, and boxes at an
image's edge start at -1, as some of the original's do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twelve.microworld.language import Slots, Wording, choose, pick, read, sentence
from twelve.microworld.meaning import at_level, at_side, fitting, related, sample_slots, the
from twelve.microworld.reserved import wordings_of
from twelve.microworld.scene import HEIGHT, WIDTH, Box, Thing, WorldScene, covered
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import shuffled, write_json, xywh

CHOICES = 4
GROUND_BOXES = 0.15
"""How often a wrong box contains only ground."""
QUESTIONS = {"train": 5, "val": 2, "test": 3}
"""Number of questions per image."""
TRIES = 30
Meaning = Callable[[WorldScene, Slots], list[Thing]]


def _which(scene: WorldScene, slots: Slots) -> list[Thing]:
    """The things that meet all conditions of a question."""
    found = fitting(scene, slots["thing"])
    for key in ("adjective", "adjective2"):
        if key in slots:
            found = [thing for thing in found if slots[key].fits(thing)]
    if "side" in slots:
        found = at_side(scene, found, slots["side"])
    if "level" in slots:
        found = at_level(scene, found, slots["level"])
    return related(scene, found, slots)


def _not(scene: WorldScene, slots: Slots) -> list[Thing]:
    return [thing for thing in fitting(scene, slots["thing"]) if not slots["adjective"].fits(thing)]


def _coloured_like(scene: WorldScene, slots: Slots) -> list[Thing]:
    other = the(scene, slots["thing2"])
    found = fitting(scene, slots["thing"])
    return [] if other is None else [one for one in found if one is not other and one.colour == other.colour]


WORDINGS: tuple[Wording[Meaning], ...] = (
    Wording("which {thing} is {adjective}?", _which, weight=3),
    Wording("which is {a_thing}?", _which, weight=2),
    Wording("which {thing} is {where}?", _which, weight=1.5),
    Wording("which {thing} is {height}?", _which),
    Wording("which one is {adjective} and {adjective2}, {a_thing}?", _which),
    Wording("which {thing} is {relation} {a_thing2}?", _which, weight=2.5),
    Wording("which {thing} has {a_thing2} {inverse} it?", _which, weight=1.5),
    Wording("which {thing} is not {adjective}?", _not, weight=2),
    Wording("which {thing} has the colour of the {thing2}?", _coloured_like),
    Wording("which of the {things} is {adjective}?", _which, only_test=True, weight=1.5),
    Wording("which is the {thing} that is {relation} {a_thing2}?", _which, only_test=True, weight=1.5),
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A candidate box; ``thing`` is None if it contains only ground."""

    number: int
    name: str
    box: Box
    thing: Thing | None = None


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write ``dataset_v7w_pointing.json``. The oracle's answers are indices among the four boxes, sorted by id."""
    wordings = wordings_of(world, "visual7w", WORDINGS)
    tally = Tally("visual7w", templates={wording.text for wording in wordings}, unseen=world.unseen)
    boxes: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    number = 0
    for image, split in _splits(world, rng):
        candidates = _candidates(rng, image.scene, len(boxes) + 1)
        pairs = []
        for text, four in _questions(rng, wordings, image.scene, candidates, split):
            found = answer(text, image.scene, four)
            pairs.append(_pair(image, number, text, four, found))
            tally.examples[split] = tally.examples.get(split, 0) + 1
            if split != "train":
                by_id = sorted(four, key=lambda candidate: candidate.number)
                tally.oracle.setdefault(split, {})[str(number)] = answer(text, image.scene, by_id)
                tally.note(split, str(number), text, reserved=read(wordings, text)[0].only_test)
            number += 1
        if pairs:
            boxes += [_box(candidate) for candidate in candidates]
            record = {"image_id": int(image.key), "filename": f"v7w_{image.key}.jpg", "split": split}
            images.append(record | {"qa_pairs": pairs})
    write_json(folder / "dataset_v7w_pointing.json", {"dataset": "visual7w-pointing", "boxes": boxes, "images": images})
    tally.write_answers(folder)
    return tally


def answer(text: str, scene: WorldScene, candidates: Sequence[_Candidate]) -> int:
    """Index of the candidate that the question refers to; raises ValueError unless it is exactly one."""
    wording, slots = read(WORDINGS, text)
    meant = wording.meaning(scene, slots)
    found = [index for index, candidate in enumerate(candidates) if any(candidate.thing is thing for thing in meant)]
    if len(found) != 1:
        raise ValueError(f"{text!r} refers to {len(found)} of the candidates")
    return found[0]


def _questions(
    rng: np.random.Generator,
    wordings: Sequence[Wording[Meaning]],
    scene: WorldScene,
    candidates: Sequence[_Candidate],
    split: str,
) -> Iterator[tuple[str, list[_Candidate]]]:
    """Questions about random things, each with four candidates of which it refers to exactly one."""
    things = [candidate for candidate in candidates if candidate.thing is not None]
    asked: set[str] = set()
    for _ in range(TRIES):
        if len(asked) == QUESTIONS[split]:
            return
        wording, target = choose(rng, wordings, test=split == "test"), pick(rng, things)
        slots = sample_slots(rng, wording, scene, target.thing, most=2 if wording.text.startswith("which is") else 1)
        if slots is not None and wording.meaning is _not:
            slots = _denied(rng, scene, slots)
        if slots is None:
            continue
        meant = wording.meaning(scene, slots)
        if not any(target.thing is thing for thing in meant):
            continue
        wrong = [other for other in candidates if all(other.thing is not thing for thing in meant)]
        four = _four(rng, target, wrong, slots)
        text = sentence(wording.say(slots))
        if four is not None and text not in asked:
            asked.add(text)
            yield text, four


def _denied(rng: np.random.Generator, scene: WorldScene, slots: Slots) -> Slots:
    """Replace the adjective by that of some thing that fits the noun."""
    other = sample_slots(rng, WORDINGS[0], scene, pick(rng, fitting(scene, slots["thing"])))
    return slots if other is None else {**slots, "adjective": other["adjective"]}


def _four(
    rng: np.random.Generator, target: _Candidate, wrong: Sequence[_Candidate], slots: Slots
) -> list[_Candidate] | None:
    """The target and three wrong candidates, preferably ones that fit the noun phrase."""
    empty = [candidate for candidate in wrong if candidate.thing is None]
    rest = shuffled(rng, [candidate for candidate in wrong if candidate.thing is not None])
    rest.sort(key=lambda candidate: candidate.thing is None or not slots["thing"].fits(candidate.thing))
    if empty and rng.random() < GROUND_BOXES:
        rest.insert(int(rng.integers(CHOICES - 1)), pick(rng, empty))
    return [target, *rest[: CHOICES - 1]] if len(rest) >= CHOICES - 1 else None


def _candidates(rng: np.random.Generator, scene: WorldScene, first: int) -> list[_Candidate]:
    """All things of the scene and, if there is room, a box of bare ground."""
    found = [_Candidate(first + number, thing.kind, thing.box, thing) for number, thing in enumerate(scene.things)]
    for _ in range(TRIES):
        width, height = (int(side) for side in rng.integers(20, 50, size=2))
        x, y = int(rng.integers(1, WIDTH - width)), int(rng.integers(1, HEIGHT - height))
        box = (float(x), float(y), float(x + width), float(y + height))
        if all(covered(box, thing.box) < 0.1 for thing in scene.things):
            return [*found, _Candidate(first + len(found), scene.ground, box)]
    return found


def _pair(image: WorldImage, number: int, text: str, four: Sequence[_Candidate], found: int) -> dict[str, Any]:
    wrong = [candidate.number for index, candidate in enumerate(four) if index != found]
    return {
        "qa_id": number,
        "image_id": int(image.key),
        "question": text,
        "type": "which",
        "answer": four[found].number,
        "multiple_choices": wrong,
    }


def _box(candidate: _Candidate) -> dict[str, Any]:
    x1, y1, x2, y2 = candidate.box
    x, y, width, height = map(int, xywh((-1.0 if x1 == 1 else x1, -1.0 if y1 == 1 else y1, x2, y2)))
    return {"box_id": candidate.number, "name": candidate.name, "x": x, "y": y, "width": width, "height": height}


def _splits(world: World, rng: np.random.Generator) -> list[tuple[WorldImage, str]]:
    """Open train and val images are for training; 65 % of the reserved ones are test, the others val."""
    images = [image for image in world.vg if image.part in ("train", "val")]
    reserved = shuffled(rng, [image.key for image in images if image.reserved])
    tests = {*reserved[: round(len(reserved) * 0.65)]}
    return [(image, ("test" if image.key in tests else "val") if image.reserved else "train") for image in images]
