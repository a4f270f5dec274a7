"""FOIL: reading, measuring, scoring result files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.errors import ConfigError, DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.score import score
from twelve.tasks.base import get
from twelve.types.examples import Example


def caption(text: str, foil: bool, image: int = 4) -> dict[str, Any]:
    words = {"foil_word": "dog", "target_word": "cat"} if foil else {"foil_word": "ORIG", "target_word": "ORIG"}
    return {"id": 31, "image_id": image, "caption": text, "foil": foil, "foil_id": 0} | words


def root_of(folder: Path, *captions: Any) -> DataRoot:
    (folder / "foil").mkdir(exist_ok=True)
    content = {"info": {}, "annotations": list(captions), "images": [{"id": 4, "file_name": "COCO_val2014_x.jpg"}]}
    (folder / "foil" / "foilv1.0_test_2017.json").write_text(json.dumps(content))
    return DataRoot(folder)


FOUR = (
    caption("A cat sits.", False),
    caption("A dog sits.", True),
    caption("A dog barks.", True, 5),
    caption("A cat purrs.", False, 6),
)


def test_captions_are_named_by_their_places(tmp_path: Path) -> None:
    examples = get("foil").read(root_of(tmp_path, *FOUR), "test")
    assert examples[1] == Example(id="1", text="A dog sits.", images=("coco/4",), target=False, group="coco/4")
    assert [(example.id, example.target) for example in examples] == [
        ("0", True),
        ("1", False),
        ("2", False),
        ("3", True),
    ]
    with pytest.raises(MissingData, match=r"foilv1.0_train_2017.json: no such file -> download .* https://foilunitn"):
        get("foil").read(DataRoot(tmp_path), "train")
    with pytest.raises(ConfigError, match=r"foil has no split 'val' -> choose among train, test"):
        get("foil").files("val")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (
            caption("x", False) | {"foil": "no"},
            r"annotations\[1\]\]: field 'foil' must be true or false, found",
        ),
        (caption("x", False) | {"image_id": "4"}, r"annotations\[1\]\]: field 'image_id' must be a whole number"),
        (caption("x", False) | {"caption": None}, r"annotations\[1\]\]: field 'caption' must be a string"),
        (7, r"annotations\[1\]\]: expected an object with fields, found int 7"),
    ],
)
def test_malformed_captions(tmp_path: Path, record: Any, problem: str) -> None:
    with pytest.raises(DataError, match=r"foilv1\.0_test_2017\.json \[" + problem):
        get("foil").read(root_of(tmp_path, FOUR[0], record), "test")


def test_true_and_foiled_captions_are_told_apart(tmp_path: Path) -> None:
    task = get("foil")
    examples = task.read(root_of(tmp_path, *FOUR), "test")
    predictions = [SimpleNamespace(value=value) for value in (True, True, False, True)]
    measured = task.measure(examples, predictions)
    assert measured.metrics == {"accuracy": 75, "accuracy, true": 100, "accuracy, foiled": 50}
    assert measured.per_example.tolist() == [1, 0, 1, 1]
    results = tmp_path / "results.json"
    results.write_text(task.submission(examples, predictions))
    assert json.loads(results.read_text())[1] == {"annotation": 1, "foil": False}
    found = score("foil", [tmp_path / "foil" / "foilv1.0_test_2017.json"], results)
    assert {name: (number.value, number.examples) for name, number in found.numbers.items()} == {
        "accuracy": (75, 4),
        "accuracy, true": (100, 2),
        "accuracy, foiled": (50, 2),
    }
    assert found.groups == 3 and "no official program" in found.rules


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ([{"annotation": k, "foil": True} for k in range(3)], r"\[caption 3\]: 1 of 4 captions have no prediction"),
        (
            [{"annotation": k, "foil": True} for k in range(5)],
            r"\[caption 4\]: 1 prediction has no counterpart in the truth",
        ),
        ([{"annotation": 0, "foil": True}] * 2, r"\[entry 2\]: caption 0 is predicted twice, first in entry 1"),
        (
            [{"annotation": 0, "foil": 1}],
            r"field 'foil' must be true or false, found int 1 -> write each",
        ),
        (
            {"annotation": 0},
            r"expected a list, found .* -> write each prediction as \{\"annotation\": 0",
        ),
    ],
)
def test_result_files_that_cannot_be_scored(tmp_path: Path, results: Any, problem: str) -> None:
    root_of(tmp_path, *FOUR)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(DataError, match=r"results\.json.*" + problem):
        score("foil", [tmp_path / "foil" / "foilv1.0_test_2017.json"], path)
