"""Conceptual Captions in the data root that tiny.make writes: rows of which every third has no image any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from twelve.regions.store.arrow_format import schema
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

REPORTS = {"conceptual_captions": "val"}
FIRST = 9100
"""Number of the first row's image, among those that tiny draws."""
CLASSES = len(tiny.COLOURS) + 1


def settings(task: str) -> dict[str, Any]:
    """The part of a configuration that names the task."""
    return {"test_split": REPORTS[task], "batch_size": 8, "learning_rate": 3e-3, "max_text": 12}


def caption(number: int) -> str:
    return f"a very {tiny.COLOURS[tiny.colour_of(number)]} thing"


def missing(row: int) -> bool:
    return row % 3 == 2


def make(root: Path, train: int = 24, val: int = 8, *, classes: bool = True) -> Path:
    """Add the files and the regions of this task to a data root.

    Args:
        classes: the regions have a distribution over classes.
    """
    folder = root / "conceptual_captions"
    folder.mkdir()
    for split, count, first, source in (("train", train, 0, "cc"), ("val", val, train, "cc_val")):
        name = "Train_GCC-training.tsv" if split == "train" else "Validation_GCC-1.1.0-Validation.tsv"
        numbers = range(FIRST + first, FIRST + first + count)
        rows = "".join(f"{caption(number)}\thttp://example.org/{number}.jpg\n" for number in numbers)
        (folder / name).write_text(rows, encoding="utf-8")
        found = [regions_of(f"{source}/{row:09}", number) for row, number in enumerate(numbers) if not missing(row)]
        write(root / "regions" / source, found, classes=classes)
    return root


def regions_of(image_id: str, number: int) -> Regions:
    """tiny's regions, each with the distribution of a detector that is nearly sure of the colour."""
    regions = tiny.regions_of(image_id, number)
    colours = [(tiny.colour_of(number) + shift) % len(tiny.COLOURS) for shift in range(3)]
    probabilities = np.full((3, CLASSES), 0.1 / (CLASSES - 1))
    probabilities[np.arange(3), 1 + np.array(colours)] = 0.9  # the first is the background's
    return replace(regions, class_probabilities=probabilities.astype(np.float16))


def write(folder: Path, found: list[Regions], *, classes: bool) -> None:
    folder.mkdir(parents=True)
    columns = schema(
        feature_size=tiny.FEATURES,
        scores=True,
        class_ids=True,
        class_probabilities=CLASSES if classes else None,
        metadata={"fingerprint": "tiny-1", "backbone": "tiny"},
    )
    with PartWriter(folder / "tiny.arrow", columns) as writer:
        writer.write(found if classes else [replace(each, class_probabilities=None) for each in found])
        writer.finish({})
