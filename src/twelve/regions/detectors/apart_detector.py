"""The microworld's detector for worlds whose tasks share nothing: every camera's regions have features of their own.

Each task's images are taken with a camera of its own, which leaves a mark (:mod:`twelve.regions.camera_marks`). The
boxes are the shipped detector's. A region is described by what this detector says of it, its evidence for each kind,
colour, size and pattern (the centred logits of its heads), in a basis of the camera's and in the camera's block of the
features; all other blocks are 0. So no feature is active in the images of two cameras, and all cameras' features tell
the same about their regions.

Axes: I images, R boxes of one image, L logits, C cameras, F = C x L features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from twelve.regions.camera_marks import CAMERAS, camera_of
from twelve.regions.detectors import shipped_detector
from twelve.regions.detectors.backbone import FeatureMaps
from twelve.regions.detectors.feature_extractor import PreparedImage
from twelve.regions.detectors.shipped_detector import Detector, ShippedDetector
from twelve.regions.extractor_config import ExtractorConfig

NAME = "microworld-apart"


@dataclass(frozen=True, slots=True)
class _MarkedMaps(FeatureMaps):
    """Feature maps, and the (I,) camera of each image."""

    cameras: Sequence[int]


class ApartDetector(ShippedDetector):
    """The detector with a block of features for each camera."""

    bases: Tensor

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector, NAME)
        heads: list[nn.Linear] = [
            detector.second.box_predictor.cls_score,
            *cast(Sequence[nn.Linear], detector.second.attribute_heads.values()),
        ]
        self.heads, logits = heads, sum(head.out_features for head in heads)
        turns = np.random.default_rng(0).standard_normal((CAMERAS, logits, logits))
        self.register_buffer("bases", torch.from_numpy(np.linalg.qr(turns)[0]).float(), persistent=False)
        self.channels = (CAMERAS * logits,)
        self.configure()

    def encode(self, images: Sequence[PreparedImage]) -> FeatureMaps:
        found = super().encode(images)
        return _MarkedMaps(found.maps, found.extents, [camera_of(image.pixels.numpy()) for image in images])

    @torch.inference_mode()
    def describe(self, encoded: FeatureMaps, boxes: Sequence[Tensor]) -> list[Tensor]:
        assert isinstance(encoded, _MarkedMaps)
        seen = super().describe(encoded, boxes)
        return [self._placed(rows, camera) for rows, camera in zip(seen, encoded.cameras, strict=True)]

    def _placed(self, features: Tensor, camera: int) -> Tensor:
        """(R, F) from the detector's own features of one image's boxes."""
        said = [logits - logits.mean(1, keepdim=True) for logits in (head(features) for head in self.heads)]
        placed = features.new_zeros(len(features), CAMERAS, len(self.bases[0]))
        placed[:, camera] = torch.cat(said, 1) @ self.bases[camera]
        return placed.flatten(1)

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        blocks = features.reshape(*features.shape[:-1], *self.bases.shape[:2])
        logits = torch.einsum("...cl,ckl->...k", blocks, self.bases)
        return logits[..., : 1 + len(self.classes)].softmax(-1)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"cameras": CAMERAS}


def build(config: ExtractorConfig, *, seed: int = 0) -> ApartDetector:
    """Build the shipped detector with a block of features for each camera; see :func:`shipped_detector.build`."""
    plain = shipped_detector.build(replace(config, backbone="microworld"), seed=seed)
    backbone = ApartDetector(plain.detector)
    backbone.weights_hash = plain.weights_hash
    backbone.configure(config.input_size)
    backbone.eval()
    return backbone
