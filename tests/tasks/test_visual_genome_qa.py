from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.tasks import visual_genome_qa as module
from twelve.tasks.base import get
from twelve.types.examples import Example


def write(root: Path, *images: dict[str, Any]) -> DataRoot:
    (root / "vg_qa").mkdir(exist_ok=True)
    (root / "vg_qa" / "question_answers.json").write_text(json.dumps(images))
    return DataRoot(root)


def test_old_and_new_field_names(tmp_path: Path) -> None:
    new = {"qa_id": 9, "image_id": 4, "question": "What is it?", "answer": "Two lamps.", "a_objects": []}
    old = {"id": 8, "image_id": 5, "question": "Who?", "answer": "A Man", "answer_objects": []}
    root = write(tmp_path, {"id": 4, "qas": [new]}, {"image_id": 5, "qas": [old]})
    first, second = module.read_questions(root.path / "vg_qa" / "question_answers.json")
    assert (first.id, first.text, first.images) == ("9", "What is it?", ("vg/4",))
    assert (first.target, first.facts) == ({"2 lamps": 1.0}, {"label": "2 lamps"})  # as VQA's answers
    assert (second.id, second.images, second.target) == ("8", ("vg/5",), {"man": 1.0})
    # a file this small: the last tenth by id, at least one
    assert [example.id for example in get("vg_qa").read(root, "val")] == ["9"]
    assert [example.id for example in get("vg_qa").read(root, "train")] == ["8"]


@pytest.mark.parametrize(("questions", "val"), [(40, 4), (49_999, 4999), (50_000, 5000), (50_010, 5000)])
def test_val_is_the_last_by_id(questions: int, val: int) -> None:
    examples = [Example(str(number), "", ("vg/1",)) for number in range(questions)][::-1]
    train, held = module.part(examples)
    assert (len(train), len(held)) == (questions - val, val)
    assert int(train[-1].id) == questions - val - 1 and int(held[0].id) == questions - val


def test_protocol_tells_of_the_cut() -> None:
    assert "an image can be on both sides" in get("vg_qa").protocol("val").note


def test_measure_compares_labels() -> None:
    examples = [Example(str(k), "", ("vg/1",), {a: 1.0}, "vg/1", facts={"label": a}) for k, a in enumerate("abcd")]
    found = get("vg_qa").measure(examples, [SimpleNamespace(value=value) for value in "abxx"])
    assert (found.headline, found.per_example.tolist(), found.groups[0]) == (50, [1, 1, 0, 0], "vg/1")


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ({"qas": []}, "field 'id' or 'image_id' is missing"),
        ({"id": 4}, r"\[entry 1\]: field 'qas' is missing"),
        ({"id": 4, "qas": [{"question": "x", "answer": "y"}]}, "field 'qa_id' or 'id' is missing"),
        ({"id": 4, "qas": [{"qa_id": 1, "question": "x", "answer": "y"}] * 2}, "question id 1 occurs twice"),
        ({"id": 4, "qas": [{"qa_id": 1, "question": "x", "answer": None}]}, "'answer' must be a string"),
    ],
)
def test_malformed_images(tmp_path: Path, image: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        get("vg_qa").read(write(tmp_path, image), "val")
