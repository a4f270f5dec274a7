"""Writes VQA v2: counting, colour, existence and yes-no questions with ten answers each (layout: tasks/vqa.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from twelve.io.files import replacing
from twelve.microworld import facts
from twelve.microworld.annotators import answer_type, ten_answers
from twelve.microworld.questions import Asker, Form, WorldQuestion, open_to_training, seed_of, templates, untidy
from twelve.microworld.reserved import forms_of
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage

PER_IMAGE = {"train": 10, "val": 6, "test": 6}

_COUNTS = {"0": 0.9, "3": 0.6, "4": 0.6, "5": 0.3, "6": 0.25}
"""Relative frequencies of counts; large ones are rarer, as too few scenes have them."""

FORMS = (
    Form(
        "colour",
        facts.attribute("color"),
        ("what colour is the {thing}?", "what is the colour of the {thing}?", "the {thing} is what colour?"),
        ("what colour would you call the {thing}?",),
        weight=2.2,
    ),
    Form(
        "kind",
        facts.attribute("name"),
        ("what is the {thing}?", "what object is the {thing}?", "what is this {thing}?"),
        ("what would you call the {thing}?",),
        weight=1.0,
    ),
    Form(
        "family",
        facts.attribute("category"),
        ("what kind of object is the {thing}?", "what type of object is the {thing}?"),
        weight=0.4,
    ),
    Form(
        "pattern",
        facts.attribute("pattern"),
        ("what pattern is on the {thing}?", "what is the pattern of the {thing}?"),
        ("what does the surface of the {thing} look like?",),
        weight=0.7,
    ),
    Form(
        "ground",
        facts.ground,
        ("what is the ground?", "what is the ground made of?", "what kind of ground is this?"),
        ("what covers the ground?",),
        weight=0.5,
        most=1,
    ),
    Form(
        "count",
        facts.count,
        ("how many {things} are there?", "how many {things} are in the picture?", "how many {things} can you see?"),
        ("what is the number of {things}?",),
        weight=2.0,
        shares=_COUNTS,
    ),
    Form(
        "exist",
        facts.exist,
        ("is there {a_thing}?", "is there {a_thing} in the picture?", "can you see {a_thing}?"),
        ("does the picture show {a_thing}?",),
        weight=1.3,
    ),
    Form("is colour", facts.verify("color"), ("is the {thing} {value}?", "is the {thing} {value} in colour?")),
    Form("is size", facts.verify("size"), ("is the {thing} {value}?", "would you say the {thing} is {value}?")),
    Form("is pattern", facts.verify("pattern"), ("is the {thing} {value}?",), weight=0.4),
    Form("is kind", facts.verify("name"), ("is the {thing} {a_value}?", "is this {thing} {a_value}?"), weight=0.6),
    Form(
        "is where",
        facts.relation,
        ("is the {thing} {relation} the {thing2}?", "can you see the {thing} {relation} the {thing2}?"),
        ("do you find the {thing} {relation} the {thing2}?",),
        weight=0.7,
    ),
    Form(
        "which side",
        facts.choose("hposition"),
        ("is the {thing} in the {one} or {two} of the picture?",),
        weight=0.4,
    ),
    Form("which size", facts.choose("size"), ("is the {thing} {one} or {two}?",), weight=0.3),
    Form("more", facts.more, ("are there more {things} than {things2}?",), weight=0.4),
    Form(
        "same colour",
        facts.same("color"),
        ("are the {thing} and the {thing2} the same colour?",),
        ("is the colour of the {thing} and the {thing2} the same?",),
        weight=0.3,
    ),
    Form("same size", facts.same("size"), ("are the {thing} and the {thing2} the same size?",), weight=0.2),
    Form(
        "related kind",
        facts.related_attribute("name"),
        ("what {hint} is {relation} the {thing}?",),
        ("what {hint} lies {relation} the {thing}?",),
        weight=0.5,
    ),
    Form(
        "related colour",
        facts.related_attribute("color"),
        ("what colour is the {hint} {relation} the {thing}?", "the {hint} {relation} the {thing} is what colour?"),
        weight=0.5,
    ),
)

QUESTION_TYPES = [
    "what color is the",
    "what is the color of the",
    "what is the",
    "what kind of",
    "what type of",
    "what is",
    "what",
    "how many",
    "is there a",
    "is there",
    "is the",
    "is this",
    "can you",
    "do you",
    "do",
    "does the",
    "are there",
    "are the",
    "which",
]
"""VQA's question types that occur here (of 65), in its spelling."""


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write train2014, val2014, test2015 and test-dev2015 (the last two without answers)."""
    forms = forms_of(world, "vqa", FORMS)
    tally = Tally("vqa", templates=templates(forms), unseen=world.unseen)
    extra = untidy(world)
    parts = {
        "train": [p for p in world.coco if p.part == "train2014" and open_to_training(p, extra)],
        "val": [p for p in world.coco if p.part == "val2014"],
        "test": [p for p in world.coco if p.part == "test2015"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for split, images in parts.items():
        unsaid = world.unseen if split == "train" else frozenset[tuple[str, str]]()
        asker = Asker(forms, seed_of(rng), test=split != "train", unsaid=unsaid)
        asked = [(image, asker.ask(image.scene, PER_IMAGE[split])) for image in images]
        tally.examples[split] = sum(len(questions) for _, questions in asked)
        if split == "test":
            _write_questions(folder, "test2015", asked)
            _write_questions(folder, "test-dev2015", asked[::2])
            tally.examples["test-dev"] = sum(len(questions) for _, questions in asked[::2])
            continue
        subset = f"{split}2014"
        _write_questions(folder, subset, asked)
        _write_annotations(folder, subset, asked, asker.random)
        tally.oracle[split] = {str(key): question.answer for _, key, question in _numbered(asked)}
        if split != "train":
            for _, key, question in _numbered(asked):
                tally.note(split, str(key), question.text, reserved=question.reserved)
        if split == "train":
            tally.answers.update(question.answer for _, questions in asked for question in questions)
    tally.write_answers(folder)
    return tally


_Asked = Sequence[tuple[WorldImage, Sequence[WorldQuestion]]]


def _numbered(asked: _Asked) -> list[tuple[int, int, WorldQuestion]]:
    """(image_id, question_id, question) for all questions."""
    return [
        (int(image.key), 1000 * int(image.key) + number, question)
        for image, questions in asked
        for number, question in enumerate(questions)
    ]


def _write_questions(folder: Path, subset: str, asked: _Asked) -> None:
    questions = [
        {"image_id": image, "question": question.text, "question_id": key} for image, key, question in _numbered(asked)
    ]
    content: dict[str, Any] = {"info": _INFO, "task_type": "Open-Ended", "data_type": "mscoco", "license": _LICENCE}
    content |= {"data_subtype": subset, "questions": questions}
    _save(folder / f"v2_OpenEnded_mscoco_{subset}_questions.json", content)


def _write_annotations(folder: Path, subset: str, asked: _Asked, random: Random) -> None:
    annotations = [
        {
            "question_type": question_type(question.text),
            "multiple_choice_answer": question.answer,
            "answers": ten_answers(question.answer, random),
            "image_id": image,
            "answer_type": answer_type(question.answer),
            "question_id": key,
        }
        for image, key, question in _numbered(asked)
    ]
    content = {"info": _INFO, "data_type": "mscoco", "license": _LICENCE, "data_subtype": subset}
    _save(folder / f"v2_mscoco_{subset}_annotations.json", content | {"annotations": annotations})


_INFO = {"description": "Questions about a drawn microworld, in the layout of VQA v2.0.", "version": "2.0"}
_LICENCE = {"url": "https://www.apache.org/licenses/LICENSE-2.0", "name": "Apache License 2.0"}


def question_type(question: str) -> str:
    """VQA's longest question type that the question starts with; VQA spells "color"."""
    words = f"{question.lower().replace('colour', 'color').rstrip('?')} "
    fits = [name for name in QUESTION_TYPES if words.startswith(f"{name} ")]
    return max(fits, key=len, default="none of the above")


def _save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")
