"""Any detection model of torchvision, by name: its boxes, scores and classes, and the features of any box.

Two-stage models (the R-CNNs) describe a box by the output of their box head, the vector that classes are predicted
from. One-stage models (RetinaNet, FCOS, SSD) have no such vector: their feature maps are averaged over the box, level
by level. The model's own transform normalises, resizes and pads images, so the detections are those of
``model([image])``.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.feature_extractor import (
    CODE_VERSION,
    Detections,
    FeatureExtractor,
    PreparedImage,
    lacking,
)
from twelve.regions.detectors.folding import fold_norms
from twelve.regions.detectors.pooling import pool_boxes
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize

COCO_LABELS = 91
"""Classes in torchvision's own detection weights."""

_SCORES = (
    "roi_heads.box_predictor.cls_score.weight",
    "head.classification_head.cls_logits.weight",
    "head.classification_head.module_list.0.weight",
    "head.classification_head.module_list.0.1.weight",
)
"""Names of the class weights; their length is proportional to the number of classes."""

_NO_EPSILON = frozenset(f"{kind}_resnet50_fpn" for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet"))
"""Models whose published weights torchvision runs with an epsilon of 0 in batch norms."""

_PROBE = 320
"""Side of the image that is run through a trunk to find the channels of its maps, in pixels."""


def names() -> list[str]:
    """Names of the detection models of torchvision."""
    found: list[str] = torchvision.models.list_models(module=torchvision.models.detection)
    return found


def knows(name: str) -> bool:
    """Whether ``NAME`` or ``torchvision/NAME`` is a detection model."""
    return name.removeprefix("torchvision/") in names()


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Feature maps of images of one size.

    Attributes:
        images: the padded network input.
        scales: (I, 4) pixels of the network's input per pixel of the image: x, y, x, y.
    """

    maps: OrderedDict[str, Tensor]
    images: ImageList
    scales: Tensor


class TorchvisionDetector(FeatureExtractor):
    """A detection model as a source of boxes and features.

    Args:
        network: in evaluation mode.
        weights_hash: of its weights, before norms were folded.
        classes: names of the labels, label 0 first.
    """

    def __init__(self, network: Any, name: str, weights_hash: str, classes: Sequence[str]) -> None:
        super().__init__()
        self.network: Any = network
        self.name, self._hash = f"torchvision/{name}", weights_hash
        self.two_stage = hasattr(network, "roi_heads")
        self.has_probabilities = self.two_stage
        self._transform: Any = self.network.transform
        self._kept = threading.local()  # several threads may run the network at once
        trunk = _Trunk(self.network.backbone, self._kept)
        if any(isinstance(module, nn.BatchNorm2d) for module in trunk.modules()):
            fold_norms(trunk)
        self.network.backbone, self.network.transform = trunk, _Ready(self._kept)
        if self.two_stage:
            for kind in ("mask", "keypoint"):
                if hasattr(self.network.roi_heads, f"{kind}_roi_pool"):
                    setattr(self.network.roi_heads, f"{kind}_roi_pool", None)  # skips the masks and keypoints
            self._limits: Any = self.network.roi_heads
            self.classes = tuple(classes[1:])
            self.feature_size = self.network.roi_heads.box_predictor.cls_score.in_features
        else:
            self._limits, self.classes = self.network, tuple(classes)
            with torch.inference_mode():
                self.feature_size = sum(m.shape[1] for m in trunk.maps(torch.zeros(1, 3, _PROBE, _PROBE)))
        self.most, self.threshold = min(100, self._limits.detections_per_img), self._limits.score_thresh
        network.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def prepare(self, image: Image.Image) -> PreparedImage:
        levels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float().div(255)
        resized, _ = self._transform.resize(self._transform.normalize(levels), None)
        return PreparedImage(resized, *image.size)

    @torch.inference_mode()
    def encode(self, images: Sequence[PreparedImage]) -> _Encoded:
        device = next(self.network.parameters()).device
        height, width = images[0].pixels.shape[1:]
        pixels = self._transform.batch_images([image.pixels for image in images], self._transform.size_divisible)
        pixels = pixels.to(device).contiguous(memory_format=torch.channels_last)
        scales = torch.tensor([[width / p.width, height / p.height] * 2 for p in images], device=device)
        maps = self.network.backbone(pixels)
        return _Encoded(maps, ImageList(pixels, [(height, width)] * len(images)), scales)

    @torch.inference_mode()
    def detect(self, encoded: _Encoded, most: int, threshold: float) -> list[Detections]:
        self._limits.score_thresh, self._limits.detections_per_img = threshold, most
        self._kept.maps, self._kept.images = encoded.maps, encoded.images
        try:
            found = self.network(list(encoded.images.tensors))
        finally:
            del self._kept.maps, self._kept.images
        first = 1 if self.two_stage else 0  # label 0 is the background
        results = []
        for each, scale, sizes in zip(found, encoded.scales, self._sizes(encoded), strict=True):
            boxes = (each["boxes"] / scale).clamp(min=torch.zeros_like(sizes), max=sizes)
            results.append(Detections(boxes, each["scores"], each["labels"] - first))
        return results

    @staticmethod
    def _sizes(encoded: _Encoded) -> Tensor:
        """(I, 4) width, height, width, height of the images."""
        height, width = encoded.images.image_sizes[0]
        return (encoded.scales.new_tensor([width, height] * 2) / encoded.scales).round()

    @torch.inference_mode()
    def describe(self, encoded: _Encoded, boxes: Sequence[Tensor]) -> list[Tensor]:
        scaled = [own.to(scale) * scale for own, scale in zip(boxes, encoded.scales, strict=True)]
        counts = [len(own) for own in boxes]
        if not sum(counts):
            return [encoded.scales.new_zeros(0, self.feature_size) for _ in boxes]
        if self.two_stage:
            heads = self.network.roi_heads
            features = heads.box_head(heads.box_roi_pool(encoded.maps, scaled, encoded.images.image_sizes))
            return list(features.split(counts))
        height, width = encoded.images.tensors.shape[2:]  # the maps span the padding too
        extent = encoded.scales.new_tensor((width, height, width, height))
        found = []
        for number, own in enumerate(scaled):
            levels = [
                pool_boxes(level[number : number + 1], (own / extent)[None])[0] for level in encoded.maps.values()
            ]
            found.append(torch.cat(levels, dim=-1))
        return found

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        if not self.two_stage:
            raise lacking(self.name, "probabilities")
        found: Tensor = self.network.roi_heads.box_predictor.cls_score(features).softmax(-1)
        return found

    def settings(self) -> dict[str, Any]:
        own = self._transform
        return {
            "backbone": self.name,
            "weights": self._hash,
            "input": {"short_side": own.min_size[-1], "long_side": own.max_size, "fixed": own.fixed_size},
            "mean": [round(float(value), 6) for value in own.image_mean],
            "std": [round(float(value), 6) for value in own.image_std],
            "mode": "boxes",
            "code": CODE_VERSION,
        }


class _Trunk(nn.Module):
    """The network below the heads; returns the maps of :meth:`TorchvisionDetector.encode` instead, if they are kept."""

    def __init__(self, network: nn.Module, kept: Any) -> None:
        super().__init__()
        self.network, self._kept = network, kept

    def forward(self, pixels: Tensor) -> OrderedDict[str, Tensor]:
        if (kept := getattr(self._kept, "maps", None)) is not None:
            return kept  # type: ignore[no-any-return]
        found = self.network(pixels)
        return OrderedDict([("0", found)]) if isinstance(found, Tensor) else found

    def maps(self, pixels: Tensor) -> list[Tensor]:
        return list(self(pixels).values())


class _Ready(nn.Module):
    """Replaces a model's transform: the images are ready, and boxes stay in pixels of the network's input."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self._kept = kept

    def forward(self, images: Any, targets: Any = None) -> tuple[ImageList, Any]:
        return self._kept.images, targets

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        return result


def build(config: ExtractorConfig, *, seed: int = 0) -> TorchvisionDetector:
    """Build the model ``config.backbone`` in evaluation mode, with the batch norms of its trunk folded.

    ``config.weights`` may be those of a model trained on other classes. Of ``config.input_size``, the short side
    counts.

    Args:
        seed: for ``random`` weights.

    Raises:
        ConfigError: no weights are given, they cannot be downloaded, or the model takes images of one size only.
        RegionError: the weights are damaged or belong to another model.
    """
    name, weights = config.backbone.removeprefix("torchvision/"), weight_files.required(config.weights)
    published = torchvision.models.get_model_weights(name).DEFAULT
    state: Mapping[str, Tensor] | None = None
    if weights == "pretrained":
        try:
            state = published.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise weight_files.no_download(name, error) from error
    elif weights != "random":
        state = weight_files.read(weight_files.resolve(weights))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, count = _create(name, state)
    if state is not None:
        weight_files.fit(network, state, weights)
        if name in _NO_EPSILON and not any(key.endswith("num_batches_tracked") for key in state):
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 0.0
    if isinstance(config.input_size, InputSize):
        _resize(network, name, config.input_size.short_side)
    network.eval().requires_grad_(False)
    classes = published.meta["categories"] if count == COCO_LABELS else [str(label) for label in range(count)]
    return TorchvisionDetector(network, name, weight_files.content_hash(network), classes)


def _create(name: str, state: Mapping[str, Tensor] | None) -> tuple[nn.Module, int]:
    """The model with as many labels as the weights have, and the number of labels."""

    def model(count: int) -> nn.Module:
        found: nn.Module = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=count)
        return found

    if state is None:
        return model(COCO_LABELS), COCO_LABELS
    network = model(COCO_LABELS)
    own = network.state_dict()
    key = next((key for key in _SCORES if key in own and key in state), None)
    if key is None or len(own[key]) == len(state[key]):
        return network, COCO_LABELS
    count = round(len(state[key]) * COCO_LABELS / len(own[key]))
    if count * len(own[key]) != len(state[key]) * COCO_LABELS:
        raise RegionError(f"the shape of {key} is not one of {name}", remedy="give the weights of that model")
    return model(count), count


def _resize(network: nn.Module, name: str, short_side: int) -> None:
    transform: Any = network.transform
    if transform.fixed_size is not None:
        raise ConfigError(f"{name} takes images of one size only", remedy="leave --short-side out")
    transform.max_size = math.ceil(transform.max_size * short_side / transform.min_size[-1])
    transform.min_size = (short_side,)
