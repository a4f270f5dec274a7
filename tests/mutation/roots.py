"""A small sound data root of every registered task that the tests have one for, and what examples must be."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tiny_others
from tiny_extras import EXTRAS

from twelve.formats.records import writable
from twelve.metrics.entailment import CLASSES
from twelve.tasks.base import all_tasks
from twelve.types.examples import Example

REPORTS: dict[str, str] = {task: "val" for task in tiny_others.ALL_TASKS}
REPORTS |= {"nlvr2": "dev", "snli_ve": "dev", **tiny_others.REPORTS}
for _extra in EXTRAS:
    REPORTS |= _extra.REPORTS
TASKS = sorted(REPORTS.keys() & all_tasks().keys())


def make(root: Path) -> Path:
    """Write the data root of all of them."""
    tiny_others.make(root, train=6, val=2)
    for extra in EXTRAS:
        extra.make(root, train=6, val=2)
    return root


_OPENED: list[Path] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _OPENED is not None and event == "open" and isinstance(arguments[0], str | Path):
        _OPENED.append(Path(arguments[0]))


sys.addaudithook(_note)


@contextlib.contextmanager
def opened(root: Path) -> Iterator[list[Path]]:
    """The files under ``root`` that are opened within the block, each once."""
    global _OPENED
    found: list[Path] = []
    _OPENED = []
    try:
        yield found
    finally:
        found += dict.fromkeys(path for path in _OPENED if root in path.parents and path.is_file())
        _OPENED = None


def sane(examples: list[Example]) -> None:
    """Examples are such that everything after the reader can work with them."""
    assert examples, "no examples"
    ids = [example.id for example in examples]
    assert len(set(ids)) == len(ids), "an id occurs twice"
    for example in examples:
        for text in (example.id, example.text, example.group, *example.images):
            assert isinstance(text, str) and writable(text), f"{text!r} is no text"
        assert example.id and example.group and example.images, f"something is empty in {example.id!r}"
        for image in example.images:
            source, _, key = image.partition("/")
            assert source and key.strip() and ".." not in source, f"{image!r} is no image's id"
        for box in example.candidates:
            _sane_box(box)
        _sane_target(example)


def _sane_box(box: Any) -> None:
    assert len(box) == 4 and all(type(side) is float and math.isfinite(side) for side in box), f"{box} is no box"
    assert box[0] <= box[2] and box[1] <= box[3], f"{box} has a negative size"
    assert max(map(abs, box)) <= 2e6, f"{box} lies beyond all images"


def _sane_target(example: Example) -> None:
    target: Any = example.target
    if isinstance(target, bool):
        return
    if isinstance(target, tuple) and len(target) == 4:
        _sane_box(target)
        assert target[0] < target[2] and target[1] < target[3], f"{target} has no area"
    elif isinstance(target, int):
        most = len(example.candidates) or 100
        assert 0 <= target < most, f"{target} is no index of a candidate or an option, and no number below {most}"
    elif isinstance(target, Mapping):
        for answer, score in target.items():
            assert isinstance(answer, str) and writable(answer), f"{answer!r} is no answer"
            assert type(score) is float and 0 <= score <= 1, f"{score!r} is no score"
    elif isinstance(target, str):
        assert target in (*CLASSES, "Yes", "No", "N/A"), f"{target!r} is no class"
