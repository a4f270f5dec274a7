"""Official files of every registered task, damaged in hundreds of ways: refused with a clear error, or read.

TWELVE_MUTATIONS=2000 looks deeper. A failure names the seed and the mutation; the same seed makes the same file.
"""

from __future__ import annotations

from pathlib import Path

import harness
import pytest
import roots
import tiny_others
from harness import LEAST, Reader

from twelve.formats.data_root import DataRoot
from twelve.tasks.base import all_tasks

_BOXES = {
    "*.bbox[]: fraction": "boxes may have fractions of pixels",
    "*.bbox[]: as a float": "boxes may have fractions of pixels",
}
_STEPS = "steps of a program, words and turns may repeat"
_WORDS = {"*: last one twice": _STEPS, "*[]: *text": "a list of things may be a word instead"}
_TOLERATED: dict[str, dict[str, str]] = {
    "gqa": {
        "*.semantic: last one twice": _STEPS,
        "*.groups.global: null": "not every question has a group",
        "*.answer: absent": "the answers of test sets are not public",
    },
    "guesswhat": {**_BOXES, "*.qas: last one twice": _STEPS},
    "foil": {"*.annotations: last one twice": "a caption has no id of its own: its place is"},
    "guesswhat_answerer": {**_BOXES, "*.qas: last one twice": _STEPS},
    "refcoco": _BOXES,
    "refcoco+": _BOXES,
    "refcocog": _BOXES,
    "vcr_qa": _WORDS,
    "vcr_qar": _WORDS,
    "visdial": {"*.dialog: last one twice": _STEPS, "*.gt_relevance[]: number": "relevance is a number in 0..1"},
    "vqa": {"*.answers: last one twice": "people give the same answer"},
}
"""Task -> pattern of mutations -> why the changed file is read. docs/data.md says the same for people."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roots.make(tmp_path_factory.mktemp("mutated"))


def test_the_twelve_are_here() -> None:
    assert set(tiny_others.ALL_TASKS) <= set(roots.TASKS)


def cases() -> list[tuple[str, str]]:
    """Each task with the split that is measured, and with the training split where that has a layout of its own."""
    return [(task, roots.REPORTS[task]) for task in roots.TASKS] + [("guesswhat", "train"), ("gqa", "val_balanced")]


@pytest.mark.parametrize(("name", "split"), cases())
def test_damaged_files_of_a_task(name: str, split: str, root: Path) -> None:
    task = all_tasks()[name]
    data = DataRoot(root)
    with roots.opened(root) as files:
        task.read(data, split)
    reader = Reader(
        f"{name} {split}",
        tuple(files),
        lambda: list(task.read(data, split)),
        roots.sane,
        _TOLERATED.get(name, {}),
    )
    tally = harness.torture(reader)
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0
