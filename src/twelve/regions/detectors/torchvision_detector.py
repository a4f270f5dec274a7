"""Any detection model of torchvision, by name: its boxes, scores and classes, and a feature of every box.

Two-stage models (the R-CNNs) describe a box by what their box head makes of it, the vector that classes are told from.
One-stage models (RetinaNet, FCOS, SSD) have no such vector: their feature maps are averaged over the box, level by
level. Images are normalised, resized and padded by the model's own transform, so that what is found is what
``model([image])`` finds.
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
from twelve.regions.detectors.backbones import CODE_VERSION
from twelve.regions.detectors.folding import fold_norms
from twelve.regions.detectors.network import Found, Looker, Pixels, Prepared
from twelve.regions.detectors.pooling import pool_boxes

COCO_LABELS = 91
"""Columns of torchvision's own detection weights."""

_SCORES = (
    "roi_heads.box_predictor.cls_score.weight",
    "head.classification_head.cls_logits.weight",
    "head.classification_head.module_list.0.weight",
    "head.classification_head.module_list.0.1.weight",
)
"""Where models keep the classes' weights; their length grows in proportion with the number of classes."""

_NO_EPSILON = frozenset(f"{kind}_resnet50_fpn" for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet"))
"""Models whose published weights torchvision runs with batch norms that add nothing to the variance."""

_PROBE = 320
"""Pixels of the image that is pushed through a trunk to learn the channels of its maps."""


def names() -> list[str]:
    """The models there are."""
    found: list[str] = torchvision.models.list_models(module=torchvision.models.detection)
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """Feature maps of images of one size, and what their boxes are counted in.

    Attributes:
        scales: (I, 4) pixels of the network's input for one of the image: x, y, x, y.
    """

    maps: OrderedDict[str, Tensor]
    images: ImageList
    scales: Tensor


class TorchvisionDetector(Looker):
    """A detection model as a source of boxes and of features.

    Args:
        network: in evaluation mode.
        weights_hash: of its weights, before anything was folded.
        classes: the labels' names, label 0 first.
    """

    def __init__(self, network: Any, name: str, weights_hash: str, classes: Sequence[str]) -> None:
        self.network: Any = network
        self.name, self._hash = f"torchvision/{name}", weights_hash
        self.two_stage = hasattr(network, "roi_heads")
        self.knows_probabilities = self.two_stage
        self._transform: Any = self.network.transform
        self._kept = threading.local()  # several threads may run the network at once
        trunk = _Trunk(self.network.backbone, self._kept)
        if any(isinstance(module, nn.BatchNorm2d) for module in trunk.modules()):
            fold_norms(trunk)  # type: ignore[arg-type]
        self.network.backbone, self.network.transform = trunk, _Ready(self._kept)
        if self.two_stage:
            for kind in ("mask", "keypoint"):
                if hasattr(self.network.roi_heads, f"{kind}_roi_pool"):
                    setattr(self.network.roi_heads, f"{kind}_roi_pool", None)  # it is not even computed then
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
    def prepare(self, image: Image.Image) -> Pixels:
        levels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float().div(255)
        resized, _ = self._transform.resize(self._transform.normalize(levels), None)
        return Pixels(resized, *image.size)

    @torch.inference_mode()
    def look(self, images: Sequence[Prepared]) -> _Seen:
        device = next(self.network.parameters()).device
        height, width = images[0].pixels.shape[1:]
        pixels = self._transform.batch_images([image.pixels for image in images], self._transform.size_divisible)
        pixels = pixels.to(device).contiguous(memory_format=torch.channels_last)
        scales = torch.tensor([[width / p.width, height / p.height] * 2 for p in images], device=device)
        maps = self.network.backbone(pixels)
        return _Seen(maps, ImageList(pixels, [(height, width)] * len(images)), scales)

    @torch.inference_mode()
    def detect(self, seen: _Seen, most: int, threshold: float) -> list[Found]:
        self._limits.score_thresh, self._limits.detections_per_img = threshold, most
        self._kept.maps, self._kept.images = seen.maps, seen.images
        try:
            found = self.network(list(seen.images.tensors))
        finally:
            del self._kept.maps, self._kept.images
        first = 1 if self.two_stage else 0  # the background is no class there
        results = []
        for each, scale, sizes in zip(found, seen.scales, self._sizes(seen), strict=True):
            boxes = (each["boxes"] / scale).clamp(min=torch.zeros_like(sizes), max=sizes)
            results.append(Found(boxes, each["scores"], each["labels"] - first))
        return results

    @staticmethod
    def _sizes(seen: _Seen) -> Tensor:
        """(I, 4) width and height of the images, twice."""
        height, width = seen.images.image_sizes[0]
        return (seen.scales.new_tensor([width, height] * 2) / seen.scales).round()

    @torch.inference_mode()
    def describe(self, seen: _Seen, boxes: Sequence[Tensor]) -> list[Tensor]:
        scaled = [own.to(scale) * scale for own, scale in zip(boxes, seen.scales, strict=True)]
        counts = [len(own) for own in boxes]
        if not sum(counts):
            return [seen.scales.new_zeros(0, self.feature_size) for _ in boxes]
        if self.two_stage:
            heads = self.network.roi_heads
            features = heads.box_head(heads.box_roi_pool(seen.maps, scaled, seen.images.image_sizes))
            return list(features.split(counts))
        height, width = seen.images.tensors.shape[2:]  # the maps span the padding too
        extent = seen.scales.new_tensor((width, height, width, height))
        found = []
        for number, own in enumerate(scaled):
            levels = [pool_boxes(level[number : number + 1], (own / extent)[None])[0] for level in seen.maps.values()]
            found.append(torch.cat(levels, dim=-1))
        return found

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        if not self.two_stage:
            return super().probabilities(features)
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

    def to(self, device: torch.device) -> TorchvisionDetector:
        self.network.to(device)
        return self


class _Trunk(nn.Module):
    """The network below the heads; gives back the maps of :meth:`TorchvisionDetector.look` where those are at hand."""

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
    """Stands where a model has its transform: the images are ready, the boxes stay in the network's own pixels."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self._kept = kept

    def forward(self, images: Any, targets: Any = None) -> tuple[ImageList, Any]:
        return self._kept.images, targets

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        return result


def build(name: str, weights: str | None, *, short_side: int | None = None, seed: int = 0) -> TorchvisionDetector:
    """The model ``name`` in evaluation mode, batch norms of its trunk folded into the convolutions before them.

    Args:
        weights: a file or ``package:NAME`` (:func:`twelve.regions.detectors.weights.resolve`), also of a model
            trained on other classes; ``pretrained`` (torchvision's download); or ``random`` (untrained, from ``seed``).
        short_side: pixels of an image's short side in the network; None as the model was trained.

    Raises:
        ConfigError: no weights given, or they cannot be downloaded.
        RegionError: the weights are damaged or of another model.
    """
    if not weights:
        raise ConfigError(
            "no weights given", remedy="give --weights FILE, package:NAME, pretrained, or random to try things out"
        )
    published = torchvision.models.get_model_weights(name).DEFAULT
    state: Mapping[str, Tensor] | None = None
    if weights == "pretrained":
        state = _download(name, published)
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
    if short_side is not None:
        _resize(network, name, short_side)
    network.eval().requires_grad_(False)
    classes = published.meta["categories"] if count == COCO_LABELS else [str(label) for label in range(count)]
    return TorchvisionDetector(network, name, weight_files.content_hash(network), classes)


def _download(name: str, published: Any) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = published.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"cannot download the weights of {name} ({error})", remedy="give a local file as --weights"
        ) from error
    return state


def _create(name: str, state: Mapping[str, Tensor] | None) -> tuple[nn.Module, int]:
    """The model with as many labels as the weights have, and their number."""

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
