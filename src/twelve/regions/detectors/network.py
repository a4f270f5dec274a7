"""What looks at images: one interface, whatever the network behind it.

A *looker* prepares an image as its network wants it, looks at images of one shape together, finds boxes if it can,
and describes any boxes. There are three: :class:`MapLooker` here (networks whose feature maps are pooled: backbones of
torchvision and timm, vision towers of transformers, the package's own detector),
:class:`twelve.regions.detectors.torchvision_detector.TorchvisionDetector` and
:class:`twelve.regions.detectors.x152_network.X152Looker`; :func:`twelve.regions.detectors.by_name.build_looker` makes
them by name.

Axes: I images, R boxes of one image, F features, C classes (background not counted).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from twelve.errors import ConfigError
from twelve.regions.detectors.backbones import Backbone
from twelve.regions.images import resized
from twelve.regions.sizes import Size, size_for


class Prepared(Protocol):
    """An image as its network wants it."""

    @property
    def pixels(self) -> Tensor:
        """(H, W, 3) or (3, H, W), of any type: the looker's own business. Images of equal shape share a batch."""

    @property
    def width(self) -> int:
        """Of the image, pixels."""

    @property
    def height(self) -> int:
        """Of the image, pixels."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """The plain :class:`Prepared`."""

    pixels: Tensor
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one image, best first.

    Attributes:
        boxes: (R, 4) float32 xyxy pixels of the image.
        scores: (R,) float32, 0..1.
        class_ids: (R,) int64 index into the looker's classes.
        features: (R, F) of these boxes, where finding them has made them; else None.
    """

    boxes: Tensor
    scores: Tensor
    class_ids: Tensor
    features: Tensor | None = None


class Looker(ABC):
    """A network with its preprocessing.

    Attributes:
        name: for messages.
        feature_size: F.
        classes: names of what it finds; empty if it finds no boxes of its own.
        most, threshold: boxes it keeps and their least score, where nothing else is asked for.
        has_patches: whether the cells of its map can be regions.
        knows_probabilities: whether :meth:`probabilities` works.
        alone: images go through one at a time, since what shares a batch would change their features.
        precision: fp32, or one that makes it another network: then :meth:`exact` is the one it stands for.
        raw: images are taken as Pillow opens them, neither turned upright nor converted to RGB.
    """

    name: str
    feature_size: int
    classes: tuple[str, ...] = ()
    most: int = 100
    threshold: float = 0.05
    has_patches: bool = False
    knows_probabilities: bool = False
    alone: bool = False
    precision: str = "fp32"
    raw: bool = False

    @abstractmethod
    def prepare(self, image: Image.Image) -> Prepared:
        """An image for the network; called in several threads at once."""

    @abstractmethod
    def look(self, images: Sequence[Prepared]) -> Any:
        """All that the methods below need of images of one shape."""

    @abstractmethod
    def describe(self, seen: Any, boxes: Sequence[Tensor]) -> list[Tensor]:
        """(R, F) float features of the boxes of each image, (R, 4) float32 xyxy pixels of the image; R may be 0."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that the features of a given box depend on, for the metadata and the fingerprint."""

    @abstractmethod
    def to(self, device: torch.device) -> Looker:
        """Itself, on a device."""

    def exact(self) -> Looker | None:
        """The looker in fp32 that this one of less precision stands for, built anew; None: it is itself."""
        return None

    def detect(self, seen: Any, most: int, threshold: float) -> list[Found]:
        """The best ``most`` boxes of each image that have a score of at least ``threshold``, best first.

        Raises:
            ConfigError: it finds none.
        """
        raise ConfigError(
            f"{self.name} finds no boxes of its own",
            remedy="give --boxes FILE or grid:SIZE, or a --backbone that is a detector",
        )

    def patches(self, seen: Any) -> tuple[Tensor, int, int]:
        """Every cell of its map as a region: (I, rows * columns, F) in row order, rows, columns.

        Raises:
            ConfigError: it has none.
        """
        raise ConfigError(
            f"{self.name} describes boxes, it has no patches", remedy="give --boxes detect, FILE or grid:SIZE"
        )

    def probabilities(self, features: Tensor) -> Tensor:
        """(R, 1 + C) distribution over the classes of boxes with these features (R, F), background first.

        Raises:
            ConfigError: it knows none.
        """
        raise ConfigError(
            f"{self.name} has no class probabilities", remedy="leave --class-probabilities out, or choose a detector"
        )


@dataclass(frozen=True, slots=True)
class _Maps:
    """Feature maps of some images, and the images' (I, 4) width, height, width, height."""

    maps: list[Tensor]
    extents: Tensor


class MapLooker(Looker):
    """A network whose feature maps are pooled box by box, or are the regions cell by cell.

    Args:
        size: how large images enter it; None as it likes them.
        patches: the cells of its last level are the regions, and have features of that level alone.
    """

    def __init__(self, backbone: Backbone, size: Size | None = None, *, patches: bool = False) -> None:
        self.backbone, self.name, self.classes = backbone, backbone.name, backbone.classes
        self.size = size_for(size or backbone.input_size, backbone.multiple)
        self.mode = "patches" if patches else "boxes"
        self.most, self.threshold = backbone.most, backbone.threshold
        self.has_patches, self.knows_probabilities = not self.classes, bool(self.classes)
        self.feature_size = backbone.channels[-1] if patches else backbone.feature_size

    def prepare(self, image: Image.Image) -> Pixels:
        pixels = resized(image, self.size.of(*image.size), self.backbone.resample)
        return Pixels(torch.from_numpy(pixels), *image.size)

    @torch.inference_mode()
    def look(self, images: Sequence[Prepared]) -> _Maps:
        device = self.backbone.mean.device
        pixels = torch.stack([image.pixels for image in images]).to(device)
        extents = torch.tensor([[p.width, p.height] * 2 for p in images], dtype=torch.float32, device=device)
        return _Maps(self.backbone.look(pixels), extents)

    @torch.inference_mode()
    def describe(self, seen: _Maps, boxes: Sequence[Tensor]) -> list[Tensor]:
        most = max(len(own) for own in boxes)
        # Beyond an image's last box stands the whole image.
        fractions = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(boxes), most, 1).to(seen.extents)
        for row, own, extent in zip(fractions, boxes, seen.extents, strict=True):
            row[: len(own)] = own.to(extent) / extent
        features = self.backbone.pool(seen.maps, fractions)
        return [rows[: len(own)] for rows, own in zip(features, boxes, strict=True)]

    @torch.inference_mode()
    def detect(self, seen: _Maps, most: int, threshold: float) -> list[Found]:
        if not self.classes:
            return super().detect(seen, most, threshold)
        found = self.backbone.detect(seen.maps, threshold, most)
        return [
            Found(each.boxes * extent, each.scores, each.class_ids)
            for each, extent in zip(found, seen.extents, strict=True)
        ]

    @torch.inference_mode()
    def patches(self, seen: _Maps) -> tuple[Tensor, int, int]:
        return self.backbone.cells(seen.maps) if self.has_patches else super().patches(seen)

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        return self.backbone.probabilities(features) if self.classes else super().probabilities(features)

    def settings(self) -> dict[str, Any]:
        return self.backbone.settings(self.size, self.mode)

    def to(self, device: torch.device) -> MapLooker:
        self.backbone.to(device)
        return self
