"""The tasks that choose among texts, in the data root that tiny.make writes, on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny

REPORTS = {"visdial": "val", "vcr_qa": "val", "vcr_qar": "val"}
OPTIONS = 100
_KNOWN = tiny.WORDS[5:]
ANSWERS = [*tiny.COLOURS, *(f"{word} {other}" for word in _KNOWN for other in _KNOWN[:7])]
"""Texts that differ in the tokenizer of :mod:`tiny`."""


def settings(task: str) -> dict[str, Any]:
    """The part of a configuration that names one of these tasks."""
    return {"test_split": REPORTS[task], "batch_size": 8, "learning_rate": 3e-3, "max_text": 16}


def make(root: Path, train: int = 24, val: int = 8) -> Path:
    """Write the files of both datasets, and the regions of images that no other task has."""
    numbers = {"train": range(train), "val": range(train, train + val), "test": range(train, train + 2)}
    images: dict[str, int] = {}
    for split, those in numbers.items():
        tiny.write_json(root / "visdial" / f"visdial_1.0_{split}.json", dialogues(split, those))
        tiny.write_lines(root / "vcr" / f"{split}.jsonl", [question(split, number) for number in those])
        images |= {f"vcr/shot_{number}@1": number for number in those}
        if split != "train":
            images |= {f"visdial/VisualDialog_{split}2018_{number:012d}": number for number in those}
    dense = [relevance(number) for number in numbers["val"]]
    tiny.write_json(root / "visdial" / "visdial_1.0_val_dense_annotations.json", dense)
    tiny.write_regions(root / "regions", images)
    return root


def dialogues(split: str, numbers: range) -> dict[str, Any]:
    """Two rounds about each image, the second one asks for the colour; the answers' places differ by image."""
    dialogs = []
    for number in numbers:
        colour = tiny.colour_of(number)
        options = [*range(number % 7, OPTIONS), *range(number % 7)]
        turns: list[dict[str, Any]] = [
            {"question": 0, "answer": 9, "answer_options": options, "gt_index": options.index(9)},
            {"question": 1, "answer": colour, "answer_options": options, "gt_index": options.index(colour)},
        ]
        if split == "test":
            turns = [{"question": 0, "answer": 9}, {"question": 1, "answer_options": options}]
        dialogs.append({"image_id": number, "caption": "a thing", "dialog": turns})
    data = {"questions": ["is it big ?", "what colour"], "answers": ANSWERS, "dialogs": dialogs}
    return {"split": split if split == "train" else f"{split}2018", "version": "1.0", "data": data}


def relevance(number: int) -> dict[str, Any]:
    """Dense annotations of the second round."""
    turn = dialogues("val", range(number, number + 1))["data"]["dialogs"][0]["dialog"][1]
    values = [0.0] * OPTIONS
    values[turn["gt_index"]], values[(turn["gt_index"] + 9) % OPTIONS] = 1.0, 0.5
    return {"image_id": number, "round_id": 2, "gt_relevance": values}


def question(split: str, number: int) -> dict[str, Any]:
    """The colour of the second of two things; the right answer and reason stand at places that differ by image."""
    colour = tiny.colour_of(number)
    names = [*tiny.COLOURS, "big"]
    answers = [[[1], name] for name in (*names[number % 4 :], *names[: number % 4])]
    reasons = [["very", name] for name in (*names[number % 3 :], *names[: number % 3])]
    labels = {
        "answer_label": answers.index([[1], names[colour]]),
        "rationale_label": reasons.index(["very", names[colour]]),
    }
    return {
        "annot_id": f"{split}-{number}",
        "img_id": f"{split}-{number}",
        "img_fn": f"film/shot_{number}@1.jpg",
        "metadata_fn": f"film/shot_{number}@1.json",
        "objects": ["thing", "one", "thing"],
        "question": ["colour", [1], "?"],
        "answer_choices": answers,
        "rationale_choices": reasons,
    } | ({} if split == "test" else labels)
