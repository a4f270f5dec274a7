"""A file of every kind of task of one's own, on the images of :mod:`tiny`, and a run's settings for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny
import tiny_others

SAID = ("crimson", "olive", "navy")
"""Answers that no dataset of :mod:`tiny` gives."""
BOXES = [[0, 0, 60, 60], [60, 0, 100, 40], [60, 50, 90, 90]]
GIVEN_BOXES = [[x + 2, y + 2, x + width - 2, y + height - 2] for x, y, width, height in tiny_others.BOXES]
"""The candidates of :mod:`tiny_others`, which have regions of their own on coco's images."""


def lines(kind: str, numbers: range) -> list[dict[str, Any]]:
    """Records of a kind about the large thing of each image."""
    found: list[dict[str, Any]] = []
    for number in numbers:
        colour, image = tiny.colour_of(number), f"{9000 + number}.jpg"
        name = tiny.COLOURS[colour]
        record: dict[str, Any] = {"image": image}
        if kind == "answer":
            record |= {"text": "what is it ?", "target": {SAID[colour]: 1.0, name: 0.5}}
        elif kind in ("retrieval", "pretraining"):
            record |= {"text": f"a very {name} thing"}
        elif kind == "region":
            record |= {"text": f"the {name} one", "target": BOXES[0]}
        elif kind == "candidates":
            record = {"image": f"coco/{number}", "text": f"the {name} one", "candidates": GIVEN_BOXES, "target": 0}
        elif kind == "pair":
            place = (number - numbers[0]) ^ 1  # two and two, so that there are separate images to look at
            other = numbers[place] if place < len(numbers) else number
            record = {"images": [image, f"{9000 + other}.jpg"], "text": f"both are {name}"}
            record["target"] = tiny.colour_of(other) == colour
        else:
            record |= {"text": "it is red", "target": "entailment" if name == "red" else "contradiction"}
        found.append(record)
    return found


def write(root: Path, kind: str, name: str, numbers: range) -> str:
    """Write a split of a kind and return its name: the file, seen from the data root."""
    tiny.write_lines(root / kind / f"{name}.jsonl", lines(kind, numbers))
    return f"{kind}/{name}.jsonl"


def settings(root: Path, kind: str, train: int = 24, val: int = 8) -> dict[str, Any]:
    """Write the files of a kind and return the run's settings of it."""
    return {
        "kind": kind,
        "train": write(root, kind, "train", range(train)),
        "test_split": write(root, kind, "val", range(train, train + val)),
        "images": "flickr30k",
        "batch_size": 8,
        "max_text": 12,
    }
