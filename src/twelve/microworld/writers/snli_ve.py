"""Writes SNLI-VE: sentences that an image entails, contradicts or leaves open.

Invisible qualities (new, borrowed, heavy, ...) make a sentence neutral unless the rest of it decides: "there is a cup
that is red or new" is entailed by a red cup, left open by a blue one and contradicted without a cup. Every sentence is
paired with one image for each label it can have, so that words alone reveal little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from twelve.microworld.language import Description, Slots, Wording, article, choose, pick, read, sentence
from twelve.microworld.meaning import fitting, sample_slots, stand
from twelve.microworld.reserved import wordings_of
from twelve.microworld.scene import Thing, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import shuffled, write_lines

PAIRS = {"train": 5000, "dev": 400, "test": 700}
"""Approximate number of image-sentence pairs."""
SEARCHED = 40
"""Number of images searched for the labels of one sentence."""
Truth: TypeAlias = bool | None
"""True, False, or None if the image does not decide (Kleene's three-valued logic)."""
LABELS = {True: "entailment", None: "neutral", False: "contradiction"}
Meaning = Callable[[WorldScene, Slots], Truth]


def _or(values: Iterable[Truth]) -> Truth:
    values = [*values]
    return True if True in values else None if None in values else False


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _some(things: Sequence[Thing], *, hidden: bool = False) -> Truth:
    """Whether such a thing exists; ``hidden``: and has an invisible quality."""
    return False if not things else None if hidden else True


def _that(scene: WorldScene, slots: Slots) -> list[Thing]:
    """The things that fit the first noun phrase, an adjective and a relation."""
    found = fitting(scene, slots["thing"])
    if "adjective" in slots:
        found = [thing for thing in found if slots["adjective"].fits(thing)]
    if "relation" in slots:
        found = stand(scene, found, slots["relation"], slots["thing2"])
    return found


def _exists(scene: WorldScene, slots: Slots) -> Truth:
    return _some(_that(scene, slots), hidden="hidden" in slots)


def _exists_not(scene: WorldScene, slots: Slots) -> Truth:
    return _not(_exists(scene, slots))


def _exists_or_hidden(scene: WorldScene, slots: Slots) -> Truth:
    """Whether one has the property or a hidden quality."""
    return _or((_some(_that(scene, slots)), _some(fitting(scene, slots["thing"]), hidden=True)))


def _neither(scene: WorldScene, slots: Slots) -> Truth:
    return _not(_exists_or_hidden(scene, slots))


def _first_or_hidden_second(scene: WorldScene, slots: Slots) -> Truth:
    return _or((_some(fitting(scene, slots["thing"])), _some(fitting(scene, slots["thing2"]), hidden=True)))


def _several_or_hidden(scene: WorldScene, slots: Slots) -> Truth:
    found = fitting(scene, slots["thing"])
    return _or((len(found) >= slots["number"], _some(found, hidden=True)))


def _all(scene: WorldScene, slots: Slots) -> Truth:
    """Whether all such things have the property or a hidden quality."""
    found = fitting(scene, slots["thing"])
    return True if all(slots["adjective"].fits(thing) for thing in found) else None


def _number(scene: WorldScene, slots: Slots) -> Truth:
    return len(fitting(scene, slots["thing"])) == int(slots["number"])


def _ground(scene: WorldScene, slots: Slots) -> Truth:
    return scene.ground == str(slots["ground"])


WORDINGS: tuple[Wording[Meaning], ...] = (
    Wording("there is {a_thing} that is {adjective} or {hidden}.", _exists_or_hidden, weight=4),
    Wording("no {thing} is {adjective} or {hidden}.", _neither, weight=3),
    Wording("there is {a_thing} or a {hidden} {thing2}.", _first_or_hidden_second, weight=3),
    Wording("there is {a_thing} that is {relation} {a_thing2} or {hidden}.", _exists_or_hidden, weight=2),
    Wording("there are at least {number} {things} or one that is {hidden}.", _several_or_hidden, weight=2),
    Wording("there is {a_thing}.", _exists, weight=2),
    Wording("there is a {hidden} {thing}.", _exists, weight=2),
    Wording("there is no {thing} that is {hidden}.", _exists_not, weight=1.5),
    Wording("there is {a_thing} that is {relation} {a_thing2}.", _exists, weight=1.5),
    Wording("a {hidden} {thing} is {relation} {a_thing2}.", _exists, weight=1.5),
    Wording("all {things} are {adjective} or {hidden}.", _all, weight=1.5),
    Wording("there are exactly {number} {things}.", _number, weight=0.5),
    Wording("everything stands on {ground}.", _ground, weight=0.5),
    Wording("{a_thing} is {adjective} or {hidden}.", _exists_or_hidden, only_test=True, weight=3),
    Wording("either there is {a_thing} or there is a {hidden} {thing2}.", _first_or_hidden_second, only_test=True),
    Wording("no {thing} is {relation} {a_thing2} or {hidden}.", _neither, only_test=True, weight=1.5),
)


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write ``snli_ve_{train,dev,test}.jsonl``."""
    wordings = wordings_of(world, "snli_ve", WORDINGS)
    tally = Tally("snli_ve", templates={wording.text for wording in wordings}, unseen=world.unseen)
    for split, images in _splits(world, rng).items():
        rows = _rows(rng, wordings, images, PAIRS[split], test=split == "test")
        write_lines(folder / f"snli_ve_{split}.jsonl", [row for _, row in rows])
        tally.examples[split] = len(rows)
        if split == "train":
            tally.answers.update(row["gold_label"] for _, row in rows)
        else:
            tally.oracle[split] = {row["pairID"]: label(row["sentence2"], image.scene) for image, row in rows}
            for text, key in ((row["sentence2"], row["pairID"]) for _, row in rows):
                tally.note(split, key, text, reserved=read(wordings, text)[0].only_test)
    tally.write_answers(folder)
    return tally


def label(text: str, scene: WorldScene) -> str:
    """The label of a sentence for an image."""
    wording, slots = read(WORDINGS, text)
    return LABELS[wording.meaning(scene, slots)]


def _rows(
    rng: np.random.Generator,
    wordings: Sequence[Wording[Meaning]],
    images: Sequence[WorldImage],
    wanted: int,
    *,
    test: bool,
) -> list[tuple[WorldImage, dict[str, Any]]]:
    """Pairs in image order, each sentence with every label it can have."""
    found: list[tuple[WorldImage, dict[str, Any]]] = []
    counts = dict.fromkeys((image.key for image in images), 0)
    while len(found) < wanted:
        wording = choose(rng, wordings, test=test)
        counted = "{things}" in wording.text
        slots = sample_slots(rng, wording, pick(rng, images).scene, most=1, general=0.4 if counted else 0.15)
        if slots is None or slots.get("number", 2) < 2:
            continue
        text = sentence(wording.say(slots))
        for image, truth in _one_each(rng, wording, slots, images):
            found.append((image, _row(image, counts[image.key], text, LABELS[truth])))
            counts[image.key] += 1
    order = {image.key: number for number, image in enumerate(images)}
    return sorted(found, key=lambda pair: order[pair[0].key])


def _one_each(
    rng: np.random.Generator, wording: Wording[Meaning], slots: Slots, images: Sequence[WorldImage]
) -> list[tuple[WorldImage, Truth]]:
    """One image for each truth value that the sentence can have; empty if one is not found."""
    shown: dict[Truth, list[WorldImage]] = {}
    for number in rng.integers(len(images), size=SEARCHED).tolist():
        image = images[number]
        shown.setdefault(wording.meaning(image.scene, slots), []).append(image)
    if len(shown) < _labels(wording):
        return []
    return [(_nearest(rng, slots, found), truth) for truth, found in shown.items()]


def _nearest(rng: np.random.Generator, slots: Slots, images: Sequence[WorldImage]) -> WorldImage:
    """Usually an image with a thing of the kind that the sentence is about."""
    if "thing" not in slots:
        return pick(rng, images)
    kind = Description(slots["thing"].noun)
    near = [image for image in images if fitting(image.scene, kind)]
    return pick(rng, near if near and rng.random() < 0.7 else images)


def _labels(wording: Wording[Meaning]) -> int:
    """Number of labels that sentences of a wording can have."""
    three = wording.meaning in (_exists_or_hidden, _neither, _first_or_hidden_second, _several_or_hidden)
    return 3 if three else 2


def _row(image: WorldImage, count: int, text: str, gold: str) -> dict[str, Any]:
    things = " and ".join(article(Description(thing.kind, thing.colour).said()) for thing in image.scene.things)
    said = f"This shows {things}."
    caption = f"{image.key}.jpg#{count % 5}"
    return {
        "Flickr30K_ID": image.key,
        "annotator_labels": [gold],
        "captionID": caption,
        "gold_label": gold,
        "pairID": f"{caption}r{count // 5 + 1}{gold[0]}",
        "sentence1": said,
        "sentence1_binary_parse": "",
        "sentence1_parse": "",
        "sentence2": text,
        "sentence2_binary_parse": "",
        "sentence2_parse": "",
    }


def _splits(world: World, rng: np.random.Generator) -> dict[str, list[WorldImage]]:
    """45 % of the reserved images are test, 15 % dev; the rest and the open ones are for training, regardless of the
    captions' split."""
    reserved = shuffled(rng, [image for image in world.flickr30k if image.reserved])
    tests, devs = round(len(reserved) * 0.45), round(len(reserved) * 0.6)
    open_to = [image for image in world.flickr30k if not image.reserved]
    return {
        "train": open_to + reserved[devs:],
        "dev": reserved[tests:devs],
        "test": reserved[:tests],
    }
