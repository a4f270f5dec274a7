"""Regions of another extractor than the checkpoint's: refused, unless somebody insists; the recipe goes along."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from twelve.errors import RegionError
from twelve.model.bert_tokenizer import wordpieces
from twelve.model.processor import TwelveProcessor
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.recipe import Recipe, recipe_of
from twelve.regions.store.region_store import RegionStore


@pytest.fixture
def processor() -> TwelveProcessor:
    made = TwelveProcessor(wordpieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "otter"]))
    made.region_fingerprints["coco"] = "aaa"
    return made


def test_refused_unless_somebody_insists(
    processor: TwelveProcessor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mark in ("aaa", "bbb"):
        tiny.write_regions(tmp_path / mark, {"coco/1": 1}, fingerprint=mark)
    right, wrong = RegionStore(tmp_path / "aaa"), RegionStore(tmp_path / "bbb")
    with pytest.raises(RegionError, match=r"extractor bbb, .* extractor aaa -> .* or override with --allow-other"):
        processor.check_regions(wrong, ["coco"], insist="--allow-other-features")
    processor.allow_other_features = True
    for _ in range(3):
        processor.check_regions(wrong, ["coco"])
        processor.check_regions(right, ["coco"])
    said = capsys.readouterr().err
    assert said.count("warning: the regions of 'coco' are from extractor bbb") == 1


def test_insisting_is_not_saved_and_recipes_are(processor: TwelveProcessor, tmp_path: Path) -> None:
    processor.allow_other_features = True
    extractor = Extractor(ExtractorConfig("microworld", max_boxes=3))
    schema = extractor.schema(extractor.boxes, "coco")
    processor.region_recipes |= recipe_of({k.decode(): v.decode() for k, v in schema.metadata.items()}, "coco")
    processor.region_recipes |= recipe_of({"fingerprint": "aaa"}, "imported")
    processor.region_fingerprints["coco"] = extractor.mark
    processor.save_pretrained(tmp_path)
    read = TwelveProcessor.from_pretrained(tmp_path)
    assert read.region_recipes.keys() == {"coco"} and not read.allow_other_features
    made = Extractor.from_recipe(Recipe.from_json(read.region_recipes["coco"]))
    assert made.mark == extractor.mark and made.boxes == extractor.boxes
