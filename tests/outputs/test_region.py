"""Regions: overlaps, targets, candidates, decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from twelve.errors import RegionError
from twelve.outputs import OUTPUTS
from twelve.outputs.region import candidate_columns, overlap_with
from twelve.types.examples import Box, Example, Target
from twelve.types.regions import Regions

REGION = OUTPUTS["region"]
BOXES = [(10, 10, 59, 59), (10, 10, 59, 109), (200, 100, 250, 150), (10, 10, 59, 60)]


def seen(boxes: list[Box], width: int = 300, height: int = 200) -> Regions:
    return Regions("x/1", width, height, np.array(boxes, dtype=np.float32).reshape(-1, 4))


def example(target: Target, candidates: tuple[Box, ...] = ()) -> Example:
    return Example("e1", "the thing", ("x/1",), target=target, candidates=candidates)


coordinates = st.integers(0, 60)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)


@given(st.lists(boxes, min_size=1, max_size=6), boxes)
def test_overlap_counts_the_pixels_at_both_ends(many: list[Box], one: Box) -> None:
    """The plain overlap of boxes that end one pixel further."""
    grow = torch.tensor([0, 0, 1, 1])
    theirs = box_iou(torch.tensor(many) + grow, torch.tensor([one]) + grow)[:, 0]
    np.testing.assert_allclose(overlap_with(np.array(many, dtype=np.float32), one), theirs.numpy(), atol=1e-6)


def test_targets_are_soft_above_one_half() -> None:
    targets = REGION.targets([example((10, 10, 59, 59))], [seen(BOXES)], [])
    whole = 2500 / (301 * 201)
    assert targets["overlap"][0].tolist() == pytest.approx([whole, 1, 0.5, 0, 2500 / 2550])
    assert targets["target"][0].tolist() == pytest.approx([0, 1, 0.5, 0, 2500 / 2550])
    assert targets["valid"].all()


def test_targets_are_padded_to_the_longest_and_masked() -> None:
    targets = REGION.targets([example((10, 10, 59, 59)), example(None)], [seen(BOXES[:1]), seen(BOXES[:3])], [])
    assert targets["target"].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert targets["valid"].tolist() == [[True, True, False, False], [True] * 4]


def test_the_whole_image_can_be_right() -> None:
    targets = REGION.targets([example((0, 0, 300, 200))], [seen([])], [])
    assert targets["target"].tolist() == [[1.0]]


def test_score_wants_more_than_one_half() -> None:
    targets = REGION.targets([example((10, 10, 59, 59))] * 4, [seen(BOXES)] * 4, [])
    logits = torch.eye(5)[[1, 2, 3, 4]]  # the box itself, exactly one half, nothing, nearly all
    assert REGION.score(logits, targets).tolist() == [1, 0, 0, 1]


def test_score_never_chooses_padding() -> None:
    targets = REGION.targets([example((10, 10, 59, 59)), example(None)], [seen(BOXES[:1]), seen(BOXES)], [])
    logits = torch.tensor([[0.0, 1, 9, 9, 9, 9], [0.0] * 6])
    assert REGION.score(logits, targets)[0] == 1


def test_candidates_are_found_wherever_their_regions_lie() -> None:
    given_boxes = tuple(map(tuple, BOXES))
    ex = example(2, given_boxes)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        regions = seen([(5, 5, 7, 7), *(BOXES[k] for k in order)])
        columns = candidate_columns(ex, regions)
        assert [order[column - 2] for column in columns] == [0, 1, 2, 3]


def test_a_given_box_goes_before_an_equal_detection() -> None:
    assert candidate_columns(example(0, (BOXES[0],)), seen([BOXES[0], BOXES[2], BOXES[0]])).tolist() == [3]


def test_candidates_beyond_the_border_are_found_clipped() -> None:
    ex = example(0, ((-1, -1, 400, 120),))
    assert candidate_columns(ex, seen([BOXES[0], (0, 0, 300, 120)])).tolist() == [2]


@pytest.mark.parametrize("regions", [[], [BOXES[2]]])
def test_a_candidate_without_region_is_named(regions: list[Box]) -> None:
    with pytest.raises(RegionError, match=r"\[e1\].*no region for candidate 0"):
        REGION.targets([example(0, (BOXES[0],))], [seen(regions)], [])


def test_candidate_targets_loss_and_score() -> None:
    first, second = example(0, tuple(BOXES[:2])), example(2, tuple(BOXES[:3]))
    targets = REGION.targets([first, second], [seen(BOXES), seen(BOXES[::-1])], [])
    assert targets["candidates"].tolist() == [[1, 2, 0], [4, 3, 2]]
    assert targets["valid"].tolist() == [[True, True, False], [True, True, True]]
    assert targets["target"].tolist() == [[1, 0.5, 0], [0, 0, 1]]
    logits = torch.tensor([[90.0, 2, 1, 0, 80], [0, 70, 3, 2, 1]])
    assert REGION.score(logits, targets).tolist() == [1, 1]
    expected = sum(
        torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(x), torch.tensor(y), reduction="sum")
        for x, y in (([2.0, 1], [1, 0.5]), ([1.0, 2, 3], [0.0, 0, 1]))
    )
    assert float(REGION.loss(logits, targets)) == pytest.approx(float(expected) / 2, rel=1e-6)


def test_decoding_stays_inside_each_image() -> None:
    logits = torch.tensor([[0.0, 1, 9, 9], [3, 1, 2, 0]])
    found = REGION.decode(logits, [example(None)] * 2, [seen(BOXES[:1]), seen(BOXES[:3])], [])
    assert found[0].value == BOXES[0]
    assert found[0].confidence == pytest.approx(float(torch.sigmoid(torch.tensor(1.0))))
    assert len(found[0].alternatives) == 2
    assert [value for value, _ in found[1].alternatives] == [(0, 0, 300, 200), BOXES[1], BOXES[0], BOXES[2]]


def test_decoding_ranks_logits_whose_sigmoids_are_equal() -> None:
    found = REGION.decode(torch.tensor([[0.0, 60, 61]]), [example(None)], [seen(BOXES[:2])], [])
    assert found[0].value == BOXES[1]


def test_candidates_decode_to_their_index() -> None:
    ex = example(None, (BOXES[2], BOXES[0]))
    found = REGION.decode(torch.tensor([[9.0, 1, 9, 2, 9]]), [ex], [seen(BOXES)], [])
    assert found[0].value == 0
    assert [value for value, _ in found[0].alternatives] == [0, 1]


@pytest.mark.parametrize(("target", "given"), [("left", ()), (3, ()), (True, (BOXES[0],)), ((1, 2, 3, 4), (BOXES[0],))])
def test_targets_of_another_kind_are_refused(target: Target, given: tuple[Box, ...]) -> None:
    with pytest.raises(TypeError, match="e1"):
        REGION.targets([example(target, given)], [seen(BOXES)], [])


def test_prospects_of_detected_and_given_boxes() -> None:
    images = [seen(BOXES), seen(BOXES)]
    found = REGION.prospects([example((10, 10, 59, 59)), example((0, 150, 20, 200))], images, [])
    # Of four boxes and the whole image two overlap by half or more; nothing is near the second.
    assert found.chance.tolist() == [2 / 5, 0]
    assert found.best.tolist() == [1, 0]
    found = REGION.prospects([example(1, tuple(BOXES[:4]))], images[:1], [])
    assert (found.chance.tolist(), found.best.tolist()) == ([1 / 4], [1])
