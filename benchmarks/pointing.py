"""How often the box that stands out is the thing asked about: in attention, and where leaving a box out matters most.

    python benchmarks/pointing.py examples/quickstart-model

Generates images, asks "What colour is the NOUN?" and locates "the COLOUR NOUN", about a thing that is the only one of
its kind and that the detector has found. Prints in how many images the box is this thing, as
docs/search-and-service.md reports.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import twelve
from twelve.microworld.draw import draw
from twelve.microworld.language import NOUNS
from twelve.microworld.scene import Thing, sample_scene
from twelve.predictor import Attention, Predictor, Scene
from twelve.types.examples import Box

IMAGES = 60
"""Images of each seed."""
FOUND = 0.5
"""Overlap (intersection over union) from which on a box is a thing."""


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def images(model: Predictor, seed: int) -> Iterator[tuple[Scene, Thing, set[int]]]:
    """Images with a thing that can be asked about, and the indices of the boxes that are this thing."""
    rng, made, drawn = np.random.default_rng(seed), 0, 0
    while made < IMAGES:
        world = sample_scene(rng)
        drawn += 1
        kinds = [thing.kind for thing in world.things]
        thing = next((each for each in world.things if kinds.count(each.kind) == 1), None)
        if thing is None:
            continue
        scene = model.scene(draw(world, seed=90000 + drawn))
        boxes = scene.regions.boxes[: model.processor.max_regions].tolist()
        if right := {k for k, (a, b, c, d) in enumerate(boxes) if overlap((a, b, c, d), thing.box) >= FOUND}:
            made += 1
            yield scene, thing, right


def views(attention: Attention, pieces: list[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each way to read an attention, and its (R,) value of each box for a word."""
    words = list(attention.words)
    start = next(k for k in range(len(words)) if words[k : k + len(pieces)] == pieces)
    noun = slice(start, start + len(pieces))
    places = {"noun": noun, "[CLS]": slice(0, 1), "[SEP]": slice(len(words) - 1, len(words))}
    for name, place in places.items():
        yield f"{name}, words to boxes, mean of all", attention.words_to_regions()[place].mean(0)[1:]
        yield f"{name}, boxes to words, mean of all", attention.regions_to_words()[1:, place].mean(1)
        for number in range(attention.connections):
            to_boxes, to_words = attention.words_to_regions(number), attention.regions_to_words(number)
            yield f"{name}, words to boxes, connection {number}, mean", to_boxes[place].mean(0)[1:]
            yield f"{name}, boxes to words, connection {number}, mean", to_words[1:, place].mean(1)
            strongest = attention.strongest(number)
            yield f"{name}, boxes to words, connection {number}, strongest head", strongest[1:, place].mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    model = twelve.load(given.model)
    right: Counter[tuple[str, str]] = Counter()
    for seed in given.seeds:
        for scene, thing, boxes in images(model, seed):
            noun = NOUNS[thing.kind][0]
            question = f"What colour is the {noun}?"
            found = scene.depends(question)
            right["answer", "without which the answer falls most"] += int(np.argmax(found.falls)) in boxes
            pieces = model.processor.tokens(model.processor.tokenizer.encode(noun, add_special_tokens=False).ids)
            for method, text in (("answer", question), ("locate", f"the {thing.colour} {noun}")):
                attention = scene.ask(method, text, explain=True).attention
                for name, values in views(attention, pieces):
                    right[method, name] += int(np.argmax(values)) in boxes
    total = IMAGES * len(given.seeds)
    for (method, name), count in sorted(right.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"{method}: {name}: {count} of {total} ({count / total:.0%})")


if __name__ == "__main__":
    main()
