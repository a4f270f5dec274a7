"""Writes references in the layout of the refer releases (readers: tasks/formats/refer.py). Every sentence refers to
exactly one thing.

RefCOCO's sentences may use locations, RefCOCO+'s only appearance; RefCOCOg's are longer and full of relations. The
three split the same reserved images differently, as the originals do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from twelve.microworld.language import Slots, Wording, adjective, choose, pick, read
from twelve.microworld.meaning import at_level, at_side, extreme, fitting, nth, related, sample_slots, stand, the
from twelve.microworld.reserved import wordings_of
from twelve.microworld.scene import KINDS, Thing, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import annotation_id, file_name, outline, shuffled, write_bytes, write_json, xywh
from twelve.microworld.writers.python2 import dumps

Meaning = Callable[[WorldScene, Slots], list[Thing]]
FAMILIES_A = ("animal", "vehicle")
"""Families of things in testA; testB has the rest."""
TRIES = 60
"""Number of tries for unambiguous sentences about a thing."""


def _looks(scene: WorldScene, slots: Slots) -> list[Thing]:
    found = fitting(scene, slots["thing"])
    for key in ("adjective", "adjective2"):
        if key in slots:
            found = [thing for thing in found if slots[key].fits(thing)]
    for key in ("colour", "pattern"):
        if key in slots:
            found = [thing for thing in found if getattr(thing, key) == slots[key]]
    return found


def _placed(scene: WorldScene, slots: Slots) -> list[Thing]:
    found = fitting(scene, slots["thing"])
    if "side" in slots:
        found = at_side(scene, found, slots["side"])
    if "level" in slots:
        found = at_level(scene, found, slots["level"])
    return found


def _extreme(scene: WorldScene, slots: Slots) -> list[Thing]:
    found = fitting(scene, slots["thing"])
    return extreme(scene, found, slots["extreme"]) if len(found) > 1 else []


def _nth(side: str) -> Meaning:
    def meaning(scene: WorldScene, slots: Slots) -> list[Thing]:
        found = fitting(scene, slots["thing"])
        return nth(scene, found, slots["ordinal"], side) if len(found) > 1 else []

    return meaning


def _same(attribute: str) -> Meaning:
    def meaning(scene: WorldScene, slots: Slots) -> list[Thing]:
        other = the(scene, slots["thing2"])
        if other is None:
            return []
        value = getattr(other, attribute)
        return [
            thing
            for thing in fitting(scene, slots["thing"])
            if thing is not other and getattr(thing, attribute) == value
        ]

    return meaning


def _without(scene: WorldScene, slots: Slots) -> list[Thing]:
    return [thing for thing in fitting(scene, slots["thing"]) if not slots["adjective"].fits(thing)]


def _related(scene: WorldScene, slots: Slots) -> list[Thing]:
    """Things in all named relations; none unless "the" other thing is unique."""
    if the(scene, slots["thing2"]) is None or ("thing3" in slots and the(scene, slots["thing3"]) is None):
        return []
    if slots.get("ground", scene.ground) != scene.ground:
        return []
    found = related(scene, _looks(scene, slots), slots)
    if "unrelated" in slots:
        near = stand(scene, found, slots["unrelated"], slots["thing2"])
        found = [one for one in found if not slots["thing2"].fits(one) and all(one is not other for other in near)]
    return found


REFCOCO: tuple[Wording[Meaning], ...] = (
    Wording("{thing} {where}", _placed, weight=2),
    Wording("{side} {thing}", _placed, weight=2),
    Wording("{level} {side} {thing}", _placed),
    Wording("{thing} {height}", _placed),
    Wording("{extreme} {thing}", _extreme, weight=1.5),
    Wording("{thing} {relation} {thing2}", _related, weight=2),
    Wording("{ordinal} {thing} from left", _nth("left")),
    Wording("{where} the {thing}", _placed, only_test=True),
    Wording("{thing} {height} {where}", _placed, only_test=True),
)
REFCOCO_PLUS: tuple[Wording[Meaning], ...] = (
    Wording("{thing}", _looks, weight=3),
    Wording("the {thing}", _looks),
    Wording("{thing} that is {adjective}", _looks, weight=2),
    Wording("{thing} in {colour}", _looks),
    Wording("{thing} that is not {adjective}", _without, weight=2),
    Wording("{thing} with same colour as {thing2}", _same("colour")),
    Wording("{thing} with same pattern as {thing2}", _same("pattern")),
    Wording("{adjective} and {adjective2} {thing}", _looks, only_test=True),
    Wording("not the {adjective} {thing}", _without, only_test=True),
)
REFCOCOG: tuple[Wording[Meaning], ...] = (
    Wording("the {thing} that is {relation} the {thing2}", _related, weight=3),
    Wording("the {thing} of {colour} colour with a {pattern} surface", _looks, weight=2),
    Wording("the {thing} that has the {thing2} {inverse} it", _related, weight=1.5),
    Wording("a {pattern} one, the {thing} {relation} the {thing2}", _related),
    Wording("the {thing} {relation} the {thing2} and {also} the {thing3}", _related),
    Wording("the {thing} that is not {unrelated} the {thing2}", _related, weight=1.5),
    Wording("the {thing} on the {ground} that is {relation} the {thing2}", _related),
    Wording("the {thing} that is {relation} the {thing2} and {adjective}", _related, only_test=True),
    Wording("the {thing} that is not {unrelated} the {thing2} on the {ground}", _related, only_test=True),
)


@dataclass(frozen=True, slots=True)
class _Release:
    """A dataset of the family: its wordings, its split authors (the first is the task's default), the shares of its
    reserved images for val and test (the rest trains), and its training references per training image."""

    wordings: tuple[Wording[Meaning], ...]
    split_by: tuple[str, ...]
    shares: tuple[float, float] = (0.25, 0.55)
    references: int = 2


_RELEASES = {
    "refcoco": _Release(REFCOCO, ("unc", "google")),
    "refcoco+": _Release(REFCOCO_PLUS, ("unc",)),
    "refcocog": _Release(REFCOCOG, ("umd", "google")),
}


def write(world: World, folder: Path, rng: np.random.Generator, dataset: str) -> Tally:
    """Write ``instances.json`` and one ``refs(<author>).p`` per split of the release.

    Args:
        dataset: ``refcoco``, ``refcoco+`` or ``refcocog``.
    """
    release = _RELEASES[dataset]
    release = replace(release, wordings=wordings_of(world, dataset, release.wordings))
    images = [image for image in world.coco if image.part == "train2014"]
    tally = Tally(dataset, templates={wording.text for wording in release.wordings}, unseen=world.unseen)
    write_json(folder / "instances.json", _instances(images))
    split = _splits(rng, images, release.shares)
    refs: list[dict[str, Any]] = []
    for image in images:
        part = split.get(image.key, "train")
        wanted = 3 if part != "train" else release.references
        # At random, so that nothing makes a thing likelier to be a target.
        for number in shuffled(rng, range(len(image.scene.things)))[:wanted]:
            texts = sentences(rng, release.wordings, image.scene, image.scene.things[number], test=part == "test")
            if texts:
                refs.append(_reference(image, number, texts, refs))
                family = image.scene.things[number].family
                half = "A" if family in FAMILIES_A else "B"
                refs[-1]["split"] = part + half if part == "test" and release.split_by[0] == "unc" else part
                _count(tally, release, image, refs[-1])
    for who in release.split_by:
        write_bytes(folder / f"refs({who}).p", dumps(refs if who != "google" else _google(dataset, refs)))
    tally.write_answers(folder)
    return tally


def sentences(
    rng: np.random.Generator, wordings: Sequence[Wording[Meaning]], scene: WorldScene, target: Thing, *, test: bool
) -> list[str]:
    """Two or three different sentences that refer only to the target; empty if fewer were found."""
    wanted = 2 + int(rng.integers(2))
    texts: list[str] = []
    for _ in range(TRIES):
        wording = choose(rng, wordings, test=test)
        slots = sample_slots(rng, wording, scene, target, least=0, most=2, general=0.2)
        if slots is None:
            continue
        if wording.meaning is _without and (slots := _denied(rng, scene, slots, target)) is None:
            continue
        found = wording.meaning(scene, slots)
        text = wording.say(slots)
        if len(found) == 1 and found[0] is target and text not in texts and len(text.split()) <= 18:
            texts.append(text)
        if len(texts) == wanted:
            break
    return texts if len(texts) > 1 else []


def _denied(rng: np.random.Generator, scene: WorldScene, slots: Slots, target: Thing) -> Slots | None:
    """Replace the adjective by that of another thing that fits the noun phrase and not by the target's."""
    others = [thing for thing in fitting(scene, slots["thing"]) if thing is not target]
    if not others:
        return None
    name = pick(rng, ("colour", "size", "pattern"))
    word = getattr(pick(rng, others), name)
    if word == getattr(target, name) or getattr(slots["thing"], name) is not None:
        return None
    return {**slots, "adjective": adjective(word)}


def _splits(rng: np.random.Generator, images: Sequence[WorldImage], shares: tuple[float, float]) -> dict[str, str]:
    reserved = shuffled(rng, [image.key for image in images if image.reserved])
    vals, tests = (round(len(reserved) * share) for share in shares)
    return dict.fromkeys(reserved[:vals], "val") | dict.fromkeys(reserved[vals : vals + tests], "test")


def _reference(
    image: WorldImage, number: int, texts: Sequence[str], before: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    first = before[-1]["sent_ids"][-1] + 1 if before else 0
    name, annotation = file_name(image), annotation_id(image, number)
    return {
        "sent_ids": list(range(first, first + len(texts))),
        "file_name": f"{name.removesuffix('.jpg')}_{annotation}.jpg",
        "ann_id": annotation,
        "ref_id": len(before),
        "image_id": int(image.key),
        "split": "",
        "sentences": [
            {"tokens": text.replace(",", "").split(), "raw": text, "sent_id": first + k, "sent": text.replace(",", "")}
            for k, text in enumerate(texts)
        ],
        "category_id": KINDS[image.scene.things[number].kind][1],
    }


def _count(tally: Tally, release: _Release, image: WorldImage, ref: dict[str, Any]) -> None:
    """Add a reference to the tally under its split and, for testA and testB, under ``test``."""
    splits = {ref["split"], "test"} if ref["split"].startswith("test") else {ref["split"]}
    for split in sorted(splits):
        tally.examples[split] = tally.examples.get(split, 0) + len(ref["sentences"])
        for row in ref["sentences"] if split != "train" else ():
            wording, slots = read(release.wordings, row["raw"])
            found = wording.meaning(image.scene, slots)
            tally.oracle.setdefault(split, {})[str(row["sent_id"])] = list(found[0].box)
            tally.note(split, str(row["sent_id"]), row["raw"], reserved=wording.only_test)


def _google(dataset: str, refs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The references in Google's split, which for refcocog is by thing, so that train and val share images."""
    if dataset == "refcocog":
        return [ref | {"split": "val" if ref["ref_id"] % 10 == 0 else "train"} for ref in refs]
    turn = ("testA", "testB", "val")
    return [ref | {"split": turn[ref["image_id"] % 3] if ref["split"] != "train" else "train"} for ref in refs]


def _instances(drawn: Sequence[WorldImage]) -> dict[str, Any]:
    """All things as COCO annotations."""
    images = [
        {
            "id": int(image.key),
            "file_name": file_name(image),
            "width": image.scene.width,
            "height": image.scene.height,
            "license": 1,
            "coco_url": "",
            "flickr_url": "",
            "date_captured": "2014-01-01 00:00:00",
        }
        for image in drawn
    ]
    annotations = [
        {
            "id": annotation_id(image, number),
            "image_id": int(image.key),
            "category_id": KINDS[thing.kind][1],
            "bbox": (bbox := xywh(thing.box)),
            "segmentation": [outline(thing.box)],
            "area": bbox[2] * bbox[3],
            "iscrowd": 0,
        }
        for image in drawn
        for number, thing in enumerate(image.scene.things)
    ]
    categories = [{"id": number, "name": kind, "supercategory": family} for kind, (family, number) in KINDS.items()]
    info = {"description": "things of a drawn world", "version": "1.0", "year": 2014}
    licenses = [{"id": 1, "name": "", "url": ""}]
    return {
        "info": info,
        "images": images,
        "annotations": annotations,
        "categories": categories,
        "licenses": licenses,
    }
