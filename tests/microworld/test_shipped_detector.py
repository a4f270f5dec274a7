"""The detector that comes with the package knows the microworld: what is there, where, and what it looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from twelve.microworld import train_detector as module
from twelve.microworld.draw import write_images
from twelve.microworld.scene import KINDS, MOST, sample_scene
from twelve.microworld.train_detector import Quality, batch, measure, scenes, train_detector
from twelve.microworld.world import WorldSizes, make_world
from twelve.regions.detectors.build import build
from twelve.regions.detectors.shipped_detector import THRESHOLD, ShippedDetector, load, shipped
from twelve.regions.extraction.extract import extract_root
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.store.region_store import RegionStore


@pytest.fixture(scope="module")
def quality() -> Quality:
    return measure(load(shipped()["microworld"])[0], seed=99, count=60)


def test_it_finds_the_things(quality: Quality) -> None:
    assert quality.recall > 0.97 and quality.named > 0.93
    assert 3 < quality.detections < 1.5 * MOST


def test_its_features_hold_every_attribute(quality: Quality) -> None:
    """Linear probes, fitted on the things of thirty images only."""
    assert quality.probes["kind"] > 0.9 and quality.probes["colour"] > 0.9
    assert quality.probes["size"] > 0.95 and quality.probes["pattern"] > 0.75


def test_the_file_says_how_it_was_made_and_is_small() -> None:
    path = shipped()["microworld"]
    assert path.stat().st_size < 3_000_000
    recorded = load(path)[1]
    with safe_open(path, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    assert recorded["command"].startswith("twelve data train-detector --seed 0")
    assert recorded["classes"].split(",") == list(KINDS) and "recall" in recorded["quality"]


def test_regions_of_a_microworld(tmp_path: Path) -> None:
    world = make_world(5, WorldSizes(**{name: (1, 1) for name in WorldSizes.__dataclass_fields__}))
    write_images(world, tmp_path)
    extract_root(tmp_path, tmp_path / "regions", progress=False)
    store, found, right, things = RegionStore(tmp_path / "regions"), 0, 0, 0
    for image in world.images():
        seen = store.get(f"{image.file.split('/')[0]}/{image.key}")
        assert seen.scores is not None and seen.class_ids is not None and (seen.scores >= THRESHOLD).all()
        for thing in image.scene.things:
            corners = np.abs(seen.boxes - np.array(thing.box)).max(1)
            best = int(corners.argmin())
            things, found = things + 1, found + (corners[best] < 8)
            right += corners[best] < 8 and list(KINDS)[seen.class_ids[best]] == thing.kind
    assert found > 0.9 * things and right > 0.85 * things


def test_a_short_training_is_repeatable_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "PROBE_SCENES", 4)
    monkeypatch.setattr(module, "STEPS_A_MINUTE", 3)
    for name in ("one", "two"):
        train_detector(tmp_path / f"{name}.safetensors", seed=1, minutes=1)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    detector, recorded = load(tmp_path / "one.safetensors")
    assert recorded["steps"] == "3" and detector.classes == tuple(KINDS)
    untrained = build(ExtractorConfig("microworld", "random"))
    assert isinstance(untrained, ShippedDetector) and untrained.classes == ("thing",)


def test_targets_are_the_things() -> None:
    images = [next(scenes(0, "train"))]
    (scene, shown), (pixels, (target,)) = images[0], batch(images)
    assert pixels.shape == (1, scene.height, scene.width, 3) and (pixels[0].numpy() == shown).all()
    assert target["boxes"].tolist() == [list(thing.box) for thing in scene.things]
    assert [list(KINDS)[label - 1] for label in target["labels"].tolist()] == [thing.kind for thing in scene.things]
    for name, values in module.ATTRIBUTES.items():
        assert [values[value] for value in target[name].tolist()] == [getattr(thing, name) for thing in scene.things]


def test_training_images_are_of_no_world() -> None:
    first = next(scenes(0, "train"))[0]
    assert first != next(scenes(0, "test"))[0] and first == next(scenes(0, "train"))[0]
    assert all(first != sample_scene(np.random.default_rng([seed, 0])) for seed in range(3))
