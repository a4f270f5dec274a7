"""GuessWhat?!'s answerer on the recorded games of both layouts (tests/goldens/metrics/guesswhat)."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.score import score
from twelve.tasks.base import get, tasks_of
from twelve.types.examples import Example

TASK = get("guesswhat_answerer")
LAYOUTS = ("release_a_2017", "release_b_later")


def recorded(goldens: Path, layout: str, folder: Path) -> DataRoot:
    shutil.copytree(goldens / "metrics" / "guesswhat" / layout, folder / "guesswhat")
    return DataRoot(folder)


def test_both_layouts_ask_the_same(goldens: Path, tmp_path: Path) -> None:
    for layout in LAYOUTS:
        (tmp_path / layout).mkdir()
    one, other = (TASK.read(recorded(goldens, layout, tmp_path / layout), "test") for layout in LAYOUTS)
    assert one == other
    assert one[0] == Example(
        id="1691#0",
        text="Is it a cup?",
        images=("coco/18476",),
        target="Yes",
        group="coco/18476",
        candidates=((216.68, 461.13, pytest.approx(267.72), pytest.approx(506.01)),),
        facts={"status": "success", "game": "1691"},
    )
    raw = goldens / "metrics" / "guesswhat" / LAYOUTS[0] / "guesswhat.test.jsonl.gz"
    games = [json.loads(line) for line in gzip.decompress(raw.read_bytes()).splitlines()]
    assert [example.target for example in one] == [turn["answer"] for game in games for turn in game["qas"]]
    assert len({example.id for example in one}) == len(one)
    assert {example.facts["status"] for example in one} == {"success", "failure", "incomplete"}


def test_it_reads_the_guesser_s_folder(goldens: Path, tmp_path: Path) -> None:
    assert TASK.name not in tasks_of(DataRoot(tmp_path))
    with pytest.raises(MissingData, match=r"no folder for guesswhat -> make it and put guesswhat\.test"):
        TASK.read(DataRoot(tmp_path), "test")
    root = recorded(goldens, LAYOUTS[1], tmp_path)
    assert TASK.name in tasks_of(root)
    boxes, theirs = TASK.candidate_boxes(root, "valid"), get("guesswhat").candidate_boxes(root, "valid")
    assert boxes and all(set(own) <= set(theirs[image]) for image, own in boxes.items())


def game(folder: Path, **changes: Any) -> DataRoot:
    """A game of an object with two questions, unpacked."""
    record = {
        "id": 5,
        "status": "success",
        "object_id": 9,
        "image": {"id": 4, "file_name": "COCO_val2014_000000000004.jpg"},
        "objects": [{"id": 9, "bbox": [1, 2, 3, 4]}],
        "qas": [{"id": 1, "question": "Is it red?", "answer": "Yes"}, {"id": 2, "question": "?", "answer": "N/A"}],
    }
    (folder / "guesswhat").mkdir(exist_ok=True)
    (folder / "guesswhat" / "guesswhat.test.jsonl").write_text(json.dumps(record | changes) + "\n")
    return DataRoot(folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"qas": [{"id": 1, "question": "?", "answer": "yes"}]},
            r"line 1\.qas\[0\]\]: the answer must be one of Yes, No, N/A, found 'yes'",
        ),
        ({"qas": [{"id": 1, "answer": "Yes"}]}, r"line 1\.qas\[0\]\]: field 'question' or 'q' is missing"),
        ({"object_id": 8}, r"line 1\]: object_id 8 is not among the game's 1 objects"),
        ({"qas": None}, r"line 1\]: field 'qas' must be a list"),
    ],
)
def test_malformed_games(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=r"guesswhat\.test\.jsonl \[" + problem):
        TASK.read(game(tmp_path, **changes), "test")


def test_only_games_that_succeeded_are_measured(goldens: Path, tmp_path: Path) -> None:
    examples = TASK.read(recorded(goldens, LAYOUTS[0], tmp_path), "test")
    rows = [row for row, example in enumerate(examples) if example.facts["status"] == "success"]
    predictions = [SimpleNamespace(value="No") for _ in examples]
    measured = TASK.measure(examples, predictions)
    right = [examples[row].target == "No" for row in rows]
    assert measured.rows == rows and 0 < len(rows) < len(examples)
    assert measured.per_example.tolist() == right
    assert measured.headline == pytest.approx(100 * sum(right) / len(right))
    assert measured.metrics["error"] == pytest.approx(100 - measured.headline)
    assert (measured.metrics["accuracy, No"], measured.metrics["accuracy, Yes"]) == (100, 0)

    results = tmp_path / "answers.json"
    results.write_text(TASK.submission(examples, predictions))
    truth = [tmp_path / "guesswhat" / "guesswhat.test.jsonl.gz"]
    assert score(TASK.name, truth, results).numbers["accuracy"].value == measured.headline
    whole = score(TASK.name, truth, results, "all")
    assert whole.numbers["accuracy"].examples == len(examples)
    assert whole.numbers["accuracy"].value == pytest.approx(
        100 * sum(example.target == "No" for example in examples) / len(examples)
    )


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        (
            {"5": ["Yes"]},
            r"\[game 5\]: expected 2 answers, one per question, found 1 -> answer every question of the game",
        ),
        ({"5": ["Yes", "Maybe"]}, r"\[game 5\]: an answer must be one of Yes, No, N/A, found str 'Maybe'"),
        ({"5": "Yes"}, r"\[game 5\]: expected a list of answers, found str 'Yes' -> write each prediction as"),
        ({}, r"\[game 5\]: 1 of 1 games that count have no prediction"),
        ({"5": ["Yes", "No"], "6": ["No"]}, r"\[game 6\]: 1 prediction has no counterpart in the truth"),
        ([], r"expected an object whose keys are ids"),
    ],
)
def test_result_files_that_cannot_be_scored(tmp_path: Path, results: Any, problem: str) -> None:
    game(tmp_path)
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(results))
    with pytest.raises(DataError, match=r"answers\.json.*" + problem):
        score(TASK.name, [tmp_path / "guesswhat" / "guesswhat.test.jsonl"], path)
