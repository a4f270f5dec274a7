"""Writes captions as Karpathy's split files: five per image, most of them true of few images."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twelve.microworld.language import LIVELY, Slots, Wording, choose, read, sentence
from twelve.microworld.meaning import at_side, fitting, related, sample_slots, stand
from twelve.microworld.relations import RELATIONS
from twelve.microworld.reserved import wordings_of
from twelve.microworld.scene import Thing, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import file_name, shuffled, write_json

CAPTIONS = 5
PATIENCE = 300
"""Number of tries after which captions may be ambiguous about similar things."""
Meaning = Callable[[WorldScene, Slots], bool]


def _present(scene: WorldScene, slots: Slots) -> bool:
    """Whether every clause of the slots is true: things are present (in the given number), sides, relations and ground
    are right, and missing things are missing."""
    if slots.get("ground", scene.ground) != scene.ground:
        return False
    if "missing" in slots and fitting(scene, slots["missing"]):
        return False
    for number in ("", "2", "3"):
        if f"thing{number}" in slots and not _there(scene, slots, number):
            return False
    return _related(scene, slots)


def _there(scene: WorldScene, slots: Slots, number: str) -> bool:
    found = fitting(scene, slots[f"thing{number}"])
    if f"number{number}" in slots:
        return len(found) == int(slots[f"number{number}"])
    if f"side{number}" in slots:
        found = at_side(scene, found, slots[f"side{number}"], strictly=True)
    return bool(found)


def _related(scene: WorldScene, slots: Slots) -> bool:
    if "relation2" in slots:
        return bool(_chain(scene, slots))
    return bool(related(scene, fitting(scene, slots["thing"]), slots))


def _chain(scene: WorldScene, slots: Slots) -> list[Thing]:
    """Things related to a second thing that is related to a third."""
    seconds = stand(scene, fitting(scene, slots["thing2"]), slots["relation2"], slots["thing3"])
    holds = RELATIONS[slots["relation"]]
    return [
        one
        for one in fitting(scene, slots["thing"])
        if any(other is not one and holds(scene, one, other) for other in seconds)
    ]


COCO: tuple[Wording[Meaning], ...] = (
    Wording("{a_thing} and {a_thing2} on {ground}.", _present, weight=2),
    Wording("{a_thing} {relation} {a_thing2}.", _present, weight=2),
    Wording("{a_thing}, {a_thing2} and {a_thing3}.", _present, weight=2),
    Wording("there is {a_thing} {relation} {a_thing2} on {ground}.", _present),
    Wording("{a_thing} {where} and {a_thing2} {where2}.", _present),
    Wording("{number} {things} and {a_thing2}.", _present),
    Wording("{ground} with {a_thing} and {number2} {things2}.", _present),
    Wording("{a_thing} and {a_thing2}, but no {missing}.", _present),
    Wording("{a_thing2} is {inverse} {a_thing}.", _present, only_test=True),
    Wording("{number} {things} on {ground}, and {a_thing2} {where2}.", _present, only_test=True),
)
FLICKR30K: tuple[Wording[Meaning], ...] = (
    Wording("someone left {a_thing} and {a_thing2} out on the {ground}.", _present, style=LIVELY, weight=2),
    Wording("look, {a_thing} sits {relation} {a_thing2}!", _present, style=LIVELY, weight=2),
    Wording("out on the {ground}, {a_thing} keeps {a_thing2} and {a_thing3} company.", _present, style=LIVELY),
    Wording("{a_thing} rests {relation} {a_thing2}, and {also} {a_thing3}.", _present, style=LIVELY),
    Wording("{a_thing} sits {relation} {a_thing2} that rests {relation2} {a_thing3}.", _present, style=LIVELY),
    Wording("{number} {things} share the {ground} with {a_thing2}.", _present, style=LIVELY),
    Wording("not a single {missing} keeps {a_thing} and {a_thing2} company.", _present, style=LIVELY),
    Wording("{a_thing} waits {where} while {a_thing2} waits {where2}.", _present, style=LIVELY),
    Wording("on the {ground} {a_thing} waits, with {a_thing2} {inverse} it.", _present, style=LIVELY, only_test=True),
    Wording("look, {number} {things} keep {a_thing2} company!", _present, style=LIVELY, only_test=True),
)
_STYLES = {"coco": COCO, "flickr30k": FLICKR30K}


def write(world: World, folder: Path, rng: np.random.Generator, dataset: str) -> Tally:
    """Write ``dataset_<dataset>.json``.

    Args:
        dataset: ``coco`` (train2014 is train; val2014 is restval, val and test) or ``flickr30k``.
    """
    wordings = wordings_of(world, dataset, _STYLES[dataset])
    tally = Tally(dataset, templates={wording.text for wording in wordings}, unseen=world.unseen)
    images: list[dict[str, Any]] = []
    shown: dict[str, list[tuple[WorldImage, dict[str, Any]]]] = {}
    for image, split in _coco(world) if dataset == "coco" else _flickr(world, rng):
        texts = caption(rng, wordings, image.scene, test=split == "test")
        sentences = [_sentence(text, len(images), CAPTIONS * len(images) + k) for k, text in enumerate(texts)]
        record = {"filename": file_name(image), "imgid": len(images), "split": split, "sentences": sentences}
        record["sentids"] = [row["sentid"] for row in sentences]
        if dataset == "coco":
            record |= {"filepath": image.part, "cocoid": int(image.key)}
        images.append(record)
        shown.setdefault(split, []).append((image, record))
        name = "train" if split == "restval" else split
        tally.examples[name] = tally.examples.get(name, 0) + CAPTIONS
    write_json(folder / f"dataset_{dataset}.json", {"images": images, "dataset": dataset})
    for split in ("val", "test"):
        tally.oracle[split] = _oracle(dataset, wordings, shown[split])
        for row in (row for _, record in shown[split] for row in record["sentences"]):
            reserved = read(wordings, row["raw"])[0].only_test
            tally.note(split, str(row["sentid"]), row["raw"], reserved=reserved)
    tally.write_answers(folder)
    return tally


def caption(
    rng: np.random.Generator, wordings: Sequence[Wording[Meaning]], scene: WorldScene, *, test: bool
) -> list[str]:
    """Five different captions that are true of the scene."""
    texts: list[str] = []
    tries = 0
    while len(texts) < CAPTIONS:
        tries += 1
        wording = choose(rng, wordings, test=test)
        slots = sample_slots(rng, wording, scene, least=0 if "number" in wording.keys else 1, most=2, general=0.0)
        if slots is None or not wording.meaning(scene, slots) or not (tries > PATIENCE or _apart(scene, slots)):
            continue
        text = sentence(wording.say(slots))
        if text not in texts:
            texts.append(text)
    return texts


def _apart(scene: WorldScene, slots: Slots) -> bool:
    """Whether no two phrases could refer to the same thing and no number is one."""
    found = [fitting(scene, slots[key]) for key in ("thing", "thing2", "thing3") if key in slots]
    meant = [id(thing) for things in found for thing in things]
    counted = [slots[key] for key in ("number", "number2") if key in slots]
    return len({*meant}) == len(meant) and all(count > 1 for count in counted)


def _sentence(text: str, imgid: int, sentid: int) -> dict[str, Any]:
    return {"tokens": re.findall(r"\w+", text.lower()), "raw": text, "imgid": imgid, "sentid": sentid}


def _oracle(
    dataset: str, wordings: Sequence[Wording[Meaning]], shown: Sequence[tuple[WorldImage, dict[str, Any]]]
) -> dict[str, list[str]]:
    """Caption id -> ids of the split's images that it is true of."""
    found: dict[str, list[str]] = {}
    for _, record in shown:
        for row in record["sentences"]:
            wording, slots = read(wordings, row["raw"])
            fit = [image for image, _ in shown if wording.meaning(image.scene, slots)]
            found[str(row["sentid"])] = [f"{dataset}/{image.key}" for image in fit]
    return found


def _coco(world: World) -> list[tuple[WorldImage, str]]:
    """train2014 and open val2014 images are for training; reserved ones alternate between val and test."""
    placed: list[tuple[WorldImage, str]] = []
    reserved = 0
    for image in world.coco:
        if image.part == "train2014":
            placed.append((image, "train"))
        elif image.part == "val2014":
            placed.append((image, ("test", "val")[reserved % 2] if image.reserved else "restval"))
            reserved += image.reserved
    return placed


def _flickr(world: World, rng: np.random.Generator) -> list[tuple[WorldImage, str]]:
    """Over half of the reserved images are test, a fifth val, and the rest train, though SNLI-VE may test on them."""
    reserved = shuffled(rng, [image.key for image in world.flickr30k if image.reserved])
    tests, vals = round(len(reserved) * 0.54), round(len(reserved) * 0.75)
    split = {key: "test" if number < tests else "val" for number, key in enumerate(reserved[:vals])}
    return [(image, split.get(image.key, "train")) for image in world.flickr30k]
