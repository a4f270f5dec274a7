"""Detection models of torchvision: what they find is what torchvision finds, and what is said of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torchvision
from making import extractor_of
from small_networks import shown, small_detection_model
from torch import nn
from torchvision.transforms.functional import to_tensor

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors import build as building
from twelve.regions.detectors import torchvision_detector
from twelve.regions.detectors.build import takes_levels
from twelve.regions.detectors.feature_extractor import fingerprint
from twelve.regions.detectors.pooling import pool_boxes
from twelve.regions.detectors.torchvision_detector import TorchvisionDetector, build, names
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import FixedSize, InputSize

LABELS = [f"label {k}" for k in range(7)]
MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


def build_named(name: str, weights: str | None = None, **options: Any) -> Any:
    return building.build(ExtractorConfig(name, weights, **options))


@pytest.mark.parametrize("two_stage", [True, False])
@pytest.mark.parametrize("size", [(96, 64), (50, 75), (200, 60)])
def test_what_is_found_is_what_torchvision_finds(two_stage: bool, size: tuple[int, int]) -> None:
    image = shown(3, size)
    model: Any = small_detection_model(two_stage)
    limits = model.roi_heads if two_stage else model
    limits.score_thresh, limits.detections_per_img = 0.0, 15
    with torch.no_grad():
        (expected,) = model([to_tensor(image)])
    found = extractor_of(TorchvisionDetector(model, "small", "", LABELS), max_boxes=15, threshold=0.0).extract(image)
    np.testing.assert_allclose(found.boxes, expected["boxes"], atol=1e-3)
    np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-5)  # type: ignore[arg-type]
    assert found.class_ids is not None
    np.testing.assert_array_equal(found.class_ids, expected["labels"] - int(two_stage))


def test_a_box_is_described_by_the_box_head() -> None:
    image, box = shown(3, (50, 75)), [[10.0, 5.0, 40.0, 60.0]]
    model: Any = small_detection_model(True)
    with torch.no_grad():
        images, _ = model.transform([to_tensor(image)])
        height, width = images.image_sizes[0]
        scaled = torch.tensor(box) * torch.tensor([width / 50, height / 75] * 2)
        pooled = model.roi_heads.box_roi_pool(model.backbone(images.tensors), [scaled], images.image_sizes)
        expected = model.roi_heads.box_head(pooled)
    found = extractor_of(TorchvisionDetector(model, "small", "", LABELS)).extract(image, box)
    np.testing.assert_allclose(found.features, expected, atol=2e-3)  # type: ignore[arg-type]


def test_one_stage_boxes_are_the_mean_of_every_map_without_the_padding() -> None:
    image = shown(3, (50, 75))  # 64x96 in the network, of which nothing is padding; 64x85 of a higher one
    for short, padded in ((64, (64, 96)), (48, (64, 96))):
        model: Any = small_detection_model(False, short)
        with torch.no_grad():
            images, _ = model.transform([to_tensor(image)])
            maps = model.backbone(images.tensors)
        assert tuple(images.tensors.shape[2:]) == padded[::-1]
        height, width = images.image_sizes[0]
        whole = torch.tensor([[[0, 0, width / padded[0], height / padded[1]]]])
        expected = torch.cat([pool_boxes(level, whole) for level in maps.values()], dim=-1)[0]
        found = extractor_of(TorchvisionDetector(model, "small", "", LABELS)).extract(image, [[0, 0, 50, 75]])
        np.testing.assert_allclose(found.features, expected, atol=2e-3)  # type: ignore[arg-type]


def test_models_by_name() -> None:
    assert {MOBILE, "retinanet_resnet50_fpn", "ssdlite320_mobilenet_v3_large"} <= set(names())
    two, one = build_named(MOBILE, "random"), build_named("torchvision/ssdlite320_mobilenet_v3_large", "random")
    assert (two.name, two.feature_size, len(two.classes), two.classes[0]) == (
        f"torchvision/{MOBILE}",
        1024,
        90,
        "person",
    )
    assert one.classes[:2] == ("__background__", "person") and one.feature_size == 2304  # of six maps
    assert (two.most, two.threshold, one.threshold) == (100, 0.05, 0.001)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in two.network.backbone.modules())  # type: ignore[attr-defined]
    found = extractor_of(two, threshold=0.0, max_boxes=4).extract(shown())
    assert found.features is not None and found.features.shape == (4, 1024)
    for name, takes in ((MOBILE, False), ("x152", False), ("transformers", False), ("resnet18", True)):
        assert takes_levels(name) is takes and takes_levels(f"torchvision/{name}") is takes


def test_weights_of_other_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is told from the weights; a state dict may stand under its usual key."""

    def create(name: str, weights: None, weights_backbone: None, num_classes: int) -> nn.Module:
        return small_detection_model(two_stage="one" not in name, labels=num_classes)

    monkeypatch.setattr(torchvision.models, "get_model", create)
    for name in (MOBILE, "retinanet_resnet50_fpn"):  # the small models stand for both kinds
        kind = name if name == MOBILE else name + " one"
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: _Published)
        state = small_detection_model("one" not in kind, labels=5, seed=3).state_dict()
        torch.save({"model": state}, tmp_path / "five.pth")
        made = build(ExtractorConfig(kind, str(tmp_path / "five.pth")))
        assert made.classes == (("1", "2", "3", "4") if "one" not in kind else ("0", "1", "2", "3", "4"))
        torch.save(small_detection_model("one" not in kind, labels=91, seed=3).state_dict(), tmp_path / "coco.pth")
        coco = build(ExtractorConfig(kind, str(tmp_path / "coco.pth")))
        assert coco.classes[-1] == "name 90" and fingerprint(coco.settings()) != fingerprint(made.settings())
        del state["backbone.coarse.0.bias"]
        torch.save(state, tmp_path / "lacking.pth")
        with pytest.raises(RegionError, match=r"1 tensor is missing: backbone\.coarse\.0\.bias"):
            build(ExtractorConfig(kind, str(tmp_path / "lacking.pth")))


class _Published:
    class DEFAULT:
        meta: ClassVar[dict[str, list[str]]] = {"categories": [f"name {k}" for k in range(91)]}


def test_norms_of_the_published_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision runs the models whose norms were frozen in training without an epsilon."""
    monkeypatch.setattr(torchvision.models, "get_model", lambda *a, **k: small_detection_model(True, labels=91))
    state = small_detection_model(True, labels=91, seed=3).state_dict()
    state["backbone.fine.1.running_var"].fill_(1e-5)
    torch.save(state, tmp_path / "trained.pth")
    del state["backbone.fine.1.num_batches_tracked"]
    torch.save(state, tmp_path / "frozen.pth")
    found = {}
    for name, file in (
        ("fasterrcnn_resnet50_fpn", "frozen"),
        ("fasterrcnn_resnet50_fpn", "trained"),
        ("fasterrcnn_resnet50_fpn_v2", "frozen"),
    ):
        made: Any = build(ExtractorConfig(name, str(tmp_path / f"{file}.pth")))
        found[name, file] = float(made.network.backbone.network.fine[0].weight.abs().max())
    frozen, trained, second = found.values()
    assert frozen == pytest.approx(trained * 2**0.5, rel=1e-4) and second == trained


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no weights given -> give --weights FILE"):
        build_named(MOBILE)
    with pytest.raises(ConfigError, match="has no level '8' -> leave --levels out"):
        build_named(MOBILE, "random", levels=("8",))
    with pytest.raises(ConfigError, match="describes boxes and has no patches"):
        build_named(MOBILE, "random", boxes="patches")
    with pytest.raises(ConfigError, match="keeps the aspect ratio of images"):
        build_named(MOBILE, "random", input_size=FixedSize(64, 64))
    with pytest.raises(ConfigError, match="takes images of one size only"):
        build_named("ssdlite320_mobilenet_v3_large", "random", input_size=InputSize(short_side=64))
    with pytest.raises(ConfigError, match="has no legacy mode -> leave --legacy out, or choose --backbone x152"):
        build_named(MOBILE, "random", legacy=True)
    with pytest.raises(ConfigError, match=r"unknown backbone .fasterrcnn_resnet51_fpn. \(did you mean"):
        build_named("fasterrcnn_resnet51_fpn", "random")
    (tmp_path / "x.pth").write_bytes(b"nothing")
    with pytest.raises(RegionError, match=r"x\.pth cannot be read as weights"):
        build_named(MOBILE, str(tmp_path / "x.pth"))


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigError, match=r"cannot download the weights .* \(no network\) -> give a local file"):
        torchvision_detector.build(ExtractorConfig(MOBILE, "pretrained"))
