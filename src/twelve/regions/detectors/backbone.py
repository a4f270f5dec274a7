"""Networks whose feature maps describe boxes.

A *level* is one feature map: a stride ("4", "8", "16", "32": the network's last map at that stride) or "head" (the
network's last map, such as the 1280 channels after EfficientNet's last convolution). The maps of several levels are
pooled over a box and concatenated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from twelve.regions.detectors.feature_extractor import CODE_VERSION, FeatureExtractor, PreparedImage, lacking
from twelve.regions.detectors.folding import fold_norms
from twelve.regions.detectors.pooling import pool_boxes
from twelve.regions.images import resized
from twelve.regions.sizes import InputSize, Size, size_for


@dataclass(frozen=True, slots=True)
class FeatureMaps:
    """Feature maps of some images, one (I, C, h, w) per level, and the images' (I, 4) width, height, width, height."""

    maps: list[Tensor]
    extents: Tensor


class Backbone(FeatureExtractor):
    """A network whose feature maps are pooled over boxes, or whose cells are the regions.

    Args:
        name: such as ``timm/NAME``.
        levels: names of the levels, in the order of their features.
        mean, std: of each colour, 0..1, for normalisation.

    Attributes:
        channels: number of features of each level; subclasses set it.
        multiple: the sides of the input must be multiples of so many pixels.
        input_size: default size at which images enter the network.
        resample: how images are resized.
    """

    mean: Tensor
    std: Tensor
    input_size: Size = InputSize()
    resample = Image.Resampling.BICUBIC
    multiple = 1
    weights_hash = ""

    def __init__(self, name: str, levels: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.name, self.levels = name, tuple(levels)
        self.channels: tuple[int, ...] = ()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)

    def configure(self, size: Size | None = None, *, patches: bool = False) -> None:
        """Set the input size (None: the network's own) and whether the cells of the last level are the regions, which
        then have the features of that level only."""
        self.size = size_for(size or self.input_size, self.multiple)
        self.mode = "patches" if patches else "boxes"
        self.has_patches, self.has_probabilities = not self.classes, bool(self.classes)
        self.feature_size = self.channels[-1] if patches else sum(self.channels)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """(I, 3, H, W) normalised pixels -> one (I, C, h, w) map per level."""
        raise NotImplementedError

    def normalise(self, pixels: Tensor) -> Tensor:
        """(I, H, W, 3) uint8 -> (I, 3, H, W) float32, normalised, channels last in memory."""
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def pool(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """(I, R, F) float32 features of boxes, (I, R, 4) xyxy as fractions of width and height."""
        return torch.cat([pool_boxes(level, boxes) for level in maps], dim=-1)

    def prepare(self, image: Image.Image) -> PreparedImage:
        pixels = resized(image, self.size.of(*image.size), self.resample)
        return PreparedImage(torch.from_numpy(pixels), *image.size)

    @torch.inference_mode()
    def encode(self, images: Sequence[PreparedImage]) -> FeatureMaps:
        device = self.mean.device
        pixels = torch.stack([image.pixels for image in images]).to(device)
        extents = torch.tensor([[p.width, p.height] * 2 for p in images], dtype=torch.float32, device=device)
        return FeatureMaps(self.maps(self.normalise(pixels)), extents)

    @torch.inference_mode()
    def describe(self, encoded: FeatureMaps, boxes: Sequence[Tensor]) -> list[Tensor]:
        most = max(len(own) for own in boxes)
        # Images with fewer boxes are padded with the whole image as a box.
        fractions = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(boxes), most, 1).to(encoded.extents)
        for row, own, extent in zip(fractions, boxes, encoded.extents, strict=True):
            row[: len(own)] = own.to(extent) / extent
        features = self.pool(encoded.maps, fractions)
        return [rows[: len(own)] for rows, own in zip(features, boxes, strict=True)]

    @torch.inference_mode()
    def patches(self, encoded: FeatureMaps) -> tuple[Tensor, int, int]:
        if not self.has_patches:
            raise lacking(self.name, "patches")
        last = encoded.maps[-1]
        return last.flatten(2).transpose(1, 2), last.shape[2], last.shape[3]

    def settings(self) -> dict[str, Any]:
        # Bicubic resampling, which most networks use, is not recorded.
        other = {} if self.resample == Image.Resampling.BICUBIC else {"resample": self.resample.name.lower()}
        return {
            "backbone": self.name,
            "weights": self.weights_hash,
            "levels": list(self.levels),
            "input": asdict(self.size),
            "mean": [round(float(v) / 255, 6) for v in self.mean.flatten()],
            "std": [round(float(v) / 255, 6) for v in self.std.flatten()],
            "mode": self.mode,
            "code": CODE_VERSION,
        } | other

    def fold(self) -> Backbone:
        """Fold batch norms into the convolutions before them and put channels last in memory, which is faster."""
        fold_norms(self)
        return self.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
