"""Files of one's own, damaged: tasks of JSON lines, lists of answers, sources of images, images that two have."""

from __future__ import annotations

from pathlib import Path

import harness
import pytest
import roots
import tiny
import tiny_own
from harness import LEAST, Reader

from twelve.data.vocabulary import read_label_map
from twelve.formats.data_root import DataRoot
from twelve.settings import TaskSettings
from twelve.tasks.custom import KINDS, from_settings
from twelve.tasks.formats.visual_genome import read_coco_ids

_LEFT_OUT = "may be left out"
_TOLERATED = {
    "answer": {
        "*.target: absent": "a line without target can be predicted",
        "*.target: null": "a line without target can be predicted",
        "*.target: text": "an answer alone has the score 1",
        "*.target: number as text": "an answer alone has the score 1",
        "*.target.*: absent": "any number of answers can be right",
        "*.target: unknown field": "any number of answers can be right",
    },
    "region": {
        "*.target[]: fraction": "boxes may have fractions of pixels",
        "*.target[]: as a float": "boxes may have fractions of pixels",
    },
    "candidates": {
        "*.candidates[][]: fraction": "boxes may have fractions of pixels",
        "*.candidates: last one twice": "two candidates may be the same box",
    },
}
_ALL = {
    "*.id: absent": _LEFT_OUT,
    "*.group: absent": _LEFT_OUT,
    "*.target: absent": _LEFT_OUT,
    "*.target: null": _LEFT_OUT,
    "*.id: number": "an id may be a number",
    "*.id: *text": "an id may be text",
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_damaged_files_of_ones_own(kind: str, tmp_path: Path) -> None:
    rows = tiny_own.lines(kind, range(6))
    for number, row in enumerate(rows):
        row |= {"id": f"a{number}", "group": f"g{number // 2}"} if number % 2 else {"id": number}
    tiny.write_lines(tmp_path / "mine.jsonl", rows)
    settings = TaskSettings(kind=kind, train="mine.jsonl", test_split="other.jsonl")  # type: ignore[arg-type]
    task, data = from_settings({"mine": settings})["mine"], DataRoot(tmp_path)
    reader = Reader(
        f"own {kind}",
        (tmp_path / "mine.jsonl",),
        lambda: list(task.read(data, "mine.jsonl")),
        roots.sane,
        {**_ALL, **_TOLERATED.get(kind, {})},
    )
    tally = harness.torture(reader)
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


def _sane_map(answers: list[str]) -> None:
    assert answers and len(set(answers)) == len(answers) and all(isinstance(answer, str) for answer in answers)


@pytest.mark.parametrize("content", [["", "yes", "no", "2"], {"no": 1, "yes": 0, "two": 2}], ids=["list", "object"])
def test_damaged_lists_of_answers(content: object, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    tiny.write_json(path, content)
    tolerated = {"$.two: absent": "rows 0 and 1 are a list as well"}
    tally = harness.torture(Reader("label map", (path,), lambda: read_label_map(path), _sane_map, tolerated))
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


def test_damaged_sources(tmp_path: Path) -> None:
    path = tmp_path / "sources.json"
    tiny.write_json(path, {"refcoco": "flickr30k", "vqa": "coco", "mine": "my-images_1.0"})

    def sane(sources: dict[str, str]) -> None:
        assert all(source and not {"/", "\\", "\0"} & {*source} and source[0] != "." for source in sources.values())

    tolerated = {"*: absent": "a task that is not named keeps its own source"}
    reader = Reader("sources", (path,), lambda: DataRoot(tmp_path).sources, sane, tolerated)
    tally = harness.torture(reader)
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


def test_damaged_ids_of_the_same_images(tmp_path: Path) -> None:
    path = tmp_path / "image_data.json"
    rows = [
        {"image_id": 4 + n, "url": "https://x/4.jpg", "width": 8, "height": 6, "coco_id": 9 * n if n % 2 else None}
        for n in range(6)
    ]
    tiny.write_json(path, rows)
    tolerated = {"*.coco_id: null": "not every image is COCO's", "*.coco_id: absent": "not every image is COCO's"}
    tally = harness.torture(Reader("image_data", (path,), lambda: read_coco_ids(path), tolerated=tolerated))
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0
