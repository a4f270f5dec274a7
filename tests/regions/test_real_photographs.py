"""Real photographs through a detection model of torchvision, from the folder to the store and back, untrained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from making import extract

from twelve.regions.extraction.extractor import Extractor
from twelve.regions.recipe import Recipe
from twelve.regions.store.region_store import RegionStore

PHOTOGRAPHS = 5


@pytest.mark.realdata
def test_photographs_end_to_end(realdata: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "flickr30k"
    folder.mkdir(parents=True)
    for path in sorted((realdata / "images" / "flickr30k").iterdir())[:PHOTOGRAPHS]:
        shutil.copy(path, folder)
    options = {"weights": "random", "threshold": 0.0, "max_boxes": 36, "class_probabilities": True, "progress": False}
    report = extract(folder, "detect", "fasterrcnn_mobilenet_v3_large_320_fpn", tmp_path / "out", **options)
    assert (report.written, report.source, report.feature_size) == (
        PHOTOGRAPHS,
        "flickr30k",
        1024,
    ) and not report.failed
    store = RegionStore(tmp_path / "out")
    extractor = Extractor.from_recipe(Recipe.of(store.metadata("flickr30k")), weights="random")
    for path in sorted(folder.iterdir()):
        stored = store.get(f"flickr30k/{path.stem}")
        assert stored.features is not None and stored.features.shape == (36, 1024) and stored.features.any()
        assert (stored.boxes >= 0).all() and (stored.boxes <= [stored.width, stored.height] * 2).all()
        assert stored.class_probabilities is not None and stored.class_probabilities.shape == (36, 91)
        again = extractor.extract(path, stored.boxes)
        np.testing.assert_allclose(again.features, stored.features, atol=5e-3)  # type: ignore[arg-type]
    batch = store.gather(store.ids("flickr30k"))
    assert batch.features.shape == (PHOTOGRAPHS, 37, 1024) and bool(batch.features.isfinite().all())
