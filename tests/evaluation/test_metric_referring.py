"""Overlaps and hits against the Google toolbox, MAttNet and the original code (tests/goldens/metrics/refer)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.metrics import referring as metric

EDGE = st.floats(0, 600, width=32)
BOX = st.tuples(EDGE, EDGE, EDGE, EDGE).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def xyxy(box: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height


@pytest.fixture(scope="module")
def folder(goldens: Path) -> Path:
    return goldens / "metrics" / "refer"


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, dict[str, object]]:
    return json.loads((folder / "expected.json").read_text())["expected"]


@pytest.fixture(scope="module")
def pairs(folder: Path) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    rows = json.loads((folder / "box_pairs.json").read_text())
    return [(xyxy(row["pred_xywh"]), xyxy(row["gt_xywh"])) for row in rows]


def test_google_overlap(pairs: list[tuple[tuple[float, ...], ...]], expected: dict[str, object]) -> None:
    assert [metric.iou(a, b) for a, b in pairs] == pytest.approx(expected["iou_google_common_utils"], abs=1e-9)


def test_mattnet_overlap(pairs: list[tuple[tuple[float, ...], ...]], expected: dict[str, object]) -> None:
    assert [metric.iou_mattnet(a, b) for a, b in pairs] == pytest.approx(expected["iou_mattnet_computeIoU"], abs=1e-9)


def test_original_overlap(pairs: list[tuple[tuple[float, ...], ...]], expected: dict[str, object]) -> None:
    assert [metric.iou_inclusive(a, b) for a, b in pairs] == pytest.approx(
        expected["iou_vilbert_plus1_float32"], abs=1e-5
    )


@pytest.mark.parametrize(
    ("convention", "name"),
    [
        ("google", "google (>= 0.5)"),
        ("mattnet", "mattnet (>= 0.5)"),
        ("original", "vilbert reference (> 0.5, +1 widths)"),
    ],
)
def test_accuracy_by_convention(
    pairs: list[tuple[tuple[float, ...], ...]], expected: dict[str, dict[str, float]], convention: str, name: str
) -> None:
    """The pairs hold overlaps of exactly one half."""
    hits = metric.hits([a for a, _ in pairs], [b for _, b in pairs], convention)
    assert np.mean(hits) == pytest.approx(expected["accuracy_at_0.5"][name])


def test_precision_at_k_equals_the_google_toolbox(folder: Path, expected: dict[str, dict[str, float]]) -> None:
    truth = json.loads((folder / "google_refexp" / "google_refexp_val_aligned_coco.json").read_text())["annotations"]
    rows = json.loads((folder / "google_refexp" / "comprehension_predictions.json").read_text())
    ranked = [[xyxy(box) for box in row["predicted_bounding_boxes"]] for row in rows]
    referred = [xyxy(truth[str(row["annotation_id"])]["bbox"]) for row in rows]
    golden = expected["google_refexp"]
    for k in (1, 2, 3):
        assert np.mean(metric.first_hits(k, ranked, referred)) == pytest.approx(golden[f"precision_at_{k}"])
    best = [metric.iou(boxes[0], box) for boxes, box in zip(ranked, referred, strict=True)]
    assert best == pytest.approx(golden["best_iou_at_1"], abs=1e-9)


def test_conventions_differ_at_one_half() -> None:
    whole, half = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 5.0)
    assert metric.hits([half], [whole]) == [True]
    assert metric.hits([(0.0, 0.0, 9.0, 4.0)], [(0.0, 0.0, 9.0, 9.0)], "original") == [False]


@given(BOX, BOX)
def test_overlap_is_a_symmetric_share(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    for overlap in (metric.iou, metric.iou_mattnet, metric.iou_inclusive):
        assert 0 <= overlap(a, b) <= 1 + 1e-9
        assert overlap(a, b) == pytest.approx(overlap(b, a))
    if a[2] - a[0] > 0.01 and a[3] - a[1] > 0.01:
        assert metric.iou(a, a) == pytest.approx(1)
