"""Predictions kept for the report: drawn fairly, written and read without loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twelve.errors import DataError
from twelve.evaluation import recorded
from twelve.outputs.alignment import RetrievalScores
from twelve.run_folder import RunFolder
from twelve.types.examples import Example
from twelve.types.predictions import Prediction, RecordedPrediction


def test_the_draw_is_fixed_and_bounded_and_not_the_beginning() -> None:
    rows = recorded.drawn(5000)
    assert rows == recorded.drawn(5000) and len(set(rows)) == recorded.KEPT
    assert max(rows) > 4500 and min(rows) < 500
    assert sorted(recorded.drawn(7)) == list(range(7))


def some_records() -> list[RecordedPrediction]:
    examples = [
        Example("7", "what is <b>that</b> ?", ("coco/1",), {"cup": 1.0, "mug": 0.3}),
        Example("8", "the left one", ("coco/2",), 1, candidates=((0.0, 0.0, 5.0, 5.0), (5.0, 0.0, 9.0, 9.5))),
        Example("9", "the cup", ("coco/2",), (1.0, 2.0, 3.0, 4.0)),
    ]
    predictions = [
        Prediction("mug", 0.5, (("mug", 0.5), ("cup", 0.25))),
        Prediction(np.int64(0), 0.75, ((np.int64(0), 0.75), (1, 0.25))),
        Prediction((1.0, 2.0, 3.5, 4.0), 0.5, (((1.0, 2.0, 3.5, 4.0), np.float32(0.5)),)),
    ]
    right = np.array([0.3, 0.0, 1.0])
    answers = recorded.decoded("mine", "answer", "val", examples[:1], predictions[:1], right[:1])
    return answers + recorded.decoded("mine", "region", "val", examples[1:], predictions[1:], right[1:])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    records = some_records()
    path = recorded.write(RunFolder(tmp_path).predictions, records)
    assert recorded.read(path) == {"mine": records}
    one = next(each for each in records if each.id == "7")
    assert (one.right, one.value, one.target) == (0.3, "mug", {"cup": 1.0, "mug": 0.3})


def test_a_caption_keeps_its_best_images_and_the_rank_of_its_own() -> None:
    captions = [Example("a", "a dog", ("f/2",)), Example("b", "a cat", ("f/0",))]
    images = tuple(f"f/{number}" for number in range(7))
    scores = np.array([[6, 5, 5, 4, 3, 2, 1], [9, 1, 2, 3, 4, 5, 6]], dtype=np.float32)
    found = recorded.ranked(
        "r",
        "alignment",
        "val",
        captions,
        RetrievalScores(scores, ("a", "b"), images, np.array([2, 0])),
        np.array([0, 1]),
    )
    a, b = sorted(found, key=lambda each: each.id)
    assert [image for image, _ in a.alternatives] == ["f/0", "f/1", "f/2", "f/3", "f/4"]
    assert (a.value, a.target, a.rank, a.right) == ("f/0", "f/2", 3, 0.0)  # a tie counts against the model
    assert (b.value, b.target, b.rank, b.score, b.right) == ("f/0", "f/0", 1, 9.0, 1.0)


@pytest.mark.parametrize("line", ["{", '{"task": "mine"}', "[]", '{"task": "mine", "surplus": 1}'])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = recorded.write(RunFolder(tmp_path).predictions, some_records())
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"predictions.jsonl \[line 4\].*twelve evaluate"):
        recorded.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = recorded.write(RunFolder(tmp_path).predictions, some_records())
    before = path.read_bytes()
    with pytest.raises(TypeError):
        recorded.write(path, [RecordedPrediction("t", "k", "s", "1", "", (), object(), None, 0.0, (), 0.0)])
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["predictions.jsonl"]
