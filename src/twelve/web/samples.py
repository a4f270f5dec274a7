"""Sample images and questions for a model of the microworld, generated when the service starts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from twelve.errors import RegionError
from twelve.microworld.draw import draw
from twelve.microworld.language import NOUNS, article
from twelve.microworld.scene import Thing, WorldScene, sample_scene
from twelve.predictor import Predictor
from twelve.regions.recipe import Recipe
from twelve.tasks.base import all_tasks

COUNT = 6
BACKBONE = "microworld"
_SEED = 1207


@dataclass(frozen=True)
class Sample:
    """A drawn image.

    Attributes:
        name: the last part of its path.
        png: the encoded image.
        alt: alternative text.
        texts: method -> a text to ask.
    """

    name: str
    png: bytes
    alt: str
    texts: dict[str, str]


def samples_for(predictor: Predictor, count: int = COUNT) -> list[Sample]:
    """Sample images, if the model was trained on the microworld; otherwise none."""
    return list(_samples(count)) if any(_drawn(predictor)) else []


def note_for(predictor: Predictor) -> str | None:
    """A note for users of a model whose images, apart from those of the user's own tasks, were all synthetic; otherwise
    None."""
    if not (synthetic := synthetic_tasks(predictor)):
        return None
    own = [predictor.titles[name] for name in predictor.processor.task_outputs if name not in synthetic]
    if own:
        return f"Apart from {', '.join(own)}, this model was trained on synthetic images only, not on photographs."
    return "This model was trained on synthetic images only, not on photographs."


def synthetic_tasks(predictor: Predictor) -> set[str]:
    """The tasks whose data are a microworld's stand-ins of a dataset. A task of one's own is never one of them: only
    its author knows what its images are, whichever network extracted their regions."""
    drawn, known = _drawn(predictor), all_tasks()
    return {name for name in predictor.processor.task_outputs if name in known} if drawn and all(drawn) else set()


def _drawn(predictor: Predictor) -> list[bool]:
    """For each source of training images, whether it is a microworld; empty if unknown."""
    try:
        recipes = [Recipe.from_json(recipe) for recipe in predictor.processor.region_recipes.values()]
    except RegionError:
        return []
    return [recipe.config.backbone == BACKBONE for recipe in recipes]


def _samples(count: int) -> Iterator[Sample]:
    rng, made = np.random.default_rng(_SEED), 0
    while made < count:
        scene = sample_scene(rng)
        if (told := next(_single(scene), None)) is None:
            continue
        made += 1
        file = io.BytesIO()
        draw(scene, seed=_SEED + made).save(file, "PNG")
        yield Sample(f"sample-{made}.png", file.getvalue(), _said(scene), _texts(told))


def _single(scene: WorldScene) -> Iterator[Thing]:
    """Things that are the only one of their kind in a scene."""
    kinds = [thing.kind for thing in scene.things]
    return (thing for thing in scene.things if kinds.count(thing.kind) == 1)


def _said(scene: WorldScene) -> str:
    things = [article(f"{thing.size} {thing.colour} {NOUNS[thing.kind][0]}") for thing in scene.things]
    return f"On {scene.ground}: {', '.join(things[:-1])} and {things[-1]}"


def _texts(thing: Thing) -> dict[str, str]:
    noun = NOUNS[thing.kind][0]
    return {
        "answer": f"What colour is the {noun}?",
        "locate": f"the {thing.colour} {noun}",
        "choose": f"Which {noun} is {thing.colour}?",
        "guess": f"Is it {article(noun)}?",
        "entails": f"There is {article(f'{thing.colour} {noun}')}.",
        "verify": f"Both images contain {article(noun)}.",
        "match": article(f"{thing.colour} {noun}"),
    }
