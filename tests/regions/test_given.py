"""Boxes that datasets give: extracted beside the detected ones, each once, alike; read back behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from making import draw_image, extract, pooled, regions, same, write

from twelve.data.opening import check_regions
from twelve.errors import ConfigError, MissingData, RegionError
from twelve.formats.data_root import DataRoot
from twelve.regions.detectors import shipped_detector as detector
from twelve.regions.extraction import jobs
from twelve.regions.extraction.extract import extract_root
from twelve.regions.extraction.jobs import ExtractReport
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize
from twelve.regions.store.inspect import inspect
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.tasks import base
from twelve.tasks.base import Task, get
from twelve.tasks.custom import CandidatesFile
from twelve.types.examples import Box, Example
from twelve.types.measurement import Measurement, Protocol

ALL: Box = (0.0, 0.0, 64.0, 48.0)
HALF: Box = (0.0, 0.0, 32.0, 48.0)
WIDE: Box = (-3.0, 10.0, 70.0, 30.0)
GIVEN = {
    "one": {"train": {"s/0": [ALL, HALF], "s/1": [HALF]}, "val": {"s/0": [HALF, WIDE]}},
    "two": {"train": {"s/0": [HALF, (1.0, 2.0, 30.0, 40.0)], "s/2": [ALL]}},
}


class Giver(Task):
    """A dataset whose examples have candidates; a split that its table lacks is a missing file."""

    title, output, kind, token, source = "Giver", "region", "region", 0, "s"
    has_candidates = True
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def files(self, split: str) -> tuple[str, ...]:
        return (f"{split}.json",)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        splits = GIVEN[self.name]
        if split not in splits:
            raise MissingData("no such file", file=f"{split}.json")
        return [Example(key, "which?", (key,), 0, key, tuple(boxes)) for key, boxes in splits[split].items()]

    def protocol(self, split: str, name: str | None = None, *, gallery: int | None = None) -> Protocol:
        return Protocol(split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        raise NotImplementedError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    base.all_tasks()
    for name in GIVEN:
        monkeypatch.setitem(base._REGISTRY, name, Giver(name))
        (tmp_path / name).mkdir()
    for k in range(4):
        draw_image(tmp_path / "images" / "s" / f"{k}.png", seed=k)
    draw_image(tmp_path / "images" / "t" / "deep" / "9.png", (80, 48), seed=9)
    yield tmp_path


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A detector with random weights comes with the package."""
    folder = tmp_path_factory.mktemp("detectors")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        detector.save(detector.Detector(("a", "b"), {}, feature_size=12), folder / "tiny.safetensors", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "SHIPPED", folder)
        yield


def run(root: Path, boxes: object, out: str = "regions", **options: object) -> ExtractReport:
    options = {"data": root, "workers": 2, "progress": False} | options
    return extract(root / "images" / "s", boxes, "tiny", root / out, **options)  # type: ignore[arg-type]


def boxes_of(found: Any) -> list[Box]:
    return [tuple(box) for box in found.boxes.tolist()]  # type: ignore[misc]


def test_detected_and_given_in_one_pass(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    original = jobs.Pipeline._run
    monkeypatch.setattr(jobs.Pipeline, "_run", lambda self, all: (ran.extend(all), original(self, all))[1])
    report = run(root, ["detect", "given:one", "given:two"])
    assert len(ran) == 4
    assert (report.source, report.written) == ("s", 4)
    assert report.given is not None and (report.given.source, report.given.written) == ("s/given", 3)
    assert report.given.file == root / "regions" / "s" / "given" / "one+two.arrow"
    assert report.fingerprint == report.given.fingerprint == RegionFile(report.given.file).fingerprint
    stored = {found.image_id: found for found in RegionFile(report.given.file)}
    assert boxes_of(stored["s/0"]) == [ALL, HALF, (0.0, 10.0, 64.0, 30.0), (1.0, 2.0, 30.0, 40.0)]
    assert boxes_of(stored["s/1"]) == [HALF] and boxes_of(stored["s/2"]) == [ALL] and "s/3" not in stored
    network = detector.build(ExtractorConfig("tiny"))
    for key in stored:
        from twelve.regions.images import decode, resized

        shown = decode(root / "images" / f"{key}.png")
        fractions = torch.from_numpy(stored[key].boxes / np.array([64, 48, 64, 48], np.float32))[None]
        alone = pooled(network, torch.from_numpy(resized(shown, (64, 48)))[None], fractions)
        np.testing.assert_allclose(stored[key].features, alone[0].numpy(), atol=2e-3, rtol=2e-3)  # type: ignore[arg-type]


def test_detected_boxes_have_scores_and_classes(root: Path) -> None:
    report = run(root, "detect", max_boxes=3)
    assert report.file is not None and report.given is None
    file = RegionFile(report.file)
    assert json.loads(file.metadata["classes"]) == ["a", "b"] and file.metadata["boxes_origin"].startswith("detect")
    for found in file:
        assert found.scores is not None and found.class_ids is not None and found.features is not None
        assert 1 <= len(found.boxes) == len(found.scores) == len(found.class_ids) == len(found.features) <= 3
        assert (np.diff(found.scores) <= 0).all() and (found.boxes[:, 2:] <= (64, 48)).all()
    assert run(root, "detect", max_boxes=3).file is None
    with pytest.raises(RegionError, match=r"contains other regions \(detect, best 3 of .*, now detect, best 2 of"):
        run(root, "detect", max_boxes=2)


def test_given_boxes_of_a_later_dataset_go_beside(root: Path) -> None:
    run(root, ["detect", "given:one"])
    later = run(root, ["given:one", "given:two"])
    assert later.source == "s/given" and later.file == root / "regions/s/given/one+two.arrow"
    assert {found.image_id: boxes_of(found) for found in RegionFile(later.file)} == {
        "s/0": [(1.0, 2.0, 30.0, 40.0)],
        "s/2": [ALL],
    }
    again = run(root, ["detect", "given:two"])
    assert again.file is None and again.given is not None and again.given.file is None and again.given.present == 2
    together = RegionStore(root / "regions").get("s/0", 0, given=True)
    assert sorted(boxes_of(together)) == sorted([ALL, HALF, (0.0, 10.0, 64.0, 30.0), (1.0, 2.0, 30.0, 40.0)])
    assert len(list(inspect(root / "regions"))) == 3 and len(list(inspect(root / "regions" / "s"))) == 3


def test_given_boxes_with_another_kind_of_network(root: Path) -> None:
    pytest.importorskip("timm")
    options: dict[str, Any] = {"weights": "random", "levels": ("8", "head"), "workers": 2, "progress": False}
    options |= {"input_size": InputSize(short_side=48), "data": root}
    network, images = "timm/test_efficientnet", root / "images" / "s"
    report = extract(images, ["grid:1x2", "given:one"], network, root / "regions", **options)
    assert report.given is not None and report.given.fingerprint == report.fingerprint
    found = RegionStore(root / "regions").get("s/0", given=True)
    assert boxes_of(found)[3] == boxes_of(found)[0] == HALF and found.features is not None
    np.testing.assert_allclose(found.features[3], found.features[0], atol=2e-3, rtol=2e-3)
    assert not np.allclose(found.features[2], found.features[0], atol=2e-3)
    with pytest.raises(ConfigError, match="detects no boxes"):
        extract(images, "detect", network, root / "other", **options)


def test_a_whole_data_root(root: Path) -> None:
    one, other = extract_root(root, root / "regions", ExtractorConfig("tiny"), progress=False)
    assert (one.source, one.written, other.source, other.written, other.given) == ("s", 4, "t", 1, None)
    assert one.given is not None and one.given.written == 3
    store = RegionStore(root / "regions")
    assert store.sources() == ["s", "t"] and "t/9" in store and store.has_given("s/2") and not store.has_given("t/9")
    complete = json.loads((root / "regions" / "complete.json").read_text())
    assert complete == {"fingerprint": one.fingerprint, "sources": ["s", "t"], "given": ["one", "two"]}
    again = extract_root(root, root / "regions", ExtractorConfig("tiny"), progress=False)
    assert [report.file for report in again] == [None, None]


def test_mistakes(root: Path) -> None:
    with pytest.raises(ConfigError, match="name their data root"):
        run(root, "given:one", data=None)
    with pytest.raises(ConfigError, match="unknown task 'on'"):
        run(root, "given:on")
    with pytest.raises(ConfigError, match="different features"):
        run(root, ["patches", "given:one"])
    with pytest.raises(ConfigError, match="gives no boxes for these images"):
        extract(root / "images/t/deep", "given:one", "tiny", root / "o", data=root, source="t")
    with pytest.raises(ConfigError, match="no boxes given"):
        run(root, [])
    GIVEN["none"] = {}
    base._REGISTRY["none"] = Giver("none")
    try:
        with pytest.raises(MissingData, match="no such file"):
            run(root, "given:none")
    finally:
        del GIVEN["none"], base._REGISTRY["none"]


def test_given_regions_follow_the_detected_ones(tmp_path: Path) -> None:
    detected = [regions(f"s/{k}", 4, seed=1) for k in range(3)]
    extent = {image.image_id: (image.width, image.height) for image in detected}
    given = [
        replace(regions(key, count, seed=2), width=extent[key][0], height=extent[key][1], scores=None, class_ids=None)
        for key, count in (("s/0", 2), ("s/2", 5))
    ]
    write(tmp_path / "s" / "a.arrow", detected)
    plain = RegionStore(tmp_path)
    before = plain.gather(["s/0", "s/1"], 2)
    write(tmp_path / "s" / "given" / "a.arrow", given)
    store = RegionStore(tmp_path)
    assert store.sources() == ["s"] and store.ids("s") == ["s/0", "s/1", "s/2"]
    assert same(store.get("s/0"), detected[0]) and len(store.get("s/0", 3).boxes) == 3
    found = store.get("s/0", 3, given=True)
    np.testing.assert_array_equal(found.boxes, np.concatenate([detected[0].boxes[:3], given[0].boxes]))
    np.testing.assert_array_equal(found.features, np.concatenate([detected[0].features[:3], given[0].features]))  # type: ignore
    assert same(store.get("s/1", given=True), detected[1])
    for a, b in zip(
        (before.features, before.boxes, before.counts), _parts(store.gather(["s/0", "s/1"], 2)), strict=True
    ):
        assert torch.equal(a, b)
    batch = store.gather(["s/0", "s/1", "s/2"], 2, given=True)
    assert batch.counts.tolist() == [5, 3, 8] and batch.features.shape[1] == 8
    assert torch.equal(batch.features[:2, :3], before.features) and torch.equal(batch.boxes[:2, :3], before.boxes)
    assert torch.equal(batch.features[2, 3:], torch.from_numpy(given[1].features.copy()))  # type: ignore[union-attr]
    assert not batch.features[0, 5:].any() and not batch.features[1, 3:].any() and not batch.boxes[1, 3:].any()
    x1 = given[0].boxes[:, 0] / extent["s/0"][0]
    np.testing.assert_allclose(batch.boxes[0, 3:5, 0].numpy(), x1, rtol=1e-6)


def _parts(batch: Any) -> tuple[torch.Tensor, ...]:
    return batch.features, batch.boxes, batch.counts


def test_given_regions_of_another_extractor(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.arrow", [regions("s/0")])
    write(tmp_path / "s" / "given" / "a.arrow", [regions("s/0")], fingerprint="g")
    store = RegionStore(tmp_path)
    assert len(store.get("s/0").boxes) == 3
    with pytest.raises(RegionError, match=r"given/a\.arrow: made by another extractor \(extractor g\)"):
        store.get("s/0", given=True)


def test_missing_given_regions_are_named_before_training(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.arrow", [regions("s/0"), regions("s/1"), regions("s/2")])
    write(tmp_path / "s" / "given" / "a.arrow", [regions("s/0")])
    without = Example("1", "x", ("s/2",))
    check_regions(RegionStore(tmp_path), get("visual7w"), [Example("0", "x", ("s/0",), candidates=(ALL,)), without])
    wanting = [Example("0", "x", ("s/1",), candidates=(ALL,)), without]
    with pytest.raises(
        RegionError, match=r"s/given: 1 of 1 images of visual7w have no regions of the boxes .* is s/1"
    ) as e:
        check_regions(RegionStore(tmp_path), get("visual7w"), wanting)
    assert "--boxes given:visual7w --backbone" in str(e.value)
    own = type("Own", (CandidatesFile,), {"name": "own"})()
    with pytest.raises(RegionError, match="--boxes given:own --backbone BACKBONE --config CONFIG --out"):
        check_regions(RegionStore(tmp_path), own, wanting[:1], wanting[1:])
