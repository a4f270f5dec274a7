"""Region files open as they stand in other programs that read Arrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from making import regions, write

from twelve.types.regions import Regions


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, list[Regions]]:
    images = [regions(f"a/{k}", k % 4, classes=7) for k in range(10)]
    return write(tmp_path / "a" / "x.arrow", images), images


def test_polars(made: tuple[Path, list[Regions]]) -> None:
    polars = pytest.importorskip("polars")
    path, images = made
    table = polars.read_ipc(path)
    assert table["image_id"].to_list() == [image.image_id for image in images]
    for name in ("boxes", "features", "scores", "class_ids", "class_probabilities"):
        for found, image in zip(table[name].to_list(), images, strict=True):
            np.testing.assert_array_equal(np.array(found), getattr(image, name).tolist())
    wide = polars.scan_ipc(path).filter(polars.col("width") > 150).select("image_id").collect()
    assert wide["image_id"].to_list() == [image.image_id for image in images if image.width > 150]


def test_datasets(made: tuple[Path, list[Regions]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is no dependency, not even of the tests")
    path, images = made
    table = datasets.load_dataset("arrow", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(table) == len(images)
    for row, image in zip(table, images, strict=True):
        assert (row["image_id"], row["width"], row["height"]) == (image.image_id, image.width, image.height)
        for name in ("boxes", "features", "scores", "class_ids", "class_probabilities"):
            np.testing.assert_array_equal(np.array(row[name]), getattr(image, name).tolist())
