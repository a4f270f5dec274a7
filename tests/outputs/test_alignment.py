"""Retrieval: the four pairs, the pool of images that look alike, the scores' container."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from twelve.errors import ConfigError, RegionError
from twelve.outputs import OUTPUTS
from twelve.outputs.alignment import RetrievalScores
from twelve.outputs.parts import neighbours as module
from twelve.outputs.parts.neighbours import HardPool, mean_features, nearest_rows
from twelve.types.examples import Example
from twelve.types.regions import Regions

ALIGNMENT = OUTPUTS["alignment"]


def examples(count: int, captions: int = 2) -> list[Example]:
    return [Example(f"{i}#{c}", f"caption {i} {c}", (f"x/{i}",)) for i in range(count) for c in range(captions)]


def lookup(image: str) -> Regions:
    """Images on a line: number 7 is nearest to 6 and 8."""
    features = np.full((3, 4), float(image.split("/")[1]), dtype=np.float16)
    features.flags.writeable = False
    return Regions(image, 10, 10, np.zeros((3, 4), dtype=np.float32), features)


def test_four_pairs_from_the_batch_and_the_pool() -> None:
    everything = examples(40)
    pool = ALIGNMENT.prepare(everything, lookup)
    batch = [everything[10], everything[11], everything[30], everything[50]]  # images 5, 5, 15, 25
    texts = {e.text: e.images[0] for e in everything}
    rng = np.random.default_rng(0)
    hard: set[str] = set()
    for _ in range(50):
        for ex, (match, caption, other, alike) in zip(batch, ALIGNMENT.pairs(batch, rng, pool), strict=True):
            image = ex.images[0]
            assert match == (ex.text, image)
            assert caption[1] == image
            assert texts[caption[0]] in {b.images[0] for b in batch} - {image}
            assert other[0] == ex.text
            assert other[1] in {b.images[0] for b in batch} - {image}
            assert alike[1] == image
            assert texts[alike[0]] != image
            hard.add(texts[alike[0]])
    assert len(hard) > 30  # with fewer than 101 images every other one is a neighbour
    targets = ALIGNMENT.targets(batch, [], [])
    assert targets["target"].tolist() == [0, 0, 0, 0]


def test_equal_pairs_share_the_score() -> None:
    """A collapsed model, whose pairs all have the same logit, scores what chance does; the right pair is the first."""
    targets = ALIGNMENT.targets(examples(5, captions=1), [], [])
    rows = [[1.0, 1, 1, 1], [2, 0, 2, 1], [3, 1, 2, 0], [1, 2, 2, 0], [float("nan")] * 4]
    logits = torch.tensor(rows).reshape(-1, 1)
    assert ALIGNMENT.score(logits, targets).tolist() == [0.25, 0.5, 1, 0, 0]


def test_negatives_of_the_whole_training_set() -> None:
    """As the original draws them: another image of the set, with one of its captions, for either negative."""
    everything = examples(40)
    pool = ALIGNMENT.prepare(everything, lookup, negatives="train")
    texts = {e.text: e.images[0] for e in everything}
    batch, rng = [everything[10], everything[30]], np.random.default_rng(0)  # images 5 and 15
    drawn: dict[str, list[str]] = {"captions": [], "images": []}
    for _ in range(400):
        for ex, (match, caption, other, alike) in zip(batch, ALIGNMENT.pairs(batch, rng, pool), strict=True):
            image = ex.images[0]
            assert match == (ex.text, image) and caption[1] == alike[1] == image and other[0] == ex.text
            drawn["captions"].append(texts[caption[0]])
            drawn["images"].append(other[1])
            assert image not in (drawn["captions"][-1], drawn["images"][-1])
    for images in drawn.values():
        counts = np.array([images.count(f"x/{number}") for number in range(40)])
        assert (counts > 0).all() and counts.max() < 3 * 800 / 40  # every image, none far more often than others
    assert ALIGNMENT.negatives[0] == "batch"
    assert not ALIGNMENT.prepare(everything, lookup).everywhere
    assert not ALIGNMENT.prepare(everything, lookup, negatives="batch").everywhere


def test_hard_negatives_are_near() -> None:
    everything = examples(30)
    pool = HardPool.build(everything, lookup, neighbours=2)
    rng = np.random.default_rng(0)
    drawn = {pool.lookalike("caption 7 0", "x/7", rng)[1] for _ in range(40)}  # type: ignore[index]
    assert drawn == {"x/6", "x/8"}


def test_pairs_depend_on_the_generator_alone() -> None:
    batch, pool = examples(6), HardPool.build(examples(6), lookup)
    first, again, other = (ALIGNMENT.pairs(batch, np.random.default_rng(seed), pool) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_batch_of_one_image_draws_from_the_pool() -> None:
    everything = examples(5)
    pool = HardPool.build(everything, lookup)
    ((_, caption, image, _), _) = ALIGNMENT.pairs(everything[:2], np.random.default_rng(0), pool)
    assert not caption[0].startswith("caption 0")
    assert image[1] != "x/0"


def test_an_equal_caption_is_no_negative() -> None:
    twin = Example("t", "caption 0 0", ("x/9",))
    batch = [examples(1, 1)[0], twin, Example("o", "other", ("x/8",))]
    pool = HardPool.build(batch, lookup)
    for seed in range(20):
        for (match, *negatives), ex in zip(
            ALIGNMENT.pairs(batch, np.random.default_rng(seed), pool), batch, strict=True
        ):
            assert match not in negatives
            assert all(text != ex.text for text, _ in (negatives[0], negatives[2]))
            assert negatives[1][1] not in {b.images[0] for b in batch if b.text == ex.text}


def test_no_other_image_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least two images"):
        ALIGNMENT.pairs(examples(1), np.random.default_rng(0), HardPool.build(examples(1), lookup))
    with pytest.raises(ConfigError, match="at least two images"):
        ALIGNMENT.pairs(examples(1), np.random.default_rng(0))


def test_without_a_generator_only_the_match() -> None:
    assert ALIGNMENT.pairs(examples(1, 1)) == [[("caption 0 0", "x/0")]]


@pytest.mark.parametrize("block", [1, 150, 2**24])
def test_nearest_rows_are_the_nearest(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", block)
    points = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) + 100  # far from the origin
    found = nearest_rows(points, 7)
    distances = torch.cdist(points.double(), points.double())
    distances.fill_diagonal_(torch.inf)
    assert found.dtype == np.int32
    assert found.tolist() == distances.topk(7, largest=False).indices.tolist()


def test_fewer_neighbours_than_asked_for() -> None:
    assert nearest_rows(torch.randn(4, 3), 100).shape == (4, 3)
    assert nearest_rows(torch.randn(1, 3), 100).shape == (1, 0)
    assert nearest_rows(torch.empty(0, 0), 100).shape == (0, 0)


def test_means_are_float32_and_ask_for_features(recwarn: pytest.WarningsRecorder) -> None:
    means = mean_features(["x/3", "x/2049"], lookup)
    assert means.dtype is torch.float32
    assert means[:, 0].tolist() == [3, 2048]  # 2049 is no float16
    assert not recwarn.list
    with pytest.raises(RegionError, match=r"\[x/1\].*no features"):
        mean_features(["x/1"], lambda image: Regions(image, 1, 1, np.zeros((1, 4), dtype=np.float32)))


def test_decoding() -> None:
    found = ALIGNMENT.decode(torch.tensor([[0.0], [9.0]]), examples(2, 1), [], [])
    assert [f.value for f in found] == ["x/0", "x/1"]
    assert [f.confidence for f in found] == pytest.approx([0.5, 0.9998766])


def test_retrieval_scores_fit_together() -> None:
    scores = np.zeros((2, 3), dtype=np.float32)
    RetrievalScores(scores, ("a", "b"), ("x", "y", "z"), np.array([0, 2]))
    with pytest.raises(ValueError, match="expected scores of shape"):
        RetrievalScores(scores, ("a",), ("x", "y", "z"), np.array([0]))
    with pytest.raises(ValueError, match="not in the gallery"):
        RetrievalScores(scores, ("a", "b"), ("x", "y", "z"), np.array([0, 3]))
