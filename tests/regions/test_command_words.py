"""What the words of ``twelve regions extract`` come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from making import draw_image

from twelve.errors import ConfigError
from twelve.regions.extraction import command
from twelve.regions.extraction.command import run_extract
from twelve.regions.recipe import Recipe
from twelve.regions.sizes import InputSize
from twelve.regions.store.region_store import RegionStore


@pytest.mark.parametrize(
    ("words", "levels", "size"),
    [
        (("grid", "tf_efficientnet_lite0", {}), ["4", "8", "16", "32"], None),
        (("grid", "resnet18", {"levels": "8, head"}), ["8", "head"], None),
        (("grid", "resnet18", {"short_side": 300}), ["4", "8", "16", "32"], InputSize(short_side=300)),
        (("grid", "resnet18", {"max_scale": 0.5}), ["4", "8", "16", "32"], InputSize(max_scale=0.5)),
        (("patches", "timm/test_vit", {}), None, None),
        (("detect", "microworld", {}), None, None),
        (("detect", "x152", {"short_side": 400}), None, InputSize(short_side=400)),
        (("detect", "torchvision/retinanet_resnet50_fpn", {}), None, None),
        (("patches", "transformers", {}), None, None),
        (("grid", "transformers", {}), None, None),
    ],
)
def test_levels_and_sizes(
    words: tuple[str, str, dict[str, Any]], levels: object, size: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(command, "extract", lambda *args, **options: asked.update(options))
    boxes, backbone, options = words
    run_extract([Path("x")], [boxes], backbone, Path("out"), **options)
    assert asked == {"levels": levels, "input_size": size}


def test_all_the_words(tmp_path: Path) -> None:
    for k in range(3):
        draw_image(tmp_path / "s" / f"{k}.png", seed=k)
    run_extract(
        [tmp_path / "s"],
        ["detect"],
        "microworld",
        tmp_path / "out",
        max_boxes=2,
        threshold=0.0,
        class_probabilities=True,
        dtype="bfloat16",
        max_pixels=3073,
        shard="0/1",
        progress=False,
    )
    store = RegionStore(tmp_path / "out")
    recipe = Recipe.of(store.metadata("s"))
    assert (recipe.most, recipe.threshold, recipe.boxes) == (2, 0.0, "detect")
    assert (tmp_path / "out" / "s" / "s-shard-0-of-1.arrow").is_file() and len(store.ids("s")) == 3
    image = store.get("s/0")
    assert image.class_probabilities is not None and image.class_probabilities.shape[0] == len(image.boxes) <= 2
    with pytest.raises(ConfigError, match="features cannot be stored as 'float64'"):
        run_extract([tmp_path / "s"], ["detect"], "microworld", tmp_path / "o", dtype="float64", progress=False)
    with pytest.raises(ConfigError, match="x152 has no level '8'"):
        run_extract([tmp_path / "s"], ["detect"], "x152", tmp_path / "o", levels="8", progress=False)
