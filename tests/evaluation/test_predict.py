"""Tiles score what single pairs score, and shuffling exchanges what it says it exchanges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from twelve import config as configuration
from twelve.data.batch import Collator
from twelve.data.prepare import prepare
from twelve.evaluation.evaluate import replace_images
from twelve.evaluation.galleries import shuffle_gallery
from twelve.evaluation.predict import ShuffledStore, retrieve
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs import OUTPUTS
from twelve.regions.store.region_store import RegionStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("predict"), train=20, val=6)


def collator(root: Path, kind: str) -> Collator:
    processor = TwelveProcessor.from_tokenizer(root / "tokenizer")
    processor.add_task("t", output=kind, max_text=12, row=1)
    return Collator("t", OUTPUTS[kind], kind, processor, RegionStore(root / "regions"))


def test_tiles_equal_pairs_one_by_one(root: Path, tmp_path: Path) -> None:
    parsed = configuration.parse(tiny.tree(root, tmp_path / "run"))
    examples = prepare(parsed).tasks["flickr30k"].train
    config = TwelveConfig(
        **parsed.model.architecture,
        v_feature_size=tiny.FEATURES,
        task_specific_tokens=True,
        heads={"alignment": {"kind": "alignment", "size": 1}},
    )
    torch.manual_seed(0)
    model = Twelve(config).eval()
    ours = collator(root, "alignment")
    captions, found = retrieve(model, ours, examples, gallery=5, batch_size=48, label="t")
    assert found.scores.shape == (25, 5) and len(captions) == 25
    for row in (0, 7, 24):
        for column, image in enumerate(found.image_ids):
            text, mask = ours.texts([captions[row].text])
            regions = ours.store.gather([image])
            with torch.inference_mode():
                out = model(text, regions.features, regions.boxes, text_mask=mask, task_rows=ours.rows(1))
            assert found.scores[row, column] == pytest.approx(float(out.logits["alignment"]), abs=1e-5)
        assert found.image_ids[found.target[row]] == captions[row].images[0]


@pytest.mark.parametrize("kind", ["answer", "region"])
def test_shuffling_exchanges_images(root: Path, kind: str) -> None:
    ours = collator(root, kind)
    store = ShuffledStore(ours.store, {"coco/0": "coco/1"}, keep_boxes=kind == "region")  # type: ignore[arg-type]
    own, other = ours.store.gather(["coco/0"]), ours.store.gather(["coco/1"])
    found = store.gather(["coco/0"])
    assert torch.equal(found.features, other.features) and not torch.equal(found.features, own.features)
    assert torch.equal(found.boxes, own.boxes)  # here all images have the same boxes
    assert store.get("coco/0").image_id == ("coco/0" if kind == "region" else "coco/1")


def test_every_image_is_replaced(root: Path, tmp_path: Path) -> None:
    examples = prepare(configuration.parse(tiny.tree(root, tmp_path / "run"))).tasks["nlvr2"].train
    shuffled = replace_images(collator(root, "pair"), examples, seed=0)
    assert isinstance(shuffled.store, ShuffledStore)
    replacement = shuffled.store.replacement
    for example in examples:
        stand_ins = [replacement[image] for image in example.images]
        assert set(stand_ins).isdisjoint(example.images)
        assert len({image.rsplit("-", 1)[0] for image in stand_ins}) == 1  # a pair is replaced by a pair
        assert [image[-1] for image in stand_ins] == ["0", "1"]


def test_shuffled_gallery_moves_every_column(root: Path) -> None:
    scores = np.arange(12, dtype=np.float32).reshape(3, 4)
    from twelve.outputs.alignment import RetrievalScores

    found = shuffle_gallery(RetrievalScores(scores, ("a", "b", "c"), ("w", "x", "y", "z"), np.array([0, 1, 3])), seed=1)
    assert all((found.scores[:, column] != scores[:, column]).all() for column in range(4))
    assert np.array_equal(np.sort(found.scores, axis=1), scores)
