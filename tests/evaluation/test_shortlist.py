"""A shortlist that holds everything ranks as the whole model does; a shorter one ranks exactly what it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from test_predict import collator

from twelve import config as configuration
from twelve.data.batch import Collator
from twelve.data.prepare import prepare
from twelve.errors import ConfigError
from twelve.evaluation import shortlist
from twelve.evaluation.predict import finished, pair_tiles, retrieve
from twelve.evaluation.shortlist import Shortlists, places, recall_of_best, scored_pairs, shortlists
from twelve.metrics.retrieval import image_to_text_ranks, text_to_image_ranks
from twelve.model import vectors
from twelve.model.config import TwelveConfig
from twelve.model.vectors import VectorSets, closest, image_vectors, similarities, text_vectors
from twelve.model.vilbert import Twelve
from twelve.regions.store.in_memory import MemoryStore
from twelve.types.examples import Example
from twelve.types.regions import first_regions


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("shortlist"), train=20, val=6)


@pytest.fixture(scope="module", params=["two_stream", "single_stream"])
def model(request: pytest.FixtureRequest, root: Path) -> Twelve:
    parsed = configuration.parse(tiny.tree(root, root / "run"))
    config = TwelveConfig(
        **parsed.model.architecture,
        v_feature_size=tiny.FEATURES,
        task_specific_tokens=True,
        heads={"alignment": {"kind": "alignment", "size": 1}},
        contrast=16,
        trunk=request.param,
    )
    torch.manual_seed(0)
    return Twelve(config).eval()


@pytest.fixture(scope="module")
def ours(root: Path) -> Collator:
    return collator(root, "alignment")


@pytest.fixture(scope="module")
def captions(root: Path) -> list[Example]:
    return list(prepare(configuration.parse(tiny.tree(root, root / "run"))).tasks["flickr30k"].train)


def test_vectors_depend_on_one_side_alone_and_not_on_the_batch(
    model: Twelve, ours: Collator, captions: list[Example]
) -> None:
    texts = [caption.text for caption in captions]
    images = list(dict.fromkeys(caption.images[0] for caption in captions))
    of_texts, of_images = text_vectors(model, ours, texts), image_vectors(model, ours, images)
    assert [len(row) for row in of_images.rows()] == [
        1 + len(ours.store.get(image).boxes)  # and the whole image
        for image in images
    ]
    assert of_texts.vectors.shape == (int(of_texts.lengths.sum()), 16) and of_images.vectors.shape[1] == 16
    assert torch.allclose(of_texts.vectors.norm(dim=1), torch.ones(len(of_texts.vectors)), atol=1e-5)
    assert torch.allclose(text_vectors(model, ours, texts[3:4]).vectors, of_texts.rows()[3], atol=1e-5)
    assert torch.allclose(image_vectors(model, ours, images[2:3]).vectors, of_images.rows()[2], atol=1e-5)
    with torch.inference_mode():
        regions = ours.store.gather(images[:4])
        ids, mask = ours.texts(texts[:4])
        given = {"text_mask": mask, "task_rows": ours.rows(4)}
        out = model(ids, regions.features, regions.boxes, **given, outputs=("contrast", "alignment"))
    found = out.logits["contrast"]
    of_words = found.text.flatten(0, 1) if found.text_mask is None else found.text[found.text_mask]
    assert torch.allclose(of_words, torch.cat(of_texts.rows()[:4]), atol=1e-5) and "alignment" in out.logits
    similar = similarities(of_texts, of_images)[:4, :4]
    assert torch.allclose(found.similarities() / found.scale, similar, atol=1e-5)


def test_a_shortlist_of_the_whole_gallery_ranks_like_the_model(
    model: Twelve, ours: Collator, captions: list[Example]
) -> None:
    texts = [caption.text for caption in captions]
    images = list(dict.fromkeys(caption.images[0] for caption in captions))
    exact = finished(pair_tiles(model, ours, texts, images, batch_size=32))
    found = shortlists(model, ours, texts, images, len(images))
    assert found.chosen.all()
    rows, columns = np.nonzero(found.chosen)
    scores = found.merged(finished(scored_pairs(model, ours, texts, images, rows, columns, batch_size=7)))
    assert np.allclose(scores, exact, atol=1e-5)
    assert np.array_equal(np.argsort(-scores, 1, kind="stable")[:, 0], np.argsort(-exact, 1, kind="stable")[:, 0])
    whole = retrieve(model, ours, captions, gallery=None, batch_size=32, label="t")[1]
    same = retrieve(model, ours, captions, gallery=None, batch_size=32, label="t", shortlist=len(images))[1]
    assert np.array_equal(whole.scores, same.scores) and same.shortlist is None  # bit by bit


def test_a_shortlist_ranks_exactly_what_it_holds(model: Twelve, ours: Collator, captions: list[Example]) -> None:
    whole = retrieve(model, ours, captions, gallery=None, batch_size=32, label="t")[1]
    short = retrieve(model, ours, captions, gallery=None, batch_size=32, label="t", shortlist=3)[1]
    texts = [caption.text for caption in captions]
    found = shortlists(model, ours, texts, whole.image_ids, 3)
    assert short.shortlist == 3 and 3 * len(texts) <= found.chosen.sum() < found.chosen.size
    assert np.allclose(short.scores[found.chosen], whole.scores[found.chosen], atol=1e-5)
    lowest, rest = short.scores[found.chosen].min(), np.where(found.chosen, -np.inf, short.scores)
    assert rest.max() < lowest
    alone = shortlists(model, ours, texts, whole.image_ids, 3, both=False).chosen
    assert (alone.sum(1) == 3).all() and (found.chosen >= alone).all()
    for line, held in zip(found.similarities, alone, strict=True):
        assert line[held].min() >= line[~held].max()
    assert (found.chosen.sum(0) >= 3).all()
    row = 5  # those that are left out follow in the order of the contrast head
    out = ~found.chosen[row]
    assert np.array_equal(np.argsort(short.scores[row][out]), np.argsort(found.similarities[row][out]))


def test_the_head_and_the_model_rank_together(model: Twelve, ours: Collator, captions: list[Example]) -> None:
    options = {"gallery": None, "batch_size": 32, "label": "t"}
    whole = retrieve(model, ours, captions, **options)[1]
    head = shortlists(model, ours, [caption.text for caption in captions], whole.image_ids, 3)
    assert model.similarity_scale == pytest.approx(1 / 0.07, rel=1e-4)
    wanted = whole.scores + 0.5 * model.similarity_scale * head.similarities
    both = retrieve(model, ours, captions, **options, contrast_weight=0.5)[1]
    assert np.allclose(both.scores, wanted, atol=1e-4) and not np.allclose(both.scores, whole.scores, atol=0.1)
    short = retrieve(model, ours, captions, **options, contrast_weight=0.5, shortlist=3)[1]
    assert np.allclose(short.scores[head.chosen], wanted[head.chosen], atol=1e-4)
    assert short.scores[~head.chosen].max() < short.scores[head.chosen].min()


def test_pairs_get_the_same_scores_in_tiles_and_sets_of_any_size(
    model: Twelve, ours: Collator, captions: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [caption.text for caption in captions]
    images = list(dict.fromkeys(caption.images[0] for caption in captions))
    # Of a tile, images with fewer regions come first.
    ragged = {image: first_regions(ours.store.get(image), 4 - row % 3) for row, image in enumerate(images)}
    ours = replace(ours, store=MemoryStore(ragged))
    exact = finished(pair_tiles(model, ours, texts, images, batch_size=32))
    rows, columns = np.nonzero(np.random.default_rng(0).random(exact.shape) < 0.4)
    for tile, texts_set in ((3, 2), (256, 512)):
        monkeypatch.setattr(shortlist, "TILE", tile)
        monkeypatch.setattr(shortlist, "SET", texts_set)
        scores = finished(scored_pairs(model, ours, texts, images, rows, columns, batch_size=5))
        assert np.allclose(scores, exact[rows, columns], atol=1e-5)


def test_ranks_of_what_is_left_out_count_against_the_model() -> None:
    similar = np.array([[0.9, 0.1, -0.5], [0.2, 0.8, 0.7]], np.float32)
    chosen = np.array([[True, False, False], [False, True, True]])
    scores = Shortlists(similar, 1.0, chosen).merged(np.array([-4.0, 1.0, 3.0], np.float32))
    assert scores[chosen].tolist() == [-4.0, 1.0, 3.0] and scores[~chosen].max() < -4
    assert text_to_image_ranks(scores, np.array([1, 2])).tolist() == [1, 0]
    assert image_to_text_ranks(scores, np.array([1, 2])).tolist() == [1, 0]
    exact = np.array([[1.0, 5.0, 2.0], [3.0, 1.0, 2.0]], np.float32)
    assert recall_of_best(exact, chosen, best=1) == 0 and recall_of_best(exact, chosen, best=2) == 25
    assert recall_of_best(exact, np.ones((2, 3), np.bool_)) == 100


def test_when_a_shortlist_is_made() -> None:
    large = {"captions": 1000, "images": 200}
    assert places(None, able=True, **large) == 128 and places(None, able=False, **large) is None
    assert places(None, able=True, captions=10, images=200) is None  # 2,000 pairs
    assert places(20, able=True, **large) == 20 and places(0, able=True, **large) is None
    assert places(200, able=True, **large) is None


def test_closest_columns() -> None:
    found = closest(torch.tensor([[0.1, 0.3, 0.2], [0.5, 0.4, 0.6]]), 2)
    assert found.tolist() == [[1, 2], [2, 0]]
    assert closest(torch.randn(7, 9), 20).shape == (7, 9)


def test_sets_of_any_length_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = VectorSets.joined([torch.randn(words, 4) for words in (3, 1, 3, 5, 1, 3, 3)])
    images = VectorSets.joined([torch.randn(regions, 4) for regions in (2, 7, 2, 1, 2, 7)])
    wanted = torch.stack(
        [torch.stack([(words @ regions.T).amax(1).mean() for regions in images.rows()]) for words in texts.rows()]
    )
    for regions, products in ((1 << 12, 1 << 20), (4, 24), (1, 1)):
        monkeypatch.setattr(vectors, "REGIONS", regions)
        monkeypatch.setattr(vectors, "PRODUCTS", products)
        assert torch.allclose(similarities(texts, images), wanted, atol=1e-6)
    half = VectorSets(images.vectors.half(), images.lengths)
    assert torch.allclose(similarities(texts, half), wanted, atol=1e-2)


def test_without_the_head_a_shortlist_is_refused(root: Path, ours: Collator, captions: list[Example]) -> None:
    architecture = configuration.parse(tiny.tree(root, root / "run")).model.architecture
    plain = Twelve(
        TwelveConfig(
            **architecture, v_feature_size=tiny.FEATURES, heads={"alignment": {"kind": "alignment", "size": 1}}
        )
    ).eval()
    with pytest.raises(ConfigError, match=r"no contrast head -> add one: twelve train configs/contrast.yaml"):
        retrieve(plain, ours, captions, gallery=None, batch_size=32, label="t", shortlist=3)
