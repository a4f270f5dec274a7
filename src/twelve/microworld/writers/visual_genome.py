"""Writes Visual Genome QA: open questions with natural answers (layout: tasks/visual_genome_qa.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twelve.metrics.vqa import vocabulary_label
from twelve.microworld import facts
from twelve.microworld.language import HEIGHT, WHERE, article, sentence
from twelve.microworld.questions import Asker, Form, WorldQuestion, open_to_training, seed_of, templates, untidy
from twelve.microworld.reserved import forms_of
from twelve.microworld.scene import KINDS
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.layout import write_json

PER_IMAGE = 8
VAL_SHARE = 10
"""One in this many questions is val: those with the largest ids, about reserved images."""

FORMS = (
    Form(
        "colour",
        facts.attribute("color"),
        (
            "what colour does the {thing} have?",
            "what colour is on the {thing}?",
            "what colour can be seen on the {thing}?",
        ),
        ("what colour was the {thing} painted?",),
        weight=2.0,
    ),
    Form(
        "what",
        facts.attribute("name"),
        ("what sort of thing is the {thing}?", "what is shown by the {thing}?", "what does the {thing} show?"),
        ("what do people call the {thing}?",),
        weight=1.2,
    ),
    Form(
        "where",
        facts.attribute("hposition"),
        ("where is the {thing}?", "where in the picture is the {thing}?"),
        ("where can the {thing} be found?",),
        weight=1.2,
    ),
    Form("height", facts.attribute("vposition"), ("how high in the picture is the {thing}?",), weight=0.6),
    Form(
        "count",
        facts.count,
        ("how many {things} does the picture have?", "how many {things} do you see?"),
        ("how many {things} were drawn?",),
        weight=1.2,
        shares={"0": 0.7, "3": 0.6, "4": 0.6, "5": 0.3, "6": 0.25},
    ),
    Form("pattern", facts.attribute("pattern"), ("how is the {thing} decorated?", "what is painted on the {thing}?")),
    Form("size", facts.attribute("size"), ("how big is the {thing}?",), weight=0.5),
    Form(
        "ground",
        facts.ground,
        ("where are the things?", "what are the things on?", "what is under the things?"),
        ("what is everything standing on?",),
        weight=0.4,
        most=1,
    ),
    Form(
        "what is there",
        facts.at_place,
        ("what {hint} is in the {place} part of the picture?", "what is the {hint} at the {place} of the picture?"),
        weight=0.6,
    ),
    Form(
        "beside",
        facts.related_attribute("name"),
        ("what {hint} can be seen {relation} the {thing}?",),
        ("what {hint} was put {relation} the {thing}?",),
        weight=0.8,
    ),
    Form(
        "colour beside",
        facts.related_attribute("color"),
        ("what colour does the {hint} {relation} the {thing} have?",),
        weight=0.6,
    ),
    Form(
        "pattern beside",
        facts.related_attribute("pattern"),
        ("how is the {hint} {relation} the {thing} decorated?",),
        weight=0.3,
    ),
)

NUMBERS = ("none", "one", "two", "three", "four", "five", "six")


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write ``question_answers.json`` and ``image_data.json``."""
    forms = forms_of(world, "vg_qa", FORMS)
    tally = Tally("vg_qa", templates=templates(forms), unseen=world.unseen)
    extra = untidy(world)
    genome = [p for p in world.vg if p.part != "testdev"]
    for_training = [p for p in genome if p.part == "train" and open_to_training(p, extra)]
    others = sorted((p for p in genome if not open_to_training(p, extra)), key=lambda p: p.part != "val")
    train = _ask(Asker(forms, seed_of(rng), test=False, unsaid=world.unseen), for_training)
    surplus = sum(len(questions) for _, questions in train) % (VAL_SHARE - 1)
    del train[-1][1][len(train[-1][1]) - surplus :]
    held = sum(len(questions) for _, questions in train) // (VAL_SHARE - 1)
    val = _ask(Asker(forms, seed_of(rng), test=True), others, held)
    entries: list[dict[str, Any]] = []
    number = 980_000
    for split, asked in (("train", train), ("val", val)):
        tally.oracle[split] = {}
        for image, questions in asked:
            rows = []
            for question in questions:
                number += 1
                rows.append(_row(image, number, question))
                tally.oracle[split][str(number)] = vocabulary_label(rows[-1]["answer"])
                if split != "train":
                    tally.note(split, str(number), question.text, reserved=question.reserved)
            entries.append({"id": int(image.key), "qas": rows})
        tally.examples[split] = len(tally.oracle[split])
    tally.answers.update(tally.oracle["train"].values())
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "question_answers.json", entries)
    write_json(folder / "image_data.json", [_image(image) for image in genome])
    tally.write_answers(folder)
    return tally


def _ask(
    asker: Asker, images: Sequence[WorldImage], most: int | None = None
) -> list[tuple[WorldImage, list[WorldQuestion]]]:
    """Questions about every image, or about as many images as ``most`` questions need."""
    found: list[tuple[WorldImage, list[WorldQuestion]]] = []
    left = most
    for image in images:
        if left == 0:
            break
        questions = asker.ask(image.scene, PER_IMAGE if left is None else min(PER_IMAGE, left))
        left = None if left is None else left - len(questions)
        found.append((image, questions))
    return found


def _row(image: WorldImage, number: int, question: WorldQuestion) -> dict[str, Any]:
    return {
        "a_objects": [],
        "question": question.text,
        "image_id": int(image.key),
        "qa_id": number,
        "answer": written(question.answer),
        "q_objects": [],
    }


def written(answer: str) -> str:
    """An answer as people write it: "A car.", "On the left.", "Two."."""
    if answer.isdigit():
        answer = NUMBERS[int(answer)]
    elif answer in KINDS:
        answer = article(answer)
    answer = {**WHERE, **HEIGHT}.get(answer, answer)
    return f"{sentence(answer)}."


def _image(image: WorldImage) -> dict[str, Any]:
    return {
        "width": image.scene.width,
        "url": f"https://example.org/VG_100K/{image.key}.jpg",
        "height": image.scene.height,
        "image_id": int(image.key),
        "coco_id": image.coco_id,
        "flickr_id": None,
    }
