"""How the options of ``twelve regions extract`` become an ExtractorConfig."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from making import draw_image
from typer.testing import CliRunner

from twelve.cli.regions import ExtractorOptions, regions_app
from twelve.errors import ConfigError
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.recipe import Recipe
from twelve.regions.sizes import InputSize
from twelve.regions.store.region_store import RegionStore


@pytest.mark.parametrize(
    ("words", "levels", "size"),
    [
        (("grid", "tf_efficientnet_lite0", {}), ("4", "8", "16", "32"), None),
        (("grid", "resnet18", {"levels": "8, head"}), ("8", "head"), None),
        (("grid", "resnet18", {"short_side": 300}), ("4", "8", "16", "32"), InputSize(short_side=300)),
        (("grid", "resnet18", {"max_scale": 0.5}), ("4", "8", "16", "32"), InputSize(max_scale=0.5)),
        (("patches", "timm/test_vit", {}), None, None),
        (("detect", "microworld", {}), None, None),
        (("detect", "x152", {"short_side": 400}), None, InputSize(short_side=400)),
        (("detect", "torchvision/retinanet_resnet50_fpn", {}), None, None),
        (("patches", "transformers", {}), None, None),
        (("grid", "transformers", {}), None, None),
    ],
)
def test_levels_and_sizes(words: tuple[str, str, dict[str, Any]], levels: object, size: object) -> None:
    boxes, backbone, options = words
    config = ExtractorOptions(boxes=[boxes], backbone=backbone, **options).config()
    assert config == ExtractorConfig(backbone, levels=levels, input_size=size, boxes=boxes)  # type: ignore[arg-type]


def test_boxes_of_files_and_of_tasks(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("x.arrow", "y.arrow")]
    for file in files:
        Path(file).touch()
    options = ExtractorOptions(boxes=["given:one", *files, "given:two"], backbone="microworld")
    assert options.config() == ExtractorConfig("microworld", box_files=tuple(files))
    assert options.given == ["one", "two"]


def test_every_parameter_is_an_option() -> None:
    own = {field.name for field in fields(ExtractorOptions)}
    assert {field.name for field in fields(ExtractorConfig)} - own == {"input_size", "box_files"}
    changed = {"backbone": "x152", "weights": "w", "levels": "8", "short_side": 3, "legacy": True, "precision": "bf16"}
    changed |= {"boxes": ["detect"], "max_boxes": 2, "threshold": 0.5, "class_probabilities": True, "batch_size": 3}
    changed |= {"dtype": "bfloat16", "max_pixels": 9, "workers": 4, "device": "cuda"}
    config, usual = ExtractorOptions(**changed).config(), ExtractorConfig()  # type: ignore[arg-type]
    same = {name for name in ExtractorConfig.__match_args__ if getattr(config, name) == getattr(usual, name)}
    same |= {field.name for field in fields(usual) if getattr(config, field.name) == getattr(usual, field.name)}
    assert same == {"box_files"}


def test_all_the_words(tmp_path: Path) -> None:
    for k in range(3):
        draw_image(tmp_path / "s" / f"{k}.png", seed=k)

    def run(out: str, backbone: str, *words: str) -> Any:
        folders = ["--images", str(tmp_path / "s"), "--out", str(tmp_path / out)]
        return CliRunner().invoke(
            regions_app, ["extract", *folders, "--boxes", "detect", "--backbone", backbone, *words]
        )

    more = ["--max-boxes", "2", "--threshold", "0", "--class-probabilities", "--dtype", "bfloat16"]
    ran = run("out", "microworld", *more, "--max-pixels", "3073", "--shard", "0/1")
    assert ran.exit_code == 0, ran.output
    store = RegionStore(tmp_path / "out")
    config = Recipe.of(store.metadata("s")).config
    assert (config.max_boxes, config.threshold, config.boxes) == (2, 0.0, "detect")
    assert (tmp_path / "out" / "s" / "s-shard-0-of-1.arrow").is_file() and len(store.ids("s")) == 3
    image = store.get("s/0")
    assert image.class_probabilities is not None and image.class_probabilities.shape[0] == len(image.boxes) <= 2
    for words, problem in (
        (("microworld", "--dtype", "float64"), "no dtype 'float64'"),
        (("x152", "--levels", "8"), "x152 has no level '8'"),
    ):
        error = run("o", *words).exception
        assert isinstance(error, ConfigError) and problem in str(error)
