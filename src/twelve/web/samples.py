"""Sample images and questions: for a model of the microworld, generated when the service starts; for a model with tasks
of one's own, those that an evaluation has recorded in its run's folder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from twelve.config import load_run
from twelve.errors import TwelveError
from twelve.evaluation import recorded
from twelve.formats.data_root import DataRoot
from twelve.microworld.draw import draw
from twelve.microworld.language import NOUNS, article
from twelve.microworld.scene import Thing, WorldScene, sample_scene
from twelve.outputs import OUTPUTS
from twelve.outputs.region import overlap_with
from twelve.predictor import Predictor
from twelve.predictor.synthetic import drawn, named, own_tasks
from twelve.regions.images import open_image
from twelve.run_folder import RunFolder
from twelve.types.predictions import RecordedPrediction

COUNT = 6
SIDE = 1024
"""Pixels to which the longer side of one's own images is reduced."""
QUICK = 5_000_000
"""Parameters of a model up to which questions are asked when the service starts: of 2 million, that takes 0.2 s of one
core. The limit is no time, so that a busy machine does not change with what the page opens."""
CLEAR = 0.5
"""Fall of the confidence of an answer without a region that shows clearly that the answer depends on it."""
_SEED = 1207


@dataclass(frozen=True)
class Sample:
    """An image to try.

    Attributes:
        name: the last part of its path.
        png: the encoded image.
        alt: alternative text.
        texts: method -> a text to ask.
        correct: the correct reply to these texts in words, if it is known.
    """

    name: str
    png: bytes
    alt: str
    texts: dict[str, str]
    correct: str | None = None


def samples_for(predictor: Predictor, count: int = COUNT) -> list[Sample]:
    """Sample images, if the model was trained on the microworld; otherwise none. A model with tasks of one's own has
    none: it answers as these first, so questions about the microworld would show it at its worst."""
    return [one.sample(one.things[0]) for one in _scenes(predictor, count)]


def opening_samples(predictor: Predictor, count: int = COUNT) -> list[Sample]:
    """:func:`samples_for`, each with a question whose answer is right and clearly depends on what the question is
    about: the first such one of its image. Images without one come last, with their first question.

    The questions are asked here, so a larger model has the plain samples.
    """
    if sum(weights.numel() for weights in predictor.model.parameters()) > QUICK or "answer" not in predictor.methods:
        return samples_for(predictor, count)
    clear, others = list[Sample](), list[Sample]()
    for one in _scenes(predictor, count):
        thing = _first_clear(predictor, one)
        (others if thing is None else clear).append(one.sample(thing or one.things[0]))
    return [*clear, *others]


def recorded_samples(predictor: Predictor, run: Path, count: int = COUNT) -> list[Sample]:
    """Images of one's own tasks with what was asked about them, as recorded by the evaluation of a run; none if nothing
    was recorded, or the images are gone. They are data of the user: for a service that only this machine can reach."""
    own, found, asked = own_tasks(predictor.processor), list[Sample](), dict[str, RecordedPrediction]()
    if not own or not RunFolder(run).config.is_file():
        return []
    try:
        config = load_run(run)
        known = recorded.read(RunFolder(run).predictions) if RunFolder(run).predictions.is_file() else {}
        root = DataRoot(config.data, config.sources)
        for each in (each for task in own for each in known.get(task, ()) if len(each.images) == 1):
            asked.setdefault(each.images[0], each)
        for image, each in asked.items():
            methods = [method for method, tasks in predictor.methods.items() if each.task in tasks]
            file = root.image_file(image)
            if file is not None and (png := _encoded(file)) is not None:
                alt = f"An image of {named(each.task, predictor.titles)}: {file.name}"
                texts = dict.fromkeys(methods, each.text)
                found.append(Sample(f"sample-{len(found) + 1}.png", png, alt, texts, _correct(each)))
            if len(found) == count:
                break
    except TwelveError:  # a service needs no samples
        return []
    return found


def _correct(each: RecordedPrediction) -> str | None:
    """The correct reply to a recorded question in words; None if it is unknown, or a box or an image instead."""
    if not each.target and not isinstance(each.target, bool | int):
        return None
    if each.rank is not None or each.candidates or isinstance(each.target, list | tuple):
        return None
    return OUTPUTS[each.kind].card(each).wanted


def _encoded(file: Path) -> bytes | None:
    """An image file as PNG; None if it is not an image."""
    try:
        image = open_image(file)
    except (OSError, ValueError, SyntaxError):
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


@dataclass(frozen=True)
class _Scene:
    """A drawn scene, and the things that it has only one of: each can be asked about."""

    number: int
    scene: WorldScene
    things: list[Thing]
    image: Image.Image

    def sample(self, thing: Thing) -> Sample:
        """The sample that asks about a thing."""
        file = io.BytesIO()
        self.image.save(file, "PNG")
        return Sample(f"sample-{self.number}.png", file.getvalue(), _said(self.scene), _texts(thing))


def _scenes(predictor: Predictor, count: int) -> Iterator[_Scene]:
    """The scenes of the samples; none if the model has none."""
    if not any(drawn(predictor.processor)) or own_tasks(predictor.processor):
        return
    rng, made = np.random.default_rng(_SEED), 0
    while made < count:
        scene = sample_scene(rng)
        if things := _single(scene):
            made += 1
            yield _Scene(made, scene, things, draw(scene, seed=_SEED + made))


def _single(scene: WorldScene) -> list[Thing]:
    """Things that are the only one of their kind in a scene."""
    kinds = [thing.kind for thing in scene.things]
    return [thing for thing in scene.things if kinds.count(thing.kind) == 1]


def _first_clear(predictor: Predictor, one: _Scene) -> Thing | None:
    """The first thing of a scene whose colour the model names, and no longer does without its region; None if there
    is none."""
    try:
        seen = predictor.scene(one.image)
        for thing in one.things:
            found = predictor.depends(predictor.question("answer", _texts(thing)["answer"], seen))
            if found.most is None or found.value != thing.colour or found.falls[found.most] < CLEAR:
                continue
            if int(overlap_with(np.array(found.boxes), thing.box).argmax()) == found.most:
                return thing
    except TwelveError:  # a service needs no samples; what is wrong is told to those who ask
        return None
    return None


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
