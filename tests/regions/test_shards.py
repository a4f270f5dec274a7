"""Extractions divided among processes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from making import draw_image, extract
from small_networks import CASES

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors.feature_extractor import FeatureExtractor
from twelve.regions.extraction.jobs import ExtractReport
from twelve.regions.extraction.shards import Shard, local_device, shard_of
from twelve.regions.store.region_store import RegionStore


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    return CASES["microworld"].make(tmp_path_factory.mktemp("none"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(20):
        draw_image(tmp_path / "images" / "s" / f"{k}.png", seed=k)
    return tmp_path / "images" / "s"


def run(
    folder: Path, network: FeatureExtractor, out: Path, shard: str | None = None, **options: object
) -> ExtractReport:
    options = {"progress": False, "batch_size": 1, "threshold": 0.0, "max_boxes": 4} | options
    return extract(folder, "detect", network, out, shard=shard, **options)  # type: ignore[arg-type]


def test_every_image_is_of_one_part() -> None:
    ids = [f"s/{k}" for k in range(3000)]
    for count in (1, 2, 3, 7):
        parts = [{key for key in ids if key in Shard(index, count)} for index in range(count)]
        assert sum(map(len, parts)) == 3000 and set().union(*parts) == set(ids)
        assert all(abs(len(part) - 3000 / count) < 150 for part in parts)
    # Machines of today and of next year must agree.
    assert [key for key in ids[:12] if key in Shard(0, 3)] == ["s/4", "s/5", "s/8"]


def test_parts_of_a_store(folder: Path, network: FeatureExtractor, tmp_path: Path) -> None:
    whole = run(folder, network, tmp_path / "whole")
    reports = [run(folder, network, tmp_path / "out", f"{index}/3") for index in range(3)]
    assert [report.file.name for report in reports if report.file] == [f"s-shard-{k}-of-3.arrow" for k in range(3)]
    assert sum(report.written for report in reports) == whole.written == 20
    assert all(1 < report.written < 15 and not report.present for report in reports)
    store, one = RegionStore(tmp_path / "out"), RegionStore(tmp_path / "whole")
    assert sorted(store.ids("s")) == sorted(one.ids("s"))
    for key in one.ids("s"):
        np.testing.assert_array_equal(store.get(key).features, one.get(key).features)  # type: ignore[arg-type]
    # Divided otherwise, or not at all, nothing is left to do.
    for shard in ("1/3", "0/2", None):
        again = run(folder, network, tmp_path / "out", shard)
        assert again.file is None and again.present == (20 if shard is None else again.present) > 0


def test_a_part_without_images(folder: Path, network: FeatureExtractor, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    reports = [run(folder, network, tmp_path / "out", f"{index}/4") for index in range(4)]
    assert sorted(report.written for report in reports) == [0, 0, 0, 1]
    next(folder.iterdir()).write_bytes(b"nothing")
    reports = [run(folder, network, tmp_path / "bad", f"{index}/4") for index in range(4)]
    assert sum(len(report.failed) for report in reports) == 1  # reported; the other parts are none the worse
    assert not list((tmp_path / "bad").rglob("*.arrow"))


def test_what_is_named() -> None:
    assert shard_of("0/4", {}) == Shard(0, 4) and shard_of(" 3/4 ", {}) == Shard(3, 4)
    for text in ("4/4", "1", "a/b", "-1/4", "1/0", "", "1/4/5"):
        with pytest.raises(ConfigError, match=re.escape(" ".join(f"--shard {text} does not name a part".split()))):
            shard_of(text, {})


def test_the_part_of_a_launched_process() -> None:
    launched = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert shard_of(None, launched) == Shard(2, 4) and shard_of("0/2", launched) == Shard(0, 2)
    assert shard_of(None, {}) is None and shard_of(None, {"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert local_device("cuda", launched) == "cuda:1" and local_device("cuda:3", launched) == "cuda:3"
    assert local_device("cpu", launched) == "cpu" and local_device("cuda", {}) == "cuda"
    with pytest.raises(ConfigError, match="--shard /4"):
        shard_of(None, {"WORLD_SIZE": "4"})


def test_launched_processes_share_the_work(
    folder: Path, network: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    written = 0
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        written += run(folder, network, tmp_path / "out").written
    assert written == 20 and len(os.listdir(tmp_path / "out" / "s")) == 2


def test_an_unfinished_part_whose_images_others_have_got(
    folder: Path, network: FeatureExtractor, tmp_path: Path
) -> None:
    """Its images would be in the store twice."""
    from twelve.regions.extraction import jobs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.PartWriter, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(folder, network, tmp_path / "out", "0/2")
    run(folder, network, tmp_path / "out", name="all")
    new = next(k for k in range(20, 99) if f"s/{k}" in Shard(0, 2))
    draw_image(folder / f"{new}.png", seed=new)
    with pytest.raises(RegionError, match=r"an unfinished extraction here holds \d+ images that finished files hold"):
        run(folder, network, tmp_path / "out", "0/2")
