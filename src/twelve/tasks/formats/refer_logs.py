"""Logs that other evaluation programs write of the RefCOCO family (:mod:`twelve.harness`)."""

from __future__ import annotations

import math
import re

from twelve.types.examples import Box, Example
from twelve.types.logged import HarnessLog, Logged

CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
"""Columns of a table with the right box, in pixels."""
_ASKED_ALONE = ("it counts as the protocol google does; an answer counts differently if its box is turned over",)
_ASKED_TOGETHER = (
    "of all boxes in an answer, each read as pixels and as thousandths, it keeps the one that overlaps the right box "
    "most (since its pull request 1373); the official number takes the first box, in one reading for the whole log",
    "it asks once with all sentences of an object; officially, every sentence is asked by itself",
)
_ASKED_IN_TABLES = (
    "it reads every answer by its largest number: up to 1.5 as fractions, up to 1000 as thousandths, beyond as pixels; "
    "here, one reading holds for the whole log",
    "its Average counts every split of the three datasets alike",
)


def harnesses(name: str) -> dict[str, tuple[HarnessLog, ...]]:
    """Harness -> its logs of the task ``name``."""
    alone, together = re.escape(name), re.escape(name.replace("+", "_plus"))
    return {
        "lmms-eval": (
            HarnessLog(rf"{alone}_bbox_rec_\w+", "refcoco_ACC@0.5", _ASKED_ALONE, boxes="fractions"),
            HarnessLog(rf"{together}_grounding_\w+", "refcoco_grounding_ACC@0.5", _ASKED_TOGETHER),
        ),
        "vlmevalkit": (HarnessLog("RefCOCO", "Precision@1", _ASKED_IN_TABLES, boxes="as written"),),
    }


def is_about(logged: Logged, title: str) -> bool:
    """Whether an answer is about the dataset ``title``; tables of all three name the split, ``RefCOCO+_testA``."""
    return str(logged.doc.get("split") or title).partition("_")[0] == title


def example_of(logged: Logged) -> Example | None:
    """The sentence and its box, in pixels. With the fact ``size`` (1, 1) it is in fractions of the image, with None in
    pixels of an image of unknown size. None if the log does not tell the box.

    Raises:
        ValueError: it is no box.
    """
    doc = logged.doc
    size: tuple[float, float] | None = None
    if all(key in doc for key in (*CORNERS, "width", "height")):
        numbers = [doc[key] for key in CORNERS]
        size = float(doc["width"]), float(doc["height"])
    elif isinstance(doc.get("bbox"), list):
        numbers = doc["bbox"]
        size = None if isinstance(doc.get("answer"), list) else (1.0, 1.0)
    else:
        return None
    box: Box = tuple(map(float, numbers))  # type: ignore[assignment]
    if len(box) != 4 or not all(map(math.isfinite, box)) or (size is not None and min(size) <= 0):
        raise ValueError(f"expected a box of four numbers in an image, found {numbers}")
    return Example(logged.key, logged.text, ("",), target=box, facts={"size": size})
