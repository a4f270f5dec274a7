"""Ranks and recall against SCAN, VSE++ and ALBEF (tests/goldens/metrics/retrieval) and against counting by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.metrics.retrieval import gallery_rows, image_to_text_ranks, recall, text_to_image_ranks


@pytest.fixture(scope="module")
def folder(goldens: Path) -> Path:
    return goldens / "metrics" / "retrieval"


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, dict[str, object]]:
    return json.loads((folder / "expected.json").read_text())["expected"]


def by_hand(scores: np.ndarray, target: np.ndarray) -> tuple[list[int], list[int]]:
    text = [
        sum(not row[image] < row[own] for image in range(len(row)) if image != own)
        for row, own in zip(scores, target, strict=True)
    ]
    image = []
    for column in sorted(set(target.tolist())):
        best = max(scores[target == column, column])
        image.append(sum(not score < best for score in scores[target != column, column]))
    return text, image


def test_ranks_equal_the_recorded_ones(folder: Path, expected: dict[str, dict[str, object]]) -> None:
    scores = np.array(json.loads((folder / "scores.json").read_text())["scores"], np.float32).T
    target = np.arange(200) // 5
    text, image = text_to_image_ranks(scores, target), image_to_text_ranks(scores, target)
    golden = expected["scores.json"]
    assert text.tolist() == golden["text_to_image_ranks_from_0"]
    assert image.tolist() == golden["image_to_text_best_ranks_from_0"]
    for ranks, name in ((text, "text_to_image"), (image, "image_to_text")):
        found = asdict(recall(ranks))
        assert found == pytest.approx(golden[f"SCAN {name}"])
    albef = golden["ALBEF itm_eval"]
    assert [albef["img_r1"], albef["img_r5"], albef["img_r10"]] == pytest.approx(
        list(asdict(recall(text)).values())[:3]
    )
    assert [albef["txt_r1"], albef["txt_r5"], albef["txt_r10"]] == pytest.approx(
        list(asdict(recall(image)).values())[:3]
    )


def test_recall_of_embeddings_equals_vsepp(folder: Path, expected: dict[str, dict[str, object]]) -> None:
    content = json.loads((folder / "embeddings.json").read_text())
    scores = np.array(content["captions"]) @ np.array(content["images"]).T
    target = np.arange(200) // 5
    golden = expected["embeddings.json"]
    assert asdict(recall(text_to_image_ranks(scores, target))) == pytest.approx(golden["vsepp text_to_image"])
    assert asdict(recall(image_to_text_ranks(scores, target))) == pytest.approx(golden["vsepp image_to_text"])


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 10_000))
def test_ranks_equal_counting_even_with_ties(images: int, captions: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, images, captions)
    scores = rng.integers(0, 3, (captions, images)).astype(np.float32)
    text, image = by_hand(scores, target)
    assert text_to_image_ranks(scores, target).tolist() == text
    assert image_to_text_ranks(scores, target).tolist() == image


def test_equal_scores_earn_nothing() -> None:
    scores, target = np.zeros((10, 5), np.float32), np.arange(10) // 2
    assert recall(text_to_image_ranks(scores, target)).r1 == 0
    assert recall(image_to_text_ranks(scores, target)).r1 == 0


def test_what_is_not_a_number_never_wins() -> None:
    scores, target = np.full((2, 2), np.nan, np.float32), np.array([0, 1])
    assert text_to_image_ranks(scores, target).tolist() == [1, 1]
    assert image_to_text_ranks(scores, target).tolist() == [1, 1]
    scores[:] = np.eye(2)
    scores[0, 0] = np.nan
    assert text_to_image_ranks(scores, target).tolist() == [1, 0]


def test_image_without_captions_is_only_a_distractor() -> None:
    scores = np.array([[1.0, 2.0]], np.float32)
    assert text_to_image_ranks(scores, np.array([0])).tolist() == [1]
    assert image_to_text_ranks(scores, np.array([0])).tolist() == [0]


def test_gallery_is_the_first_images_with_five_captions_each() -> None:
    images = ["a"] * 7 + ["b"] * 2 + ["a"] + ["c"] * 5
    assert gallery_rows(images, None) == [0, 1, 2, 3, 4, 7, 8, 10, 11, 12, 13, 14]
    assert gallery_rows(images, 2) == [0, 1, 2, 3, 4, 7, 8]
