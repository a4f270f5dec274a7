"""A world whose tasks share nothing: no image, no word, no answer, no feature of a region belongs to two tasks."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_world import SIZES

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot, drawing_again
from twelve.metrics.vqa import normalise
from twelve.microworld import apart, make
from twelve.microworld.draw import draw
from twelve.microworld.make import WRITERS, make_microworld, oracle_scores
from twelve.microworld.scene import sample_scene
from twelve.microworld.world import WorldSizes, make_world
from twelve.microworld.writers import snli_ve
from twelve.model.wordpieces import tokenizer_from
from twelve.regions.camera_marks import CAMERAS, camera_of, mark
from twelve.regions.detectors.apart_detector import ApartDetector
from twelve.regions.detectors.build import build
from twelve.regions.extraction.extract import extract_root
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.store.region_store import RegionStore
from twelve.tasks.base import get
from twelve.types.examples import Example

SMALL = WorldSizes((8, 8), (2, 4), (0, 2), (4, 4), (0, 4), (0, 6), (10, 12), (8, 0), (0, 4), (0, 4))
DIGEST = "8380d9edb9ef92d6c4e4536df2b390cb9a6803dcce4735ad2026e2dd38f3a4fb"
"""Of the files of the shared world of seed 1 before worlds could be apart."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snli_ve, "PAIRS", {"train": 200, "dev": 20, "test": 40})
        make_microworld(out, 1, SMALL, apart=True)
    return out


@pytest.fixture(scope="module")
def examples(root: Path) -> Mapping[str, list[Example]]:
    """Task -> its examples for training, validation and test."""
    data, found = DataRoot(root), {}
    for name in WRITERS:
        task = get(name)
        splits = {task.train_split, task.test_split, *task.held_out_splits["val"]}
        found[name] = [example for split in sorted(splits) for example in task.read(data, split)]
    return found


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def disjoint(sets: Mapping[str, set[str]]) -> None:
    for (one, its), (other, others) in combinations(sets.items(), 2):
        assert its and others and not its & others, (one, other, its & others)


def test_no_image_belongs_to_two_tasks(root: Path, examples: Mapping[str, list[Example]]) -> None:
    disjoint({name: {image for example in own for image in example.images} for name, own in examples.items()})
    data = DataRoot(root)
    assert all(data.image_file(image) for own in examples.values() for example in own for image in example.images)


def test_no_word_piece_belongs_to_two_tasks(examples: Mapping[str, list[Example]]) -> None:
    """Punctuation apart; every text counts twice, as a word that occurs once would be split into letters."""
    texts = {
        name: [text for example in own for text in (example.text, *example.options)] for name, own in examples.items()
    }
    tokenizer = tokenizer_from(text for own in texts.values() for text in 2 * own)
    pieces = {name: {piece for text in own for piece in tokenizer.encode(text).tokens} for name, own in texts.items()}
    disjoint({name: {piece for piece in own if piece.isalpha()} for name, own in pieces.items()})
    assert {piece for own in pieces.values() for piece in own if not piece.isalpha()} <= {
        "?",
        ".",
        ",",
        "!",
        "/",
        "[CLS]",
        "[SEP]",
    }


def test_answers_are_a_tasks_own_but_for_yes_and_no(examples: Mapping[str, list[Example]]) -> None:
    said = {
        name: {word for e in examples[name] for answer in e.target for word in words(answer)}
        for name in apart.QUESTIONS
    }
    assert {"yes", "no"} <= said["vqa"] & said["gqa"]
    disjoint({name: own - {"yes", "no"} for name, own in said.items()})
    assert not any(re.search(r"\d", answer) for e in examples["vg_qa"] for answer in e.target)
    assert {"0", "1", "2"} <= {answer for e in examples["vqa"] for answer in e.target}


def test_a_word_always_becomes_the_same_word(tmp_path: Path, root: Path) -> None:
    own = apart.own_world(1, SMALL, "visual7w", 8)
    make.write_datasets(own, tmp_path, {"visual7w": WRITERS["visual7w"]})
    before, after = (
        [
            pair["question"]
            for image in json.loads((place / "visual7w" / "dataset_v7w_pointing.json").read_text())["images"]
            for pair in image["qa_pairs"]
        ]
        for place in (tmp_path, root)
    )
    pairs = {
        pair for one, two in zip(before, after, strict=True) for pair in zip(one.split(), two.split(), strict=True)
    }
    assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}) > 20


def test_every_oracle_reaches_the_upper_bound(root: Path) -> None:
    scores = oracle_scores(root)
    assert all(score > 99 for name, score in scores.items() if name not in ("coco", "flickr30k")), scores
    assert min(scores.values()) > 25


def test_no_feature_is_active_in_images_of_two_tasks(
    root: Path, examples: Mapping[str, list[Example]], tmp_path: Path
) -> None:
    extract_root(root, tmp_path, progress=False)
    store = RegionStore(tmp_path)
    active = {}
    for name, own in examples.items():
        images = sorted({image for example in own for image in example.images})[:5]
        features = np.concatenate([store.get(image).features for image in images])
        active[name] = {str(column) for column in np.flatnonzero(np.abs(features).max(0))}
    disjoint(active)
    assert {len(columns) for columns in active.values()} == {store.feature_size // CAMERAS}


def test_features_say_the_same_in_every_block() -> None:
    """The boxes are the shipped detector's, and what it says of them can be read from any camera's features."""
    network, plain = build(ExtractorConfig("microworld-apart")), build(ExtractorConfig("microworld"))
    assert isinstance(network, ApartDetector) and network.settings() != plain.settings()
    image = draw(sample_scene(np.random.default_rng(4)), seed=4)
    for camera in range(CAMERAS):
        marked = Image.fromarray(mark(np.asarray(image), camera))
        encoded, usual = (which.encode([which.prepare(marked)]) for which in (network, plain))
        (found,), (wanted,) = network.detect(encoded, 20, 0.15), plain.detect(usual, 20, 0.15)
        assert torch.equal(found.boxes, wanted.boxes)
        (features,), (simple,) = network.describe(encoded, [found.boxes]), plain.describe(usual, [found.boxes])
        torch.testing.assert_close(network.probabilities(features), plain.probabilities(simple), atol=1e-4, rtol=1e-3)


def test_marks() -> None:
    blank = np.full((128, 160, 3), 90, np.uint8)
    assert [camera_of(mark(blank, camera)) for camera in range(CAMERAS)] == list(range(CAMERAS))
    assert camera_of(blank) == camera_of(np.full_like(blank, 255)) == 0
    assert (mark(blank, 5)[2:] == 90).all() and (blank == 90).all()


def test_words_of_the_tasks() -> None:
    lists = [apart.own_words(number) for number in range(CAMERAS)]
    together = [word for own in lists for word in own]
    assert len({*together}) == len(together) and min(map(len, lists)) > 300
    assert all(normalise(word) == word for word in together)


def test_a_world_is_not_taken_for_one_of_the_other_sort(root: Path, tmp_path: Path) -> None:
    assert "--apart" in drawing_again(root)
    with pytest.raises(DataError, match=r"share nothing.*choose another folder"):
        make_microworld(root, 1, SMALL)
    assert len(make_microworld(root, 1, SMALL, apart=True)) == len(WRITERS)
    index = json.loads((root / "microworld.json").read_text())
    del index["apart"]
    (tmp_path / "microworld.json").write_text(json.dumps(index))
    assert "--apart" not in drawing_again(tmp_path)
    with pytest.raises(DataError, match="share images and words"):
        make_microworld(tmp_path, 1, SMALL, apart=True)


def test_the_shared_world_is_what_it_was(tmp_path: Path) -> None:
    make.write_datasets(make_world(1, SIZES), tmp_path)
    digest = hashlib.sha256()
    # The published studies are of worlds without kinds.json, which changes nothing else.
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != "kinds.json"):
        content = path.read_bytes()
        digest.update(path.relative_to(tmp_path).as_posix().encode())
        digest.update(gzip.decompress(content) if path.suffix == ".gz" else content)
    assert digest.hexdigest() == DIGEST
