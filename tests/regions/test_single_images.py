"""An extractor built again from the recipe in a store, and the regions of single images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from making import draw_image, extract, extractor_of, regions, same, write
from small_networks import CASES, save_tower

from twelve.errors import ConfigError, InputError, RegionError
from twelve.regions.detectors import shipped_detector as detector
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.recipe import Recipe
from twelve.regions.sizes import FixedSize, InputSize
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore

pytest.importorskip("timm")

EFFICIENT = "timm/test_efficientnet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(2):
        draw_image(tmp_path / "images" / "s" / f"{k}.png", seed=k)
    return tmp_path / "images" / "s"


def again(out: Path, **options: object) -> Extractor:
    return Extractor.from_recipe(Recipe.of(RegionStore(out).metadata("s")), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("boxes", "backbone", "options"),
    [
        ("detect", "microworld", {"weights": None, "max_boxes": 3, "threshold": 0.01}),
        ("grid:2x3", EFFICIENT, {"levels": ("8", "head"), "input_size": InputSize(short_side=48, max_scale=3.0)}),
        ("grid:16/8", EFFICIENT, {"levels": None, "input_size": FixedSize(64, 64)}),
        ("patches", "timm/test_vit", {"levels": ("4", "8")}),
    ],
)
def test_built_again_it_extracts_the_same(
    boxes: str, backbone: str, options: dict[str, object], folder: Path, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    options = {"weights": "random", "batch_size": 1, "progress": False} | options
    report = extract(folder, boxes, backbone, tmp_path / "out", **options)  # type: ignore[arg-type]
    extractor = again(tmp_path / "out", weights=options["weights"])
    assert extractor.mark == report.fingerprint
    for k in range(2):
        found = extractor.extract(folder / f"{k}.png", image_id=f"s/{k}")
        assert same(found, RegionStore(tmp_path / "out").get(f"s/{k}")) and len(found.boxes)
    torch.set_num_threads(before)


def test_an_extractor_with_weights_from_a_file_needs_them_again(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("weights", 3), ("other", 4)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = detector.Detector(("a", "b"), {}, feature_size=12)
        detector.save(made, tmp_path / f"{name}.safetensors", {})
    extract(
        folder, "detect", "microworld", tmp_path / "out", weights=str(tmp_path / "weights.safetensors"), threshold=0.0
    )
    recorded = RegionStore(tmp_path / "out").metadata("s")
    assert str(tmp_path) not in str(recorded)  # no one's folders are told to others
    with pytest.raises(ConfigError, match=r"microworld needs the weights weights\.safetensors .* -> say where"):
        again(tmp_path / "out")
    shutil.move(tmp_path / "weights.safetensors", tmp_path / "moved.safetensors")
    found = again(tmp_path / "out", weights=str(tmp_path / "moved.safetensors")).extract(folder / "0.png")
    assert len(found.boxes) == len(RegionStore(tmp_path / "out").get("s/0").boxes) > 0
    with pytest.raises(RegionError, match=r"other\.safetensors: expected features with fingerprint \w+ .*found \w+"):
        again(tmp_path / "out", weights=str(tmp_path / "other.safetensors"))


def test_a_tower_made_again(folder: Path, tmp_path: Path) -> None:
    tower = save_tower("vit", tmp_path / "tower")
    extract(folder, "patches", "transformers", tmp_path / "out", weights=str(tower), progress=False)
    with pytest.raises(ConfigError, match="transformers needs the weights tower"):
        again(tmp_path / "out")
    found = again(tmp_path / "out", weights=str(tower)).extract(folder / "0.png")
    assert found.features is not None and found.features.shape == (16, 32)


def test_recipes_in_words(folder: Path, tmp_path: Path) -> None:
    extractor = extractor_of(EFFICIENT, weights="random", levels=("8",), input_size=InputSize(short_side=48))
    recipe = extractor.recipe()
    assert Recipe.from_json(recipe.to_json()) == recipe and recipe.config.boxes == "grid:6x6"
    config = recipe.config
    assert (config.weights, recipe.weights_file, config.levels) == ("random", False, ("8",))
    square = replace(recipe, config=replace(config, input_size=FixedSize(7, 9), levels=None))
    assert Recipe.from_json(square.to_json()) == square
    assert Recipe.from_json(f"{recipe.to_json()} + {square.to_json()}") == recipe  # of merged files
    for text in ("", "{}", "[]", '{"levels": null, "size": {"wide": 1}}', recipe.to_json().replace("legacy", "lgacy")):
        with pytest.raises(RegionError, match=r"the recipe of the regions cannot be read .* -> extract"):
            Recipe.from_json(text)
    with pytest.raises(RegionError, match="do not say how they were made"):
        Recipe.of(RegionFile(write(tmp_path / "a.arrow", [regions("s/0")])).metadata)


def test_a_recipe_on_disk() -> None:
    """Region files and models of older versions contain this very text."""
    size = InputSize(short_side=96, max_scale=1.5)
    config = ExtractorConfig("resnet50", "x.pth", levels=("8", "head"), input_size=size, boxes="detect", max_boxes=7)
    text = (
        '{"backbone": "resnet50", "boxes": "detect", "fingerprint": "f", "legacy": false, "levels": ["8", "head"], '
        '"most": 7, "origin": null, "patches": false, "precision": "fp32", "size": {"long_side": 1024, "max_scale": '
        '1.5, "multiple": 1, "short_side": 96}, "threshold": null, "weights": "x.pth", "weights_file": true}'
    )
    assert Recipe(config, "f", weights_file=True).to_json() == text
    assert Recipe.from_json(text) == Recipe(config, "f", weights_file=True)
    patches = Recipe(ExtractorConfig("timm/test_vit", "random", boxes="patches"), "f").to_json()
    assert '"patches": true' in patches and Recipe.from_json(patches).config.patches


def test_boxes_of_files_cannot_be_had_of_another_image(folder: Path, tmp_path: Path) -> None:
    given = [replace(regions(f"s/{k}", 2), width=64, height=48, features=None) for k in range(2)]
    boxes = write(tmp_path / "boxes.arrow", [replace(image, boxes=image.boxes / 4) for image in given])
    extract(folder, boxes, EFFICIENT, tmp_path / "out", weights="random", levels=("8",), progress=False)
    extractor = again(tmp_path / "out", weights="random")
    stored = RegionStore(tmp_path / "out").get("s/0")
    found = extractor.extract(folder / "0.png", stored.boxes)
    np.testing.assert_allclose(found.features, stored.features, atol=2e-3, rtol=2e-3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"boxes from files, .* -> give the boxes of this image"):
        extractor.extract(folder / "0.png")


def test_probabilities_and_bfloat16_in_a_store(folder: Path, tmp_path: Path) -> None:
    network = CASES["x152"].make(tmp_path)
    options = {"progress": False, "class_probabilities": True, "dtype": "bfloat16", "max_boxes": 5}
    report = extract(folder, "detect", network, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert report.written == 2
    file = RegionFile(tmp_path / "out" / "s" / "s.arrow")
    plain = extractor_of(network, max_boxes=5, class_probabilities=True)
    for image in file:
        assert image.class_probabilities is not None and image.class_probabilities.shape == (5, 41)
        found = plain.extract(folder / f"{image.image_id[2:]}.png")
        np.testing.assert_allclose(image.class_probabilities, found.class_probabilities, atol=1e-3)  # type: ignore
    store = RegionStore(tmp_path / "out")
    batch = store.gather(["s/0"])
    np.testing.assert_allclose(
        batch.features[0, 1:].float(),
        plain.extract(folder / "0.png").features.astype(np.float32),
        rtol=1e-2,
        atol=1e-3,  # type: ignore
    )
    assert batch.features.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("boxes", "problem"),
    [
        ([["a", "b", "c", "d"]], r"^expected boxes as numbers, found list \[\['a', 'b', 'c', 'd'\]\]"),
        ([[1, 2, 3, 4], [1, 2]], "expected boxes as numbers"),
        ({"x": 1}, "expected boxes as numbers, found dict"),
        (torch.zeros(1, 4, device="meta"), "expected boxes as numbers"),
        ([[0, 0, 1e300, 5]], "is not finite"),
        ([[9, 9, 1, 1]], "ends before it begins"),
    ],
)
def test_given_boxes_that_are_none(boxes: object, problem: str) -> None:
    """What is to be mended is the boxes, not the image."""
    with pytest.raises(InputError, match=f"{problem}.*-> give four numbers per box"):
        extractor_of("microworld").extract(np.zeros((9, 9, 3), np.uint8), boxes)  # type: ignore[arg-type]


def test_boxes_that_learn() -> None:
    boxes = torch.tensor([[0.0, 0.0, 5.0, 5.0]], requires_grad=True)
    assert len(extractor_of("microworld").extract(np.zeros((9, 9, 3), np.uint8), boxes).boxes) == 1


def test_pixels_are_counted_before_they_are_copied() -> None:
    """Arrays that stand for more than the memory holds."""
    extractor = extractor_of("microworld")
    for values in (np.broadcast_to(np.float32(0.5), (10**6, 10**6)), torch.zeros(1).expand(10**6, 10**6)):
        with pytest.raises(InputError, match="1000000x1000000 are more than"):
            extractor.extract(values)


def test_what_an_extractor_does_where_nothing_is_said() -> None:
    assert extractor_of("microworld").boxes.spec == "detect"
    assert extractor_of(EFFICIENT, weights="random").boxes.spec == "grid:6x6"
    assert extractor_of("timm/test_vit", weights="random", boxes="patches").recipe().config.patches
