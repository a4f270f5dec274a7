"""Writes GuessWhat?! games in their first layout: yes-no questions about an image until one thing is left.

The answerer says N/A to questions about the side of a thing between two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twelve.microworld.language import Slots, Wording, choose, pick, read, sentence
from twelve.microworld.meaning import sample_slots, stand, the
from twelve.microworld.relations import level, place
from twelve.microworld.reserved import wordings_of
from twelve.microworld.scene import KINDS, Thing, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import annotation_id, file_name, outline, shuffled, write_lines, xywh

FEWEST, MOST, WORDS = 2, 6, 40
"""Minimum and maximum number of questions, and maximum number of words, answers included, in a dialogue."""
HASTY = 0.15
"""How often the questioner stops after the minimum number of questions."""
GAMES = {"train": 3.4, "valid": 2.0, "test": 4.0}
"""Average number of games per image."""
ANSWERS = {True: "Yes", False: "No", None: "N/A"}
Meaning = Callable[[WorldScene, Slots, Thing], bool | None]


def _is(scene: WorldScene, slots: Slots, thing: Thing) -> bool:
    """Whether all conditions of a question are true of the thing."""
    return all(slots[key].fits(thing) for key in ("thing", "adjective", "adjective2") if key in slots)


def _either(scene: WorldScene, slots: Slots, thing: Thing) -> bool:
    return any(slots[key].fits(thing) for key in ("adjective", "adjective2", "thing", "thing2") if key in slots)


def _at_side(scene: WorldScene, slots: Slots, thing: Thing) -> bool | None:
    side = place(scene, thing)
    return None if side is None else side == str(slots["side"])


def _at_level(scene: WorldScene, slots: Slots, thing: Thing) -> bool:
    return level(scene, thing) == str(slots["level"])


def _stands(scene: WorldScene, slots: Slots, thing: Thing) -> bool | None:
    """Whether the thing is related to "the" other thing; N/A unless exactly one fits."""
    if the(scene, slots["thing2"]) is None:
        return None
    return any(thing is one for one in stand(scene, [thing], slots["relation"], slots["thing2"]))


def _alike(scene: WorldScene, slots: Slots, thing: Thing) -> bool | None:
    other = the(scene, slots["thing2"])
    return None if other is None or other is thing else other.colour == thing.colour


WORDINGS: tuple[Wording[Meaning], ...] = (
    Wording("is it {a_thing}?", _is, weight=3),
    Wording("is it {adjective}?", _is, weight=3),
    Wording("is it {where}?", _at_side, weight=2),
    Wording("is it {height}?", _at_level),
    Wording("is it {relation} the {thing2}?", _stands, weight=2),
    Wording("is it {adjective} or {adjective2}?", _either),
    Wording("is it {a_thing} or {a_thing2}?", _either),
    Wording("is it the same colour as the {thing2}?", _alike),
    Wording("is it {adjective} and {adjective2}?", _is, only_test=True),
    Wording("{a_thing}?", _is, only_test=True, weight=1.5),
)


@dataclass(frozen=True, slots=True)
class _Game:
    """A dialogue about a target, and the things that remain possible."""

    target: Thing
    turns: tuple[tuple[str, str], ...]
    left: tuple[Thing, ...]


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write ``guesswhat.{train,valid,test}.jsonl.gz``."""
    wordings = wordings_of(world, "guesswhat", WORDINGS)
    tally = Tally("guesswhat", templates={wording.text for wording in wordings}, unseen=world.unseen)
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in GAMES}
    numbers = [0, 0]
    for image, split in _splits(world, rng):
        games = int(GAMES[split]) + int(rng.random() < GAMES[split] % 1)
        for _ in range(games):
            game = play(rng, wordings, image.scene, test=split == "test")
            if game is None:
                continue
            row = _row(rng, image, game, numbers)
            rows[split].append(row)
            tally.examples[split] = tally.examples.get(split, 0) + 1
            if split == "train":
                tally.answers.update(answer for _, answer in game.turns)
            else:
                tally.oracle.setdefault(split, {})[str(row["id"])] = _guess(image, row)
                asked = [question for question, _ in game.turns]
                reserved = any(read(wordings, question)[0].only_test for question in asked)
                tally.note(split, str(row["id"]), " ".join(asked), reserved=reserved)
    for split, lines in rows.items():
        write_lines(folder / f"guesswhat.{split}.jsonl.gz", lines, zipped=True)
    tally.write_answers(folder)
    return tally


def play(
    rng: np.random.Generator, wordings: Sequence[Wording[Meaning]], scene: WorldScene, *, test: bool
) -> _Game | None:
    """Play until one thing is left or the game's limits are reached; None if no useful question was found."""
    target = pick(rng, scene.things)
    left = list(scene.things)
    turns: list[tuple[str, str]] = []
    most = MOST if rng.random() > HASTY else FEWEST
    for _ in range(40):
        if len(turns) == most or (len(left) == 1 and len(turns) >= FEWEST):
            break
        wording = choose(rng, wordings, test=test)
        slots = sample_slots(rng, wording, scene, pick(rng, left), most=1)
        if slots is None or slots.get("thing") == slots.get("thing2", "none") or _idle(scene, slots, wording, left):
            continue
        text, said = sentence(wording.say(slots)), wording.meaning(scene, slots, target)
        words = sum(len(turn.split()) + 1 for turn, _ in turns) + len(text.split()) + 1
        if words > WORDS or any(text == turn for turn, _ in turns):
            continue
        turns.append((text, ANSWERS[said]))
        left = [thing for thing in left if wording.meaning(scene, slots, thing) == said]
    return _Game(target, tuple(turns), tuple(left)) if len(turns) >= FEWEST else None


def _idle(scene: WorldScene, slots: Slots, wording: Wording[Meaning], left: Sequence[Thing]) -> bool:
    """Whether a question rules out nothing although several things are left."""
    return len(left) > 1 and len({wording.meaning(scene, slots, thing) for thing in left}) == 1


def guesses(scene: WorldScene, turns: Sequence[tuple[str, str]]) -> list[Thing]:
    """The things that all answers are true of."""
    left = list(scene.things)
    for question, answer in turns:
        wording, slots = read(WORDINGS, question)
        left = [thing for thing in left if ANSWERS[wording.meaning(scene, slots, thing)] == answer]
    return left


def _guess(image: WorldImage, row: dict[str, Any]) -> int:
    """Index, among the row's objects sorted by id, of the first thing that fits the dialogue."""
    left = guesses(image.scene, [(turn["question"], turn["answer"]) for turn in row["qas"]])
    return next(number for number, thing in enumerate(image.scene.things) if any(thing is other for other in left))


def _row(rng: np.random.Generator, image: WorldImage, game: _Game, numbers: list[int]) -> dict[str, Any]:
    """A line of the file. ``numbers`` holds the next free ids of games and questions and is updated."""
    things = image.scene.things
    ids = [annotation_id(image, number) for number in range(len(things))]
    objects = [
        {
            "id": ids[number],
            "category": thing.kind,
            "category_id": KINDS[thing.kind][1],
            "bbox": (bbox := xywh(thing.box)),
            "area": bbox[2] * bbox[3],
            "segment": [outline(thing.box)],
        }
        for number, thing in enumerate(things)
    ]
    qas = [
        {"id": numbers[1] + k, "question": question, "answer": answer}
        for k, (question, answer) in enumerate(game.turns)
    ]
    numbers[0] += 1
    numbers[1] += len(qas)
    return {
        "id": numbers[0],
        "status": _status(rng, game),
        "object_id": next(number for number, thing in zip(ids, things, strict=True) if thing is game.target),
        "image": {
            "id": int(image.key),
            "file_name": file_name(image),
            "width": image.scene.width,
            "height": image.scene.height,
            "coco_url": "",
            "flickr_url": "",
        },
        "objects": shuffled(rng, objects),
        "qas": qas,
        "questioner_id": int(image.key) % 50,
        "timestamp": "2016-07-08 02:04:00",
    }


def _status(rng: np.random.Generator, game: _Game) -> str:
    """With one thing left, the guesser usually succeeds; with more, it gives up or fails."""
    if len(game.left) == 1:
        return "success" if rng.random() < 0.96 else "failure"
    return "incomplete" if rng.random() < 0.5 else "failure"


def _splits(world: World, rng: np.random.Generator) -> list[tuple[WorldImage, str]]:
    """train2014 and val2014 images: open ones are for training, reserved ones for valid, test or sometimes training."""
    images = [image for image in world.coco if image.part != "test2015"]
    reserved = shuffled(rng, [image.key for image in images if image.reserved])
    tests, valid = round(len(reserved) * 0.5), round(len(reserved) * 0.8)
    split = {key: "test" if number < tests else "valid" for number, key in enumerate(reserved[:valid])}
    return [(image, split.get(image.key, "train")) for image in images]
