"""A batch repeats nothing, and says so with its pairs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from twelve.data.batch import Collator, SeenRegions, mask_beyond
from twelve.errors import RegionError
from twelve.model.processor import TwelveProcessor
from twelve.outputs import OUTPUTS
from twelve.regions.store.arrow_format import schema
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.examples import Example
from twelve.types.regions import first_regions


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("batch"), train=6, val=2)


def collator(root: Path, kind: str, max_regions: int = 100) -> Collator:
    processor = TwelveProcessor.from_tokenizer(root / "tokenizer")
    processor.add_task("t", output=kind, max_text=6, row=3)
    processor.vocabularies["answer"] = list(tiny.COLOURS)
    processor.max_regions = max_regions
    return Collator("t", OUTPUTS[kind], kind, processor, RegionStore(root / "regions"))


def test_an_image_and_a_text_cross_once(root: Path) -> None:
    examples = [
        Example(str(i), text, (image,), {"red": 1.0})
        for i, (text, image) in enumerate([("a red thing", "coco/0"), ("a red thing", "coco/1"), ("blue", "coco/0")])
    ]
    batch = collator(root, "answer")(examples)
    assert len(batch.input_ids) == 2 and len(batch.features) == 2 and batch.pairs == 3
    assert batch.pair_text is not None and batch.pair_text.tolist() == [0, 0, 1]
    assert batch.pair_image is not None and batch.pair_image.tolist() == [0, 1, 0]
    assert batch.text_mask is not None and batch.text_mask.sum(1).tolist() == [5, 3]
    assert (batch.input_ids[1, 3:] == 0).all() and batch.input_ids.shape[1] == 5
    assert batch.task_rows.tolist() == [3, 3]


def test_distinct_texts_and_images_need_no_pairs(root: Path) -> None:
    examples = [Example("1", "red", ("coco/0",), {}), Example("2", "blue", ("coco/1",), {})]
    batch = collator(root, "answer")(examples)
    assert batch.pair_text is None and batch.pair_image is None and batch.text_mask is None and batch.pairs == 2


def test_two_images_one_statement(root: Path) -> None:
    examples = [
        Example("1", "both are red", ("coco/0", "coco/1"), True),
        Example("2", "red", ("coco/1", "coco/2"), False),
    ]
    batch = collator(root, "pair")(examples)
    assert len(batch.input_ids) == 2 and len(batch.features) == 3
    assert batch.pair_text is not None and batch.pair_text.tolist() == [0, 0, 1, 1]
    assert batch.pair_image is not None and batch.pair_image.tolist() == [0, 1, 1, 2]


def test_long_texts_are_cut_and_regions_limited(root: Path) -> None:
    batch = collator(root, "region", max_regions=2)(
        [Example("1", "a a a a a a a a a", ("flickr30k/9000",), (0.0, 0.0, 60.0, 60.0))]
    )
    assert batch.input_ids.shape == (1, 6) and batch.features.shape == (1, 3, tiny.FEATURES)
    assert len(batch.regions[0].boxes) == 2 and batch.targets["target"].shape == (1, 3)


CANDIDATES = ((10.0, 10.0, 20.0, 30.0), (40.0, 40.0, 90.0, 60.0), (0.0, 0.0, 60.0, 60.0))


@pytest.fixture
def with_given(root: Path, tmp_path: Path) -> Path:
    """The data root with regions of the candidates of one image."""
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    own = replace(
        tiny.regions_of("coco/0", 0),
        boxes=np.array(CANDIDATES, dtype=np.float32),
        features=np.full((3, tiny.FEATURES), 7, dtype=np.float16),
        scores=None,
        class_ids=None,
    )
    table = schema(feature_size=tiny.FEATURES, scores=False, class_ids=False, metadata={"fingerprint": "tiny-1"})
    with PartWriter(copy / "regions" / "coco" / "given" / "x.arrow", table) as writer:
        writer.write([own])
        writer.finish({})
    return copy


def test_candidates_follow_the_detected_regions(with_given: Path) -> None:
    collate = collator(with_given, "region", max_regions=2)
    example = Example("1", "the thing", ("coco/0",), 1, candidates=CANDIDATES)
    batch = collate([example])
    assert batch.features.shape == (1, 6, tiny.FEATURES) and (batch.features[0, 3:] == 7).all()
    assert batch.targets["candidates"].tolist() == [[3, 4, 5]] and len(batch.regions[0].boxes) == 5
    plain = collate([Example("2", "the thing", ("coco/0",), (0.0, 0.0, 60.0, 60.0))])
    assert plain.features.shape == (1, 3, tiny.FEATURES) and torch.equal(plain.features[0, 0], batch.features[0, 0])


def test_given_regions_may_be_asked_for(with_given: Path) -> None:
    """As further regions of phrases that name a box: the box itself is then among the regions."""
    collate = replace(collator(with_given, "region", max_regions=2), given=True)
    example = Example("1", "the thing", ("coco/0",), CANDIDATES[0])
    batch = collate([example, Example("2", "the thing", ("coco/1",), CANDIDATES[0])])
    assert batch.features.shape == (2, 6, tiny.FEATURES) and batch.targets["overlap"][0, 3] == 1
    assert batch.region_mask is not None and batch.region_mask.sum(1).tolist() == [6, 3]
    seen = SeenRegions(collate.store, [example], 2, given=True)
    assert len(seen[0].boxes) == 5 and len(SeenRegions(collate.store, [example], 2)[0].boxes) == 2


def test_candidates_without_regions_are_named(root: Path) -> None:
    with pytest.raises(RegionError, match="coco/0 has no region for candidate 0"):
        collator(root, "region")([Example("1", "the thing", ("coco/0",), 1, candidates=CANDIDATES)])


def test_first_regions_keeps_what_fits() -> None:
    regions = tiny.regions_of("a/1", 1)
    assert first_regions(regions, 3) is regions
    cut = first_regions(regions, 1)
    assert len(cut.boxes) == len(cut.features) == len(cut.scores) == 1  # type: ignore[arg-type]


def test_mask_beyond() -> None:
    assert mask_beyond(torch.tensor([2, 2])) is None
    mask = mask_beyond(torch.tensor([1, 3]))
    assert mask is not None and mask.tolist() == [[True, False, False], [True, True, True]]


def test_batches_are_the_same_for_the_same_seed(root: Path) -> None:
    examples = [Example(str(i), text, (f"flickr30k/{9000 + i}",)) for i, text in enumerate(["red", "blue", "a thing"])]
    one, other = (collator(root, "alignment")(examples, np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(one.input_ids, other.input_ids) and one.pairs == 12
