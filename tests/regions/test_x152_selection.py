"""Suppression, proposals, anchors and levels of the region detector."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import nms
from x152_tiny import TINY

from twelve.regions.detectors.x152.anchors import anchors_at, cell_anchors
from twelve.regions.detectors.x152.pooling import levels_of, pool
from twelve.regions.detectors.x152.proposals import clip, decode, propose
from twelve.regions.detectors.x152.selection import select, survivors


def one_by_one(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """A call of nms for every class."""
    stays = torch.zeros_like(scores, dtype=torch.bool)
    grown = boxes + torch.tensor([0.0, 0.0, 1.0, 1.0])
    for number in range(scores.shape[1]):
        stays[nms(grown, scores[:, number].contiguous(), overlap), number] = True
    return stays


@given(
    count=st.integers(1, 60),
    classes=st.sampled_from([1, 7, 64, 65, 130]),
    spread=st.sampled_from([1.0, 10.0, 60.0]),
    steps=st.sampled_from([1, 3, 10_000]),
    overlap=st.sampled_from([0.3, 0.5]),
    seed=st.integers(0, 1000),
)
def test_all_classes_at_once_is_one_call_a_class(
    count: int, classes: int, spread: float, steps: int, overlap: float, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=g) * spread
    boxes = torch.cat((corner, corner + torch.rand(count, 2, generator=g) * 40 - 0.9), dim=1)  # some are under 1 wide
    scores = (torch.rand(count, classes, generator=g) * steps).round() / steps  # few steps: many ties
    assert torch.equal(survivors(boxes, scores, overlap), one_by_one(boxes, scores, overlap))


def test_a_long_chain_of_overlaps() -> None:
    """Each box overlaps the next alone: every other one stays, which takes as many rounds as there are boxes."""
    start = torch.arange(200.0) * 3
    boxes = torch.stack((start, torch.zeros(200), start + 9, torch.full((200,), 9.0)), dim=1)
    scores = torch.stack((torch.linspace(1, 0, 200), torch.linspace(0, 1, 200)), dim=1)
    stays = survivors(boxes, scores)
    assert torch.equal(stays[:, 0], torch.arange(200) % 2 == 0)
    assert torch.equal(stays[:, 1], torch.arange(200) % 2 == 1)


def test_selection_ranks_by_the_best_class_in_which_a_box_survives() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [50, 50, 60, 60], [90, 90, 99, 99]])
    probabilities = torch.tensor([[0.0, 0.9, 0.1], [0.0, 0.8, 0.2], [0.7, 0.3, 0.0], [1.0, 0.0, 0.0]])
    rows, scores = select(boxes, probabilities, 10)
    assert rows.tolist() == [0, 2, 1, 3]  # row 1 loses class 1 to row 0 and is left with class 2
    assert scores.tolist() == pytest.approx([0.9, 0.3, 0.2, 0.0])
    assert select(boxes, probabilities, 2)[0].tolist() == [0, 2]
    rows, scores = select(boxes, probabilities, 10, threshold=0.3)  # must be more than the threshold
    assert rows.tolist() == [0, 1, 2, 3]
    assert scores.tolist() == pytest.approx([0.9, 0, 0, 0])
    rows, scores = select(boxes, probabilities, 10, background=True)
    assert rows.tolist() == [3, 0, 2, 1]


def test_boxes_tied_in_rank_keep_the_order_of_their_rows() -> None:
    corner = torch.arange(1000.0)[:, None] * 20
    boxes = torch.cat((corner, corner, corner + 9, corner + 9), dim=1)
    probabilities = torch.tensor([[0.5, 0.25, 0.25]]).repeat(1000, 1)
    assert select(boxes, probabilities, 400)[0].tolist() == list(range(400))
    assert select(boxes, probabilities, 400, threshold=0.9)[0].tolist() == list(range(400))


def test_proposals_tied_in_certainty_keep_the_order_of_their_places() -> None:
    logits = [torch.full((1, 3, side, side), 50.0) for side in (8, 4, 2, 1, 1)]  # all saturate to 1
    deltas = [torch.zeros(1, 12, side, side) for side in (8, 4, 2, 1, 1)]
    ((boxes, objectness),) = propose(logits, deltas, [(32, 32)], TINY)
    assert bool((objectness == 1).all())
    again = clip(anchors_at(0, torch.arange(150), 8), (32, 32))
    kept = nms(again + torch.tensor([0.0, 0, 1, 1]), torch.ones(150), 0.7).sort().values[:60]
    assert torch.equal(boxes[: len(kept)], again[kept])


def test_anchors_count_rows_columns_then_shapes() -> None:
    places = anchors_at(1, torch.arange(24), columns=4).view(2, 4, 3, 4)
    for row in range(2):
        for column in range(4):
            shift = torch.tensor([8.0 * column, 8.0 * row] * 2)
            assert torch.equal(places[row, column], cell_anchors(1) + shift)


def test_decoding_measures_boxes_with_their_last_pixel() -> None:
    anchors = torch.tensor([[0.0, 0, 15, 31]])
    assert torch.equal(decode(torch.zeros(1, 4), anchors), anchors)
    grown = decode(torch.tensor([[0.5, 0.0, 0.0, 100.0]]), anchors)[0]
    assert grown[[0, 2]].tolist() == [8.0, 23.0]
    assert float(grown[3] - grown[1] + 1) == pytest.approx(32 * 1000 / 16)  # growth has a limit
    tiny = decode(torch.tensor([[0.0, 0.0, -9.0, -9.0]]), anchors)[0]
    assert tiny[2] < tiny[0]  # under a pixel wide: kept as it is


def test_boxes_of_negative_area_pool_to_zero() -> None:
    maps = [torch.ones(1, 2, side, side) for side in (32, 16, 8, 4, 2)]
    boxes = torch.tensor([[10.0, 10, 60, 60], [60, 10, 10, 60], [60, 60, 10, 10]])
    assert levels_of(boxes).tolist() == [0, -1, 0]  # two negative sides make a positive area
    pooled = pool(maps, [boxes[:1], boxes[1:]][0:1])
    assert bool((pooled == 1).all())
    pooled = pool(maps, [boxes])
    assert bool((pooled[1] == 0).all()) and bool((pooled[0] == 1).all())
    assert pool(maps, [boxes[:0]]).shape == (0, 2, 7, 7)
