"""Upper bounds: the oracle's answers, the best region, the best answer of the vocabulary."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.errors import DataError
from twelve.evaluation.galleries import RankedGalleries
from twelve.evaluation.results import normalised
from twelve.evaluation.upper_bound import gallery_upper_bound, upper_bound
from twelve.formats.data_root import DataRoot
from twelve.outputs import OUTPUTS
from twelve.outputs.alignment import RetrievalScores
from twelve.settings import TaskSettings
from twelve.tasks.base import Task, get
from twelve.tasks.custom import own_tasks
from twelve.types.examples import Example
from twelve.types.measurement import Protocol
from twelve.types.regions import Regions


def root_with(folder: Path, task: str, answers: dict[str, Any]) -> DataRoot:
    (folder / task).mkdir()
    (folder / task / "oracle.json").write_text(json.dumps({"val": answers}))
    return DataRoot(folder)


def no_regions(example: Example) -> Regions:
    raise AssertionError("no regions are needed here")


def statement(key: str, target: bool) -> Example:
    return Example(key, "text", ("x/1", "x/2"), target, group=key, facts={"identifier": key})


def protocol(split: str, name: str = "official") -> Protocol:
    return Protocol(split, name=name)


def nlvr2() -> Task:
    return get("nlvr2")


def test_oracle_is_measured_by_the_official_metric(tmp_path: Path) -> None:
    examples = [statement("val-0-0-0", True), statement("val-1-0-0", False), statement("val-2-0-0", True)]
    root = root_with(tmp_path, "nlvr2", {"val-0-0-0": True, "val-1-0-0": False, "val-2-0-0": False})
    found = upper_bound(nlvr2(), OUTPUTS["pair"], root, protocol("val"), examples, no_regions, [])
    assert found == pytest.approx(200 / 3)
    with pytest.raises(DataError, match="val-9"):
        upper_bound(nlvr2(), OUTPUTS["pair"], root, protocol("val"), [statement("val-9", True)], no_regions, [])
    assert upper_bound(nlvr2(), OUTPUTS["pair"], root, protocol("train"), examples, no_regions, []) is None


def test_vocabulary_and_regions_bound_what_can_be_reached(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    questions = [Example(str(k), "", ("x/1",), {answer: 1.0}) for k, answer in enumerate(("red", "blue"))]
    assert upper_bound(get("vqa"), OUTPUTS["answer"], root, protocol("val"), questions, no_regions, ["red"]) == 50
    seen = Regions("x/1", 100, 100, np.array([[0, 0, 10, 10]], dtype=np.float32))
    phrases = [Example(str(k), "", ("x/1",), box) for k, box in enumerate([(0, 0, 10, 11), (50, 50, 60, 60)])]
    oracle = root_with(tmp_path, "refcoco", {"0": [0, 0, 10, 11], "1": [50, 50, 60, 60]})
    found = upper_bound(
        get("refcoco"), OUTPUTS["region"], oracle, protocol("val", "google"), phrases, lambda _: seen, []
    )
    assert found == 50  # the second thing was not detected: knowing its box does not help
    assert (
        upper_bound(
            get("refcoco"), OUTPUTS["region"], oracle, protocol("val", "google"), phrases[:1], lambda _: seen, []
        )
        == 100
    )
    other = protocol("val", "original")  # overlaps otherwise
    assert upper_bound(get("refcoco"), OUTPUTS["region"], oracle, other, phrases, lambda _: seen, []) is None


def test_a_caption_that_is_true_of_two_images(tmp_path: Path) -> None:
    scores = RetrievalScores(np.zeros((2, 3), np.float32), ("a", "b"), ("x/1", "x/2", "x/3"), np.array([0, 1]))
    root = root_with(tmp_path, "flickr30k", {"a": ["x/1", "x/3", "x/99"], "b": ["x/2"]})
    assert gallery_upper_bound(get("flickr30k"), root, "val", [], scores) == 75
    assert gallery_upper_bound(get("flickr30k"), root, "test", [], scores) is None


def test_normalised() -> None:
    assert normalised(75, [10, 50], 100) == 50
    assert (
        normalised(75, [10, 50], None) is None and normalised(75, [80], 80) is None and normalised(75, [], 80) is None
    )


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (5, "expected bool, found int 5"),
        ({"a": 1}, "expected bool, found dict"),
        (None, "expected bool, found NoneType None"),
    ],
)
def test_answers_of_another_kind_are_refused(tmp_path: Path, answer: Any, problem: str) -> None:
    root = root_with(tmp_path, "nlvr2", {"val-0-0-0": answer})
    with pytest.raises(DataError, match=rf"oracle\.json \[val-0-0-0\]: {problem}"):
        upper_bound(nlvr2(), OUTPUTS["pair"], root, protocol("val"), [statement("val-0-0-0", True)], no_regions, [])
    scores = RetrievalScores(np.zeros((1, 1), np.float32), ("c",), ("x/1",), np.array([0]))
    root = root_with(tmp_path, "flickr30k", {"c": answer})
    with pytest.raises(DataError, match=r"oracle\.json \[val\]: field 'c' must be a list"):
        gallery_upper_bound(get("flickr30k"), root, "val", [], scores)


def test_a_pipe_in_the_oracles_place_is_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "nlvr2").mkdir()
    os.mkfifo(tmp_path / "nlvr2" / "oracle.json")
    with pytest.raises(DataError, match=r"oracle\.json: expected a regular file, found a pipe or a device"):
        upper_bound(
            nlvr2(), OUTPUTS["pair"], DataRoot(tmp_path), protocol("val"), [statement("a", True)], no_regions, []
        )


def of_ones_own(kind: str) -> Task:
    settings = TaskSettings(kind=kind, train="train.jsonl", test_split="val.jsonl", images="x")
    return own_tasks({"mine": settings})["mine"]


FAR = (50.0, 50.0, 60.0, 60.0)
ASKED_AGAIN: list[tuple[str, list[Any], float | None]] = [
    ("answer", [{"yes": 1.0}, {"no": 1.0}, {"yes": 1.0}, {"other": 1.0}], 60),
    ("answer", [{"yes": 0.4, "cup": 0.8}, {"no": 1.0, "yes": 0.7}, {"cup": 0.2}, {"yes": 0.1}], 44),
    ("answer", [{"other": 1.0}] * 4, 20),
    ("answer", [{"yes": 1.0}] * 4, None),
    ("pair", [True, False, False, False], 80),
    ("entailment", ["neutral", "entailment", "contradiction", "neutral"], 60),
    ("candidates", [0, 1, 2, 0], 60),
    ("region", [(0.0, 0.0, 10.0, 10.0), FAR, FAR, (30.0, 0.0, 40.0, 10.0)], 60),
    ("region", [(0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 12.0), (0.0, 0.0, 10.0, 9.0), (0.0, 0.0, 9.0, 10.0)], 100),
]


@pytest.mark.parametrize(("kind", "targets", "most"), ASKED_AGAIN)
def test_lines_that_ask_the_same_get_the_same_answer(
    kind: str, targets: list[Any], most: float | None, tmp_path: Path
) -> None:
    """Four lines ask the same, but for case and spaces; a fifth asks something else, which can be right."""
    task = of_ones_own(kind)
    boxes: tuple[Any, ...] = ((0, 0, 9, 9), (9, 9, 20, 20), (1, 1, 5, 5)) if kind == "candidates" else ()
    images = ("x/1", "x/2") if kind == "pair" else ("x/1",)
    texts = ["is it red ?", "Is it red ?", "is  it red ?", "is it red ? ", "another"]
    wanted = zip(texts, [*targets, {"yes": 1.0} if kind == "answer" else targets[0]], strict=True)
    examples = [Example(str(k), text, images, target, candidates=boxes) for k, (text, target) in enumerate(wanted)]
    regions = Regions("x/1", 100, 100, np.array([[0, 0, 10, 10], FAR, [30, 0, 40, 10]], dtype=np.float32))
    found = upper_bound(
        task,
        OUTPUTS[task.output],
        DataRoot(tmp_path),
        protocol("val.jsonl", task.protocol_name()),
        examples,
        lambda _: regions,
        ["yes", "no", "cup"],
    )
    assert found == (None if most is None else pytest.approx(most))


def test_a_caption_of_several_images_finds_one_of_them(tmp_path: Path) -> None:
    texts, target = ["a cup", "A cup", "a  cup", "a car", "a dog"], np.array([0, 1, 1, 2, 0])
    captions = [
        Example(str(k), text, (f"x/{column}",)) for k, (text, column) in enumerate(zip(texts, target, strict=True))
    ]
    scores = RetrievalScores(np.zeros((5, 3), np.float32), tuple("01234"), ("x/0", "x/1", "x/2"), target)
    mine, root = of_ones_own("retrieval"), DataRoot(tmp_path)
    assert gallery_upper_bound(mine, root, "val.jsonl", captions, scores) == pytest.approx(80)
    distinct = replace(scores, target=np.array([0, 0, 0, 2, 1]))
    assert gallery_upper_bound(mine, root, "val.jsonl", captions, distinct) is None
    assert gallery_upper_bound(get("flickr30k"), root, "val", captions, scores) is None
    galleries = RankedGalleries(mine, protocol("val.jsonl"), [captions, captions], [scores, distinct])
    assert galleries.upper_bound(root) == pytest.approx(90)
