"""The interface of every network that turns images into regions.

A feature extractor prepares an image for its network, encodes images of one shape together, detects boxes if it can,
and describes any box by a feature vector. The hierarchy::

    FeatureExtractor
      Backbone               pools its feature maps over boxes, or yields their cells as patches (backbone.py)
        TimmBackbone, TorchvisionBackbone                                     networks by name (library_backbones.py)
        VisionTower                                            vision transformers of transformers (vision_tower.py)
        ShippedDetector                                       the microworld's small detector (shipped_detector.py)
      TorchvisionDetector    detection models of torchvision (torchvision_detector.py)
      X152                   the detector of ViLBERT and 12-in-1 (x152/)

:func:`twelve.regions.detectors.build.build` builds the one that a configuration names.

Axes: I images, R boxes of one image, F features, C classes (background not counted).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from PIL import Image
from torch import Tensor, nn

from twelve.errors import ConfigError

CODE_VERSION = 1
"""Part of the fingerprint; raised when a change of this package changes features."""

Ability: TypeAlias = Literal["detect", "patches", "probabilities"]
_LACKING: dict[Ability, tuple[str, str]] = {
    "detect": (
        "detects no boxes",
        "give --boxes FILE or grid:SIZE, or a --backbone that is a detector",
    ),
    "patches": ("describes boxes and has no patches", "give --boxes detect, FILE or grid:SIZE"),
    "probabilities": ("has no class probabilities", "leave --class-probabilities out, or choose a detector"),
}


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image ready for a network.

    Attributes:
        pixels: (H, W, 3) or (3, H, W), of the type that the network takes. Images of equal shape may share a batch.
        width, height: of the image, pixels.
    """

    pixels: Tensor
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes of one image and what the network says of them, as tensors; detected boxes are sorted by score.

    :class:`twelve.types.regions.Regions` is the stored form. A field that does not apply is None.

    Attributes:
        boxes: (R, 4) float32 xyxy, pixels of the image.
        scores: (R,) float32 probability, 0..1.
        class_ids: (R,) int64 index into the network's classes.
        features: (R, F) float32.
        class_probabilities: (R, 1 + C) float32, background first.
    """

    boxes: Tensor
    scores: Tensor | None = None
    class_ids: Tensor | None = None
    features: Tensor | None = None
    class_probabilities: Tensor | None = None


class FeatureExtractor(nn.Module, ABC):
    """A network with its preprocessing.

    Attributes:
        name: identifies the network in messages and in the fingerprint.
        feature_size: F.
        classes: names of the classes that it detects; empty if it detects no boxes.
        most, threshold: defaults for the number of detected boxes and their lowest score.
        has_patches: whether :meth:`patches` works.
        has_probabilities: whether :meth:`probabilities` works.
        alone: images go through the network one at a time, because a batch would change their features.
        precision: ``fp32``, or a lower one; :meth:`exact` then gives the same network in fp32.
        raw: images are passed as Pillow opens them, neither rotated upright nor converted to RGB.
    """

    name: str
    feature_size: int
    classes: tuple[str, ...] = ()
    most: int = 100
    threshold: float = 0.05
    has_patches: bool = False
    has_probabilities: bool = False
    alone: bool = False
    precision: str = "fp32"
    raw: bool = False

    @abstractmethod
    def prepare(self, image: Image.Image) -> PreparedImage:
        """Prepare an image for the network. Called from several threads."""

    @abstractmethod
    def encode(self, images: Sequence[Any]) -> Any:
        """Run the network over prepared images of one shape; the methods below take the result."""

    @abstractmethod
    def describe(self, encoded: Any, boxes: Sequence[Tensor]) -> list[Tensor]:
        """For each image, features (R, F) of its boxes, (R, 4) float32 xyxy pixels of the image. R may be 0."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that the feature of a given box depends on, for metadata and fingerprint."""

    def exact(self) -> FeatureExtractor | None:
        """A new copy of this network in fp32; None if this one is in fp32."""
        return None

    def detect(self, encoded: Any, most: int, threshold: float) -> list[Detections]:
        """The best ``most`` boxes of each image with a score of at least ``threshold``, best first.

        Raises:
            ConfigError: the network detects no boxes.
        """
        raise lacking(self.name, "detect")

    def patches(self, encoded: Any) -> tuple[Tensor, int, int]:
        """Each cell of the feature map as a region: (I, rows * columns, F) in row order, rows, columns.

        Raises:
            ConfigError: the network has no patches.
        """
        raise lacking(self.name, "patches")

    def probabilities(self, features: Tensor) -> Tensor:
        """(R, 1 + C) class distributions, background first, of boxes with features (R, F).

        Raises:
            ConfigError: the network has no classes.
        """
        raise lacking(self.name, "probabilities")


def lacking(name: str, ability: Ability) -> ConfigError:
    """The error for something that the network ``name`` cannot do."""
    problem, remedy = _LACKING[ability]
    return ConfigError(f"{name} {problem}", remedy=remedy)


def fingerprint(settings: dict[str, Any]) -> str:
    """Short hash of everything that the features of a given box depend on; where boxes come from is not part of it."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
