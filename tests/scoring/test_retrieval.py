"""Galleries, layouts and mistakes in scores and rankings of captions and images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.errors import DataError
from twelve.score import Scores, score

IMAGES = 40


def captions(folder: Path, split: str = "test", images: int = IMAGES, each: int = 5) -> Path:
    """Images 1, 2, ... with captions 1000, 1001, ..., in Karpathy's layout."""
    shown = [
        {
            "filename": f"COCO_val2014_{number + 1:012d}.jpg",
            "split": split,
            "sentences": [{"raw": "x", "sentid": 1000 + each * number + k} for k in range(each)],
        }
        for number in range(images)
    ]
    path = folder / f"dataset_{split}_{images}_{each}.json"
    path.write_text(json.dumps({"images": shown}))
    return path


@pytest.fixture
def scores() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(5 * IMAGES, IMAGES))


def run(truth: Path, predictions: Path, protocol: str = "all") -> Scores:
    return score("coco", [truth], predictions, protocol)


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "scores.npz", **arrays)
    return folder / "scores.npz"


def test_ids_and_orders_do_not_matter(tmp_path: Path, scores: np.ndarray[Any, Any]) -> None:
    """Shuffled with ids, turned over, as .npy, as JSON: the same numbers."""
    truth = captions(tmp_path)
    plain = run(truth, save(tmp_path, scores=scores)).numbers
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(len(scores)), rng.permutation(IMAGES)
    named = {"caption_ids": 1000 + rows, "image_ids": 1 + columns}
    shuffled = scores[rows][:, columns]
    assert run(truth, save(tmp_path, scores=shuffled, **named)).numbers == plain
    assert run(truth, save(tmp_path, scores=shuffled.T, **named)).numbers == plain
    np.save(tmp_path / "scores.npy", scores)
    assert run(truth, tmp_path / "scores.npy").numbers == plain
    names = [f"COCO_val2014_{number + 1:012d}.jpg" for number in columns]
    content = {"scores": shuffled.tolist(), "caption_ids": named["caption_ids"].tolist(), "image_ids": names}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert run(truth, tmp_path / "scores.json").numbers == plain


def test_rankings_equal_scores(tmp_path: Path, scores: np.ndarray[Any, Any]) -> None:
    truth = captions(tmp_path)
    whole = {
        "text_to_image": {1000 + c: (1 + np.argsort(-row)).tolist() for c, row in enumerate(scores)},
        "image_to_text": {1 + i: (1000 + np.argsort(-row)).tolist() for i, row in enumerate(scores.T)},
    }
    path = tmp_path / "ranked.json"
    path.write_text(json.dumps(whole))
    plain = run(truth, save(tmp_path, scores=scores))
    assert run(truth, path).numbers == plain.numbers
    more = {direction: {key: [987, *ids] for key, ids in lists.items()} for direction, lists in whole.items()}
    path.write_text(json.dumps(more))  # 987 is neither an image nor a caption of the gallery
    assert run(truth, path).numbers == plain.numbers
    first = {"text_to_image": {key: ranked[:10] for key, ranked in whole["text_to_image"].items()}}
    path.write_text(json.dumps(first))
    found = run(truth, path)
    assert {name: number for name, number in plain.numbers.items() if name in found.numbers} == found.numbers
    assert list(found.numbers) == ["R@1", "R@5", "R@10", "mean recall"] and "left out" in found.notes[0]
    path.write_text(json.dumps({"image_to_text": whole["image_to_text"]}))
    found = run(truth, path)
    assert (found.primary, found.examples, found.headline.mean) == (
        "image to text R@1",
        IMAGES,
        plain.numbers["image to text R@1"].value,
    )


def test_the_first_five_captions_count(tmp_path: Path, scores: np.ndarray[Any, Any]) -> None:
    """Of six captions an image the sixth is passed over, whether the matrix has it or not."""
    truth = captions(tmp_path, each=6)
    padded = np.zeros((6 * IMAGES, IMAGES))
    kept = [row for row in range(len(padded)) if row % 6 < 5]
    padded[kept] = scores
    plain = run(captions(tmp_path), save(tmp_path, scores=scores)).numbers
    assert run(truth, save(tmp_path, scores=scores)).numbers == plain
    assert run(truth, save(tmp_path, scores=padded)).numbers == plain


def test_galleries_of_the_protocols(tmp_path: Path) -> None:
    """Five thousand images, one caption each: every image loses to the one a thousand places before it."""
    size = 5000
    truth = captions(tmp_path, images=size, each=1)
    scores = np.zeros((size, size), dtype=np.float32)
    place = np.arange(size)
    scores[place, place] = 1
    scores[place[1000:], place[1000:] - 1000] = 2
    scores[4500, 4501] = 3
    path = save(tmp_path, scores=scores)
    found = {protocol: run(truth, path, protocol) for protocol in ("1k", "1k-5fold", "5k")}
    assert {name: each.numbers["R@1"].value for name, each in found.items()} == {
        "1k": 100.0,
        "1k-5fold": pytest.approx(100 - 1 / 50),
        "5k": 20.0,
    }
    assert [each.examples for each in found.values()] == [1000, 5000, 5000]
    assert "5 galleries of 1,000 images" in found["1k-5fold"].rules
    default = score("coco", [truth], path)
    assert (default.protocol, default.protocol_is_default, default.numbers) == ("1k", True, found["1k"].numbers)
    with pytest.raises(DataError, match=r"protocol 1k needs 1,000 images, but the split has 40.*--protocol given"):
        run(captions(tmp_path), path, "1k")


def test_the_split_is_the_one_that_was_predicted(tmp_path: Path, scores: np.ndarray[Any, Any]) -> None:
    truth = captions(tmp_path, split="val")
    found = run(truth, save(tmp_path, scores=scores, caption_ids=1000 + np.arange(200)))
    assert found.rules.count("split val") == 1
    with pytest.raises(DataError, match="contains no caption of split 'test'"):
        run(truth, save(tmp_path, scores=scores))


def test_mistakes(tmp_path: Path, scores: np.ndarray[Any, Any]) -> None:
    truth = captions(tmp_path)
    wrong = scores.copy()
    wrong[3, 4] = np.nan
    for arrays, message in (
        ({"scores": wrong}, "expected a number in row 3, column 4, found NaN"),
        ({"scores": scores[:, 1:]}, "expected scores of captions x images, 200 x 40.*, found 200 x 39"),
        ({"scores": scores, "caption_ids": np.full(200, 1000)}, r"\[1000\]: this id occurs twice among the captions"),
        ({"scores": scores, "caption_ids": 999 + np.arange(200)}, r"\[1199\]: 1 of 200 captions of the gallery"),
        ({"scores": scores[0]}, "expected numbers of captions x images"),
        ({"scores": scores, "image_ids": np.arange(40) / 2}, r"\[image_ids\]: expected a list of ids"),
        ({"logits": scores}, "not found among logits"),
    ):
        with pytest.raises(DataError, match=message):
            run(truth, save(tmp_path, **arrays))
    path = tmp_path / "ranked.json"
    ranked = {1000 + c: list(range(1, 41)) for c in range(200)}
    for lists, message in (
        ({**ranked, 1000: [2, 3]}, r"\[1000\]: this list has 2 ids of the gallery, but not the correct one"),
        ({**ranked, 1000: [1, 1]}, r"\[1000\]: this list contains an id twice"),
        ({**ranked, 1000: 1}, r"text_to_image.1000\]: expected a list of ids"),
        ({key: ranked[key] for key in list(ranked)[1:]}, r"\[1000\]: 1 of 200 ids.*--protocol given"),
    ):
        path.write_text(json.dumps({"text_to_image": lists}))
        with pytest.raises(DataError, match=message):
            run(truth, path)
