"""Vision towers of transformers: the tokens are the library's own, where they should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from making import extractor_of
from small_networks import save_tower, shown

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors import vision_tower
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize


def build(weights: str | None, levels: tuple[str, ...] | None = None) -> vision_tower.VisionTower:
    return vision_tower.build(ExtractorConfig("transformers", weights, levels=levels))


KINDS = ("vit", "clip", "siglip", "registers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("towers")
    return {kind: save_tower(kind, folder / kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_the_library(kind: str, folders: dict[str, Path]) -> None:
    """An image of the very size goes through the library's own image processor and model."""
    from transformers import AutoImageProcessor, AutoModel

    image = shown(2, (32, 32))
    processor, model = AutoImageProcessor.from_pretrained(folders[kind]), AutoModel.from_pretrained(folders[kind])
    options = {"size": {"height": 32, "width": 32}, "do_center_crop": False}
    inputs = processor(images=image, return_tensors="pt", **options)
    with torch.no_grad():
        hidden = getattr(model, "vision_model", model)(**inputs).last_hidden_state[0]
    extractor = extractor_of("transformers", weights=str(folders[kind]), boxes="patches")
    found = extractor.extract(image)
    assert hidden.shape[0] == {"vit": 17, "clip": 17, "siglip": 16, "registers": 21}[kind]
    np.testing.assert_allclose(found.features, hidden[-16:], atol=3e-3)  # type: ignore[arg-type]
    assert found.boxes[5].tolist() == [8, 8, 16, 16]
    assert extractor.settings["backbone"].startswith("transformers/")
    assert extractor.settings.get("resample") == ("bilinear" if kind == "vit" else None)


def test_sizes(folders: dict[str, Path]) -> None:
    squashed = extractor_of("transformers", weights=str(folders["clip"]), boxes="patches").extract(shown(0, (96, 64)))
    assert len(squashed.boxes) == 16 and squashed.boxes[0].tolist() == [0, 0, 24, 16]
    kept = extractor_of(
        "transformers", weights=str(folders["clip"]), boxes="patches", input_size=InputSize(short_side=48, max_scale=2)
    ).extract(shown(0, (96, 64)))
    assert len(kept.boxes) == 6 * 9
    windows = extractor_of("transformers", weights=str(folders["clip"]), boxes="grid:2x2").extract(shown(0, (96, 64)))
    assert windows.features is not None and windows.features.shape == (4, 32)


def test_what_is_no_tower(folders: dict[str, Path], tmp_path: Path) -> None:
    import transformers as t

    for weights in (None, "random", "pretrained"):
        with pytest.raises(ConfigError, match="needs the name of a network -> name a vision transformer"):
            build(weights)
    with pytest.raises(ConfigError, match="transformers has no level '8'"):
        build(str(folders["vit"]), ("8",))
    with pytest.raises(RegionError, match="no such folder"):
        build(str(tmp_path / "none" / "at" / "all"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegionError, match="cannot be read as a model of transformers"):
        build(str(tmp_path / "empty"))
    config = t.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=9
    )
    t.BertModel(config).save_pretrained(tmp_path / "bert")
    t.ViTImageProcessor().save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match="bert is not a vision transformer"):
        build(str(tmp_path / "bert"))


def test_damaged_and_incomplete_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folders["vit"] / name).read_bytes())
    state = load_file(folders["vit"] / "model.safetensors")
    del state["encoder.layer.1.output.dense.bias" if "encoder.layer.1.output.dense.bias" in state else _any(state)]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RegionError, match="1 tensor is missing"):
        build(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RegionError, match="cannot be read as a model of transformers"):
        build(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")  # a pickle is not even opened
    with pytest.raises(RegionError, match="cannot be read as a model of transformers"):
        build(str(tmp_path))


def _any(state: dict[str, torch.Tensor]) -> str:
    return next(name for name in sorted(state) if "pooler" not in name and name.endswith("bias"))


def test_a_network_whose_tokens_are_no_patches(folders: dict[str, Path], tmp_path: Path) -> None:
    import transformers as t

    config = t.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4)
    t.SwinModel(config).save_pretrained(tmp_path)
    settings = json.loads((folders["vit"] / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"swin (has no token for every patch|needs more than images)"):
        build(str(tmp_path))
