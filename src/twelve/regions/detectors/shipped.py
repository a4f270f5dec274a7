"""A small Faster R-CNN that finds its own boxes, and describes any box by what its second stage sees there.

Ren, He, Girshick, Sun: "Faster R-CNN" (2015), built from torchvision's parts on a backbone small enough to be trained
in minutes and shipped with the package. Linear heads on its region features tell kind, colour, size and pattern, so
that the features hold all four.

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
from twelve.regions.detectors.backbones import Backbone, Detections
from twelve.regions.detectors.folding import fold_norms
from twelve.regions.extraction.box_sources import MOST, THRESHOLD
from twelve.regions.sizes import InputSize

SHIPPED = Path(__file__).parent
"""Folder of the weights that come with the package, ``<name>.safetensors``."""

RECORD = "detector"
"""Key of the file's metadata: a JSON object of strings."""

WIDTHS = (24, 32, 64)
POOLED_CHANNELS, POOLED_CELLS = 32, 7
ANCHOR_SIDES = (18, 24, 32, 44)
ANCHOR_RATIOS = (0.55, 1.0, 1.9)
SAME_THING = 0.5
"""Overlap (IoU) from which the weaker of two detections is dropped, whatever their classes."""


class Detector(nn.Module):
    """Two stages: proposals from the coarse map, classes and features from the fine one.

    Args:
        classes: names of the classes.
        attributes: attribute -> number of its values; each gets a linear head on the region features, which only
            training uses.
        feature_size: F.
    """

    def __init__(self, classes: Sequence[str], attributes: Mapping[str, int], feature_size: int = 192) -> None:
        super().__init__()
        self.classes, self.attributes, self.feature_size = tuple(classes), dict(attributes), feature_size
        self.trunk = Trunk()
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
            targets: of each image ``boxes`` (R, 4) xyxy pixels, ``labels`` (R,) 1 + class, and (R,) values of every
                attribute.
        """
        coarse, fine = self.trunk(pixels)
        images = _image_list(pixels)
        proposals, first = self.proposals(images, {"0": coarse}, targets)
        return {**first, **self.second.losses(fine, proposals, images.image_sizes, targets)}


def _image_list(pixels: Tensor) -> ImageList:
    height, width = pixels.shape[-2:]
    return ImageList(pixels, [(height, width)] * len(pixels))


class Trunk(nn.Module):
    """(I, 3, H, W) -> the coarse map (I, 64, H/8, W/8) and the fine one (I, 32, H/4, W/4)."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = nn.Sequential(_convolution(3, first, stride=2), _convolution(first, second))
        self.fine = nn.Sequential(_convolution(second, third, stride=2), Residual(third))
        self.coarse = nn.Sequential(_convolution(third, third, stride=2), Residual(third))
        self.from_fine, self.from_coarse = nn.Conv2d(third, POOLED_CHANNELS, 1), nn.Conv2d(third, POOLED_CHANNELS, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(pixels))
        coarse = self.coarse(fine)
        context = functional.interpolate(self.from_coarse(coarse), size=fine.shape[-2:], mode="nearest")
        return coarse, functional.relu(self.from_fine(fine) + context)


class Residual(nn.Module):
    """Two convolutions beside an identity."""

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
    """torchvision's second stage, told the boxes' sizes (pooling hides them), with a head for each attribute."""

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
        """Losses of classes, boxes and attributes (of boxes that hold a thing) by name."""
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
    """A detector from a safetensors file, in evaluation mode, and what the file records of its making.

    Raises:
        RegionError: the file is missing, damaged or not a detector's.
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
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise RegionError(
            f"cannot read these weights of a detector ({str(error).splitlines()[0] if str(error) else error!r})",
            file=path,
            remedy="make them again: twelve data train-detector --out FILE",
        ) from error
    return detector.eval().requires_grad_(False), recorded


def save(detector: Detector, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a detector's weights as float16 safetensors, with what :func:`load` needs and ``metadata``."""
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
    # One key alone: the format keeps several in no fixed order, and the same detector should be the same file.
    save_file(state, path, metadata={RECORD: json.dumps({**shape, **metadata}, sort_keys=True)})


def _attributes(recorded: Mapping[str, str]) -> dict[str, int]:
    pairs: list[Any] = [pair.split(":") for pair in recorded["attributes"].split(",") if pair]
    return {name: int(count) for name, count in pairs}


class DetectorBackbone(Backbone):
    """A detector as a source of boxes and of features.

    A box's feature is computed from that box, whether it was found or given, so that equal boxes have equal features.
    """

    input_size = InputSize(short_side=128, long_side=512, max_scale=1.0, multiple=8)
    most, threshold = MOST, THRESHOLD

    def __init__(self, detector: Detector, name: str) -> None:
        super().__init__(name, ("head",), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.detector = detector
        self.channels, self.classes, self.multiple = (detector.feature_size,), detector.classes, 8

    def maps(self, pixels: Tensor) -> list[Tensor]:
        return list(self.detector.trunk(pixels))

    @torch.inference_mode()
    def pool(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        height, width = _pixels(maps)
        corners = boxes.float() * boxes.new_tensor((width, height, width, height))
        features = self.detector.second.features(maps[1], list(corners), (height, width))
        return features.reshape(*boxes.shape[:2], self.detector.feature_size)  # a batch may have no box at all

    @torch.inference_mode()
    def detect(self, maps: Sequence[Tensor], threshold: float, most: int) -> list[Detections]:
        coarse, fine = maps
        height, width = size = _pixels(maps)
        second = self.detector.second
        images = ImageList(coarse.new_empty(0, 3, *size), [size] * len(coarse))  # nothing but the sizes is read
        proposals, _ = self.detector.proposals(images, {"0": coarse})
        logits, shifts = second.box_predictor(second.features(fine, proposals, size))
        scores, best = logits.softmax(1)[:, 1:].max(1)
        moved = second.box_coder.decode(shifts, proposals)[torch.arange(len(best)), best + 1]
        boxes = clip_boxes_to_image(moved, size)
        counts = [len(part) for part in proposals]
        scale = boxes.new_tensor((width, height, width, height))
        found = []
        for own, score, label in zip(boxes.split(counts), scores.split(counts), best.split(counts), strict=True):
            there = (score >= threshold) & ((own[:, 2:] - own[:, :2]) >= 1).all(1)
            own, score, label = own[there], score[there], label[there]
            kept = nms(own, score, SAME_THING)[:most]
            found.append(Detections(own[kept] / scale, score[kept], label[kept]))
        return found

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.detector.second.box_predictor.cls_score(features).softmax(-1))


def _pixels(maps: Sequence[Tensor]) -> tuple[int, int]:
    """Height and width of the images that the maps are of."""
    return 4 * maps[1].shape[-2], 4 * maps[1].shape[-1]


def shipped() -> dict[str, Path]:
    """Detectors that come with the package: name -> weights."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def build(name: str, weights: str | None, levels: Sequence[str] | None = None, *, seed: int = 0) -> DetectorBackbone:
    """The detector that comes with the package as ``name``, ready to be used.

    Args:
        weights: None for those of the package; a file; or ``random``, untrained from ``seed``.
        levels: must be None or ("head",): a detector has features of one kind.

    Raises:
        ConfigError: other levels are asked for.
        RegionError: the weights are missing, damaged or not a detector's.
    """
    if levels is not None and list(levels) != ["head"]:
        raise ConfigError(
            f"{name} has no level {levels[0]!r}", remedy="leave --levels out: it has features of one kind"
        )
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            detector = Detector(("thing",), {}).eval().requires_grad_(False)
    else:
        detector, _ = load(weight_files.resolve(weights) if weights else shipped()[name])
    backbone = DetectorBackbone(detector, name)
    backbone.weights_hash = weight_files.content_hash(detector)
    fold_norms(backbone)
    return backbone.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
