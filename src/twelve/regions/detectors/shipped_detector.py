"""The small Faster R-CNN that ships with the package; describes a box by the features of its second stage.

Ren, He, Girshick, Sun: "Faster R-CNN" (2015), built from torchvision's parts on a trunk small enough to be trained in
minutes. Linear heads on the region features predict kind, colour, size and pattern, so that the features encode all
four.

Axes: I images, R boxes of one image, N boxes of all images, H x W pixels, F features.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms

from twelve.errors import ConfigError, RegionError
from twelve.io import json_file
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.backbone import Backbone, FeatureMaps
from twelve.regions.detectors.feature_extractor import Detections, lacking
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize

SHIPPED = Path(__file__).parent
"""Folder of the weights that ship with the package, ``<name>.safetensors``."""
RECORD = "detector"
"""Key in a weight file's metadata; its value is a JSON object of strings."""
MOST, THRESHOLD = 20, 0.15
"""Defaults for the number of boxes and their lowest score."""

WIDTHS = (24, 32, 64)
POOLED_CHANNELS, POOLED_CELLS = 32, 7
ANCHOR_SIDES = (18, 24, 32, 44)
ANCHOR_RATIOS = (0.55, 1.0, 1.9)
SAME_THING = 0.5
"""IoU above which the weaker of two detections is dropped, whatever their classes."""


class Detector(nn.Module):
    """Two stages: proposals from the coarse map, classes and features from the fine map.

    Args:
        classes: names of the classes.
        attributes: attribute -> number of values; each has a linear head on the region features, used in training
            only.
        feature_size: F.
    """

    def __init__(self, classes: Sequence[str], attributes: Mapping[str, int], feature_size: int = 192) -> None:
        super().__init__()
        self.classes, self.attributes, self.feature_size = tuple(classes), dict(attributes), feature_size
        self.trunk = _Layers()
        anchors = AnchorGenerator((ANCHOR_SIDES,), (ANCHOR_RATIOS,))
        self.proposals = RegionProposalNetwork(
            anchors,
            RPNHead(WIDTHS[-1], anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.6,
            bg_iou_thresh=0.3,
            batch_size_per_image=128,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 400, "testing": 300},
            post_nms_top_n={"training": 100, "testing": 50},
            nms_thresh=0.7,
        )
        self.second = SecondStage(len(self.classes) + 1, self.attributes, feature_size)

    def forward(self, pixels: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            pixels: (I, 3, H, W) normalised.
            targets: for each image ``boxes`` (R, 4) xyxy pixels, ``labels`` (R,) 1 + class, and the (R,) values of
                each attribute.
        """
        coarse, fine = self.trunk(pixels)
        images = _image_list(pixels)
        proposals, first = self.proposals(images, {"0": coarse}, targets)
        return {**first, **self.second.losses(fine, proposals, images.image_sizes, targets)}


def _image_list(pixels: Tensor) -> ImageList:
    height, width = pixels.shape[-2:]
    return ImageList(pixels, [(height, width)] * len(pixels))


class _Layers(nn.Module):
    """(I, 3, H, W) -> the coarse map (I, 64, H/8, W/8) and the fine map (I, 32, H/4, W/4)."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = nn.Sequential(_convolution(3, first, stride=2), _convolution(first, second))
        self.fine = nn.Sequential(_convolution(second, third, stride=2), _Residual(third))
        self.coarse = nn.Sequential(_convolution(third, third, stride=2), _Residual(third))
        self.from_fine, self.from_coarse = nn.Conv2d(third, POOLED_CHANNELS, 1), nn.Conv2d(third, POOLED_CHANNELS, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(pixels))
        coarse = self.coarse(fine)
        context = functional.interpolate(self.from_coarse(coarse), size=fine.shape[-2:], mode="nearest")
        return coarse, functional.relu(self.from_fine(fine) + context)


class _Residual(nn.Module):
    """Two convolutions with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class BoxHead(nn.Module):
    """(N, C, k, k) pooled maps and (N, 2) box sizes -> (N, F)."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(POOLED_CHANNELS * POOLED_CELLS**2 + 2, feature_size)
        self.second = nn.Linear(feature_size, feature_size)

    def forward(self, pooled: Tensor, sides: Tensor) -> Tensor:
        x = functional.relu(self.first(torch.cat((pooled.flatten(1), sides), dim=1)))
        return functional.relu(self.second(x))


class SecondStage(RoIHeads):  # type: ignore[misc]
    """torchvision's second stage; its head also reads the sizes of the boxes, which pooling hides, and there is one
    head per attribute."""

    def __init__(self, labels: int, attributes: Mapping[str, int], feature_size: int) -> None:
        super().__init__(
            MultiScaleRoIAlign(["0"], POOLED_CELLS, sampling_ratio=2),
            BoxHead(feature_size),
            FastRCNNPredictor(feature_size, labels),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=48,
            positive_fraction=0.5,
            bbox_reg_weights=None,
            score_thresh=0.05,
            nms_thresh=SAME_THING,
            detections_per_img=100,
        )
        self.attribute_heads = nn.ModuleDict({name: nn.Linear(feature_size, n) for name, n in attributes.items()})

    def features(self, fine: Tensor, boxes: list[Tensor], size: tuple[int, int]) -> Tensor:
        """(N, F) of boxes in pixels of images of ``size`` (height, width)."""
        pooled = self.box_roi_pool({"0": fine}, boxes, [size] * len(boxes))
        flat = torch.cat(boxes)
        sides = ((flat[:, 2:] - flat[:, :2]).clamp(min=1) / math.sqrt(ANCHOR_SIDES[0] * ANCHOR_SIDES[-1])).log()
        return cast(Tensor, self.box_head(pooled, sides))

    def losses(
        self, fine: Tensor, proposals: list[Tensor], sizes: list[tuple[int, int]], targets: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Losses of classes, boxes and attributes (of foreground boxes) by name."""
        boxes, matched, labels, shifts = self.select_training_samples(proposals, targets)
        features = self.features(fine, boxes, sizes[0])
        classifier, regression = fastrcnn_loss(*self.box_predictor(features), labels, shifts)
        found = {"class": classifier, "box": regression}
        positive = torch.cat(labels) > 0
        for name, head in self.attribute_heads.items():
            right = torch.cat([target[name][index] for target, index in zip(targets, matched, strict=True)])
            found[name] = functional.cross_entropy(head(features[positive]), right[positive])
        return found


def load(path: Path) -> tuple[Detector, dict[str, str]]:
    """Load a detector in evaluation mode from a safetensors file, with the file's record of its training.

    Raises:
        RegionError: the file is missing, damaged, or contains no detector.
    """
    try:
        with safe_open(path, framework="pt") as file:
            recorded: dict[str, str] = json_file.decode((file.metadata() or {})[RECORD])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        detector = Detector(recorded["classes"].split(","), _attributes(recorded), int(recorded["feature_size"]))
        detector.load_state_dict(state, strict=False)
        lacking = {name for name in detector.state_dict() if not name.endswith("num_batches_tracked")} - state.keys()
        if lacking:
            raise KeyError(sorted(lacking)[0])
    except FileNotFoundError as error:
        raise RegionError("no such weight file", file=path, remedy="check --weights") from error
    except Exception as error:  # for a damaged file the reader raises nearly anything
        raise RegionError(
            f"cannot be read as weights of a detector ({str(error).splitlines()[0] if str(error) else error!r})",
            file=path,
            remedy="make them again: twelve data train-detector --out FILE",
        ) from error
    return detector.eval().requires_grad_(False), recorded


def save(detector: Detector, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a detector's weights as float16 safetensors, with ``metadata`` and what :func:`load` needs."""
    from safetensors.torch import save_file

    state = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in detector.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    shape = {
        "classes": ",".join(detector.classes),
        "attributes": ",".join(f"{name}:{count}" for name, count in detector.attributes.items()),
        "feature_size": str(detector.feature_size),
    }
    # One key only: the order of several is not fixed, and the same detector should give the same file.
    save_file(state, path, metadata={RECORD: json.dumps({**shape, **metadata}, sort_keys=True)})


def _attributes(recorded: Mapping[str, str]) -> dict[str, int]:
    pairs: list[Any] = [pair.split(":") for pair in recorded["attributes"].split(",") if pair]
    return {name: int(count) for name, count in pairs}


class ShippedDetector(Backbone):
    """A detector as a source of boxes and features. A given box and an equal detected box have equal features."""

    input_size = InputSize(short_side=128, long_side=512, max_scale=1.0, multiple=8)
    most, threshold = MOST, THRESHOLD

    def __init__(self, detector: Detector, name: str) -> None:
        super().__init__(name, ("head",), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.detector = detector
        self.channels, self.classes, self.multiple = (detector.feature_size,), detector.classes, 8
        self.configure()

    def maps(self, pixels: Tensor) -> list[Tensor]:
        return list(self.detector.trunk(pixels))

    def pool(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        height, width = _pixels(maps)
        corners = boxes.float() * boxes.new_tensor((width, height, width, height))
        features = self.detector.second.features(maps[1], list(corners), (height, width))
        return features.reshape(*boxes.shape[:2], self.detector.feature_size)  # a batch may have no boxes

    @torch.inference_mode()
    def detect(self, encoded: FeatureMaps, most: int, threshold: float) -> list[Detections]:
        coarse, fine = encoded.maps
        height, width = size = _pixels(encoded.maps)
        second = self.detector.second
        images = ImageList(coarse.new_empty(0, 3, *size), [size] * len(coarse))  # only the sizes are read
        proposals, _ = self.detector.proposals(images, {"0": coarse})
        logits, shifts = second.box_predictor(second.features(fine, proposals, size))
        scores, best = logits.softmax(1)[:, 1:].max(1)
        moved = second.box_coder.decode(shifts, proposals)[torch.arange(len(best)), best + 1]
        boxes = clip_boxes_to_image(moved, size)
        counts = [len(part) for part in proposals]
        scale = boxes.new_tensor((width, height, width, height))
        parts = (boxes.split(counts), scores.split(counts), best.split(counts), encoded.extents)
        found = []
        for own, score, label, extent in zip(*parts, strict=True):
            there = (score >= threshold) & ((own[:, 2:] - own[:, :2]) >= 1).all(1)
            own, score, label = own[there], score[there], label[there]
            kept = nms(own, score, SAME_THING)[:most]
            found.append(Detections(own[kept] / scale * extent, score[kept], label[kept]))
        return found

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.detector.second.box_predictor.cls_score(features).softmax(-1))


def _pixels(maps: Sequence[Tensor]) -> tuple[int, int]:
    """Height and width of the images that the maps were computed from."""
    return 4 * maps[1].shape[-2], 4 * maps[1].shape[-1]


def shipped() -> dict[str, Path]:
    """Detectors that ship with the package: name -> weights."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def build(config: ExtractorConfig, *, seed: int = 0) -> ShippedDetector:
    """Build the detector that ships with the package as ``config.backbone``.

    ``config.weights`` may name a file, or ``random``; None takes the weights of the package.

    Args:
        seed: for ``random`` weights.

    Raises:
        ConfigError: levels or patches are asked for.
        RegionError: the weights are missing, damaged, or contain no detector.
    """
    name, weights = config.backbone, config.weights
    if config.levels not in (None, ("head",)):
        raise ConfigError(
            f"{name} has no level {config.levels[0]!r}", remedy="leave --levels out: its features are fixed"
        )
    if config.patches:
        raise lacking(name, "patches")
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            detector = Detector(("thing",), {}).eval().requires_grad_(False)
    else:
        detector, _ = load(weight_files.resolve(weights) if weights else shipped()[name])
    backbone = ShippedDetector(detector, name)
    backbone.weights_hash = weight_files.content_hash(detector)
    backbone.configure(config.input_size)
    backbone.fold()
    return backbone
