"""What pretraining hides, against one-at-a-time definitions and by its properties."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from twelve.outputs.parts.masking import CHOSEN, OVERLAP, ZEROED, choose_regions, hide_words, overlaps, without

MASK, VOCABULARY = 4, 50


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def boxes_of(seed: int, images: int = 4, regions: int = 9) -> torch.Tensor:
    corners = torch.from_numpy(np.random.default_rng(seed).random((images, regions, 2, 2)))
    return torch.cat([corners.amin(2), corners.amax(2)], dim=2)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 12))
def test_only_words_are_hidden_and_what_was_there_is_asked(seed: int, texts: int, length: int) -> None:
    ids = (5 + drawn(texts, length, seed=seed) * (VOCABULARY - 5)).long()
    words = drawn(texts, length, seed=seed + 1) < 0.7
    shown, labels = hide_words(ids, words, drawn(texts, length, seed=seed + 2), mask=MASK, vocabulary=VOCABULARY)
    asked = labels >= 0
    assert not (asked & ~words).any()
    assert torch.equal(labels[asked], ids[asked]) and (labels[~asked] == -1).all()
    assert torch.equal(shown[~asked], ids[~asked]) and ((shown >= 0) & (shown < VOCABULARY)).all()


def test_shares_of_words() -> None:
    ids = torch.full((400, 500), 7)
    shown, labels = hide_words(ids, torch.ones_like(ids, dtype=torch.bool), drawn(400, 500), mask=MASK, vocabulary=50)
    asked = labels >= 0
    assert abs(float(asked.double().mean()) - 0.15) < 0.005
    there = shown[asked]
    assert abs(float((there == MASK).double().mean()) - (0.8 + 0.1 / 50)) < 0.01
    assert abs(float((there == 7).double().mean()) - (0.1 + 0.1 / 50)) < 0.01
    others = there[(there != MASK) & (there != 7)]
    assert len(others.unique()) == 48  # any word piece, the special ones too
    counts = torch.bincount(others, minlength=50)
    assert counts.max() < 3 * counts[counts > 0].min()


@given(st.integers(0, 2**32))
def test_regions_that_overlap_a_chosen_one_are_hidden(seed: int) -> None:
    boxes, draw = boxes_of(seed), drawn(4, 9, seed=seed + 1)
    present = torch.arange(9) < torch.tensor([[9], [5], [1], [0]])
    chosen, hidden = choose_regions(boxes, present, draw)
    for image in range(4):
        wanted = []
        for region in range(9):
            own = bool(draw[image, region] < CHOSEN * ZEROED)
            near = any(
                float(draw[image, other]) < CHOSEN
                and other != region
                and bool(present[image, other])
                and _iou(boxes[image, other].tolist(), boxes[image, region].tolist()) > OVERLAP
                for other in range(9)
            )
            wanted.append(bool(present[image, region]) and (own or near))
        assert hidden[image].tolist() == wanted
    assert torch.equal(chosen, present & (draw < CHOSEN))


def _iou(a: list[float], b: list[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, high)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(np.float32(shared / either)) if either > 0 else 0.0


@given(st.integers(0, 2**32), st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_overlaps_do_not_depend_on_the_unit(seed: int, width: float, height: float) -> None:
    boxes = boxes_of(seed)
    found = overlaps(boxes)
    assert torch.allclose(found, found.mT) and ((found >= 0) & (found <= 1 + 1e-5)).all()
    scaled = overlaps(boxes * torch.tensor([width, height, width, height]))
    assert torch.allclose(scaled, found, atol=1e-4)
    assert (overlaps(torch.zeros(1, 3, 4)) == 0).all()


def test_one_in_ten_chosen_regions_keeps_its_feature() -> None:
    apart = torch.arange(400.0)[None, :, None].expand(100, 400, 4) + torch.tensor([0.0, 0, 0.5, 0.5])
    chosen, hidden = choose_regions(apart, torch.ones(100, 400, dtype=torch.bool), drawn(100, 400))
    assert abs(float(chosen.double().mean()) - 0.15) < 0.01
    assert not (hidden & ~chosen).any() and abs(float(hidden[chosen].double().mean()) - 0.9) < 0.02


@given(st.integers(0, 2**32), st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
def test_the_global_region_knows_nothing_of_hidden_ones(seed: int, dtype: torch.dtype) -> None:
    present = torch.arange(6) < torch.tensor([[6], [4], [2], [3]])
    features = torch.cat([drawn(4, 1, 5, seed=seed), drawn(4, 6, 5, seed=seed + 1) * present[..., None]], 1).to(dtype)
    hidden = (drawn(4, 6, seed=seed + 2) < 0.4) & present
    hidden[3] = False
    found = without(features, hidden, present)
    assert found.dtype == dtype and found.shape == features.shape
    assert (found[:, 1:][hidden] == 0).all() and torch.equal(found[:, 1:][~hidden], features[:, 1:][~hidden])
    assert torch.equal(found[3], features[3])
    changed = features.clone()
    changed[:, 1:][hidden] = 9
    assert torch.equal(without(changed, hidden, present), found)
    for image in range(3):
        if hidden[image].any():
            seen = features[image, 1:][present[image] & ~hidden[image]].float()
            mean = seen.mean(0) if len(seen) else torch.zeros(5)
            assert torch.allclose(found[image, 0].float(), mean, atol=1e-2)
