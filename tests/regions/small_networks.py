"""Small untrained feature extractors of every kind, for tests; none is downloaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign
from x152_tiny import TINY

from twelve.regions.detectors import (
    apart_detector,
    library_backbones,
    shipped_detector,
    torchvision_detector,
    vision_tower,
)
from twelve.regions.detectors.feature_extractor import FeatureExtractor
from twelve.regions.detectors.weights import content_hash
from twelve.regions.detectors.x152 import X152
from twelve.regions.detectors.x152 import build as build_x152
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize


@dataclass(frozen=True)
class Case:
    """One kind of feature extractor.

    Attributes:
        make: builds it; of other weights (if it has any), or for images of another size.
        boxes: what its regions are: ``detect``, a grid or ``patches``.
        cells: rows and columns of its patches for an image of 96x64, where those are its regions.
        weights: whether it has weights.
    """

    make: Callable[..., FeatureExtractor]
    boxes: str
    cells: tuple[int, int] | None = None
    weights: bool = True


def shown(seed: int = 0, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """An image of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def _x152(folder: Path, *, other_weights: bool = False, other_size: bool = False) -> FeatureExtractor:
    network = build_x152("random", sizes=TINY, fold=False).network
    if other_weights:
        network.body.conv1.weight.data.mul_(1.01)
    content = content_hash(network)
    network.fold()
    return X152(network, TINY, short_side=96 if other_size else 64, long_side=160, weights_hash=content)


def _microworld(folder: Path, *, other_weights: bool = False, other_size: bool = False) -> FeatureExtractor:
    size = InputSize(short_side=96, max_scale=2.0) if other_size else None
    return shipped_detector.build(ExtractorConfig("microworld", "random", input_size=size), seed=int(other_weights))


def _apart(folder: Path, *, other_weights: bool = False, other_size: bool = False) -> FeatureExtractor:
    size = InputSize(short_side=96, max_scale=2.0) if other_size else None
    return apart_detector.build(ExtractorConfig("microworld-apart", "random", input_size=size), seed=int(other_weights))


class SmallTrunk(nn.Module):
    """Maps of 16 channels at strides 4 and 8."""

    out_channels = 16

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 16, 7, stride=4, padding=3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU())

    def forward(self, pixels: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        fine = self.fine(pixels)
        return OrderedDict([("0", fine), ("1", self.coarse(fine))])


def small_detection_model(two_stage: bool, short_side: int = 64, seed: int = 0, labels: int = 7) -> nn.Module:
    """A detection model made of torchvision's own parts on a small trunk."""
    anchors = AnchorGenerator(((12, 20), (28, 40)), ((0.5, 1.0, 2.0),) * 2)
    sizes = {"min_size": short_side, "max_size": 2 * short_side}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if not two_stage:
            return RetinaNet(SmallTrunk(), labels, anchor_generator=anchors, **sizes).eval()
        model = FasterRCNN(
            SmallTrunk(),
            rpn_anchor_generator=anchors,
            box_roi_pool=MultiScaleRoIAlign(["0", "1"], 7, 2),
            box_head=TwoMLPHead(16 * 49, 24),
            box_predictor=FastRCNNPredictor(24, labels),
            **sizes,
        )
        model.roi_heads.box_predictor.cls_score.weight.data.mul_(4)  # untrained scores are all alike
        return model.eval()


def _torchvision(two_stage: bool) -> Callable[..., FeatureExtractor]:
    def make(folder: Path, *, other_weights: bool = False, other_size: bool = False) -> FeatureExtractor:
        network = small_detection_model(two_stage, 96 if other_size else 64, int(other_weights))
        content = content_hash(network)
        return torchvision_detector.TorchvisionDetector(network, "small", content, [f"label {k}" for k in range(7)])

    return make


def _backbone(name: str, patches: bool = False) -> Callable[..., FeatureExtractor]:
    def make(folder: Path, *, other_weights: bool = False, other_size: bool = False) -> FeatureExtractor:
        size = InputSize(short_side=96 if other_size else 64)
        config = ExtractorConfig(name, "random", input_size=size, boxes="patches" if patches else "")
        return library_backbones.build(config, seed=int(other_weights))

    return make


def save_tower(kind: str, folder: Path, seed: int = 0) -> Path:
    """A tiny untrained model of transformers with its image processor."""
    import transformers as t

    vision: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
    square = {"height": 32, "width": 32}
    made: dict[str, Callable[[], tuple[Any, Any]]] = {
        "vit": lambda: (t.ViTModel(t.ViTConfig(**vision)), t.ViTImageProcessor(size=square)),
        "clip": lambda: (
            t.CLIPModel(t.CLIPConfig(vision_config=vision, text_config=text)),
            t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square),
        ),
        "siglip": lambda: (
            t.SiglipModel(t.SiglipConfig(vision_config=vision, text_config=text)),
            t.SiglipImageProcessor(size=square),
        ),
        "registers": lambda: (
            t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**vision)),
            t.BitImageProcessor(size={"shortest_edge": 40}, crop_size=square),
        ),
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = made[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tower(kind: str) -> Callable[..., FeatureExtractor]:
    def make(folder: Path, *, other_weights: bool = False, other_size: bool = False) -> FeatureExtractor:
        path = folder / f"{kind}{int(other_weights)}"
        if not path.is_dir():
            save_tower(kind, path, int(other_weights))
        size = InputSize(short_side=64, max_scale=9.0) if other_size else None
        return vision_tower.build(ExtractorConfig("transformers", str(path), input_size=size, boxes="patches"))

    return make


CASES: dict[str, Case] = {
    "x152": Case(_x152, "detect"),
    "microworld": Case(_microworld, "detect"),
    "microworld, apart": Case(_apart, "detect"),
    "two stages of torchvision": Case(_torchvision(two_stage=True), "detect"),
    "one stage of torchvision": Case(_torchvision(two_stage=False), "detect"),
    "timm, grid": Case(_backbone("timm/test_efficientnet"), "grid:2x3"),
    "torchvision, grid": Case(_backbone("torchvision/squeezenet1_1"), "grid:2x3"),
    "timm, patches": Case(_backbone("timm/test_vit", patches=True), "patches", (4, 6)),
    "vit, patches": Case(_tower("vit"), "patches", (4, 4)),
    "clip, patches": Case(_tower("clip"), "patches", (4, 4)),
    "siglip, patches": Case(_tower("siglip"), "patches", (4, 4)),
    "registers, patches": Case(_tower("registers"), "patches", (4, 4)),
}
"""Every kind of feature extractor by name."""
