"""The region detector behind the features of ViLBERT and 12-in-1.

    detector = build("detectron_model.pth")
    encoded = detector.encode([detector.prepare(decode(Path("street.jpg")))])  # twelve.regions.images.decode
    detections, = detector.detect(encoded)
    features, = detector.describe(encoded, [boxes])

I images, R regions, F features of a region, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.feature_extractor import CODE_VERSION, Detections, FeatureExtractor
from twelve.regions.detectors.x152 import preprocessing
from twelve.regions.detectors.x152.network import X152Network
from twelve.regions.detectors.x152.pooling import pool
from twelve.regions.detectors.x152.preprocessing import LONG_SIDE, SHORT_SIDE, Scaled
from twelve.regions.detectors.x152.proposals import propose
from twelve.regions.detectors.x152.selection import select
from twelve.regions.detectors.x152.sizes import PAPER, X152Sizes
from twelve.regions.detectors.x152.weights import load
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize

NAME = "x152"
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Images that went through the network together.

    Attributes:
        images: the prepared images.
        maps: the five levels of the pyramid, (I, D, h, w).
        padded: (width, height) of the network's input, padding included.
    """

    images: Sequence[Scaled]
    maps: Sequence[Tensor]
    padded: tuple[int, int]


class X152(FeatureExtractor):
    """Detects regions and describes them, or describes given boxes.

    Args:
        network: with its weights.
        legacy: reproduce the original extraction scripts, including what is considered a mistake: boxes are clipped to
            the padding instead of the image and, if given, scaled by the padded size; palette, 16-bit and rotated
            images are used as stored, RGBA and CMYK refused.
        short_side, long_side: see :func:`twelve.regions.detectors.x152.preprocessing.prepare`.
        weights_hash: of the weights, before norms were folded or weights rounded.
        precision: of the network, ``fp32`` or ``bf16``.
        exact: for ``bf16``, builds the same detector in fp32.

    Attributes:
        classes: numbered names; the vocabulary is not part of the weights.
    """

    name = NAME
    threshold = 0.0
    has_probabilities = True
    alone = True

    def __init__(
        self,
        network: X152Network,
        sizes: X152Sizes,
        *,
        legacy: bool = False,
        short_side: int = SHORT_SIDE,
        long_side: int = LONG_SIDE,
        weights_hash: str = "",
        precision: str = "fp32",
        exact: Callable[[], X152] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.sizes, self.legacy, self.raw = network, sizes, legacy, legacy
        self.short_side, self.long_side = short_side, long_side
        self.classes = tuple(f"object {number}" for number in range(sizes.classes))
        self.feature_size = sizes.features
        self._hash, self.precision, self._exact = weights_hash, precision, exact

    def prepare(self, image: Image.Image) -> Scaled:
        """Prepare an image for the network.

        Raises:
            RegionError: the image is neither RGB nor grey (``legacy``: it has another number of channels).
        """
        return preprocessing.prepare(image, short_side=self.short_side, long_side=self.long_side, legacy=self.legacy)

    @torch.inference_mode()
    def encode(self, images: Sequence[Scaled]) -> Encoded:
        """Run the network over images, padded to the size of the largest. Padding changes features slightly."""
        pixels = preprocessing.batch(images).to(self._device)
        return Encoded(images, self.network.maps(pixels), (pixels.shape[3], pixels.shape[2]))

    def detect(self, encoded: Encoded, most: int = 100, threshold: float = 0.0) -> list[Detections]:
        """The regions of each image, best first; only those with a score if there is a threshold.

        Without a threshold, regions without a score fill the list, as in the original records. See :meth:`ranked`.
        """
        found = self.ranked(encoded, self.proposals(encoded), most, threshold)
        return [scored(one) for one in found] if threshold > 0 else found

    def describe(self, encoded: Encoded, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Features (R, F) float32 of each image's boxes, (R, 4) xyxy pixels.

        Raises:
            RegionError: a box is not finite or ends before it begins.
        """
        return [one.features for one in self.classify(encoded, boxes) if one.features is not None]

    @torch.inference_mode()
    def proposals(self, encoded: Encoded) -> list[Tensor]:
        """For each image (R, 4) xyxy in pixels of the network's input, best first."""
        logits, moves = self.network.rpn_head(encoded.maps)
        return [boxes for boxes, _ in propose(logits, moves, self.extents(encoded), self.sizes)]

    def extents(self, encoded: Encoded) -> list[tuple[int, int]]:
        """(width, height) in the network's input to which the boxes of each image are clipped."""
        return [encoded.padded if self.legacy else each.extent for each in encoded.images]

    @torch.inference_mode()
    def ranked(
        self,
        encoded: Encoded,
        proposals: Sequence[Tensor],
        most: int = 100,
        threshold: float = 0.0,
        *,
        background: bool = False,
    ) -> list[Detections]:
        """The best ``most`` of each image's proposals.

        Boxes are the proposals themselves, not refined for their class; a box less than a pixel wide may end before it
        begins. A score is the highest probability of a class in which the box survives non-maximum suppression; a
        region without one has score 0 and follows those with one.

        Args:
            proposals: for each image (R, 4) xyxy, pixels of the network's input.
            threshold: only probabilities above it count.
            background: also rank boxes by their probability of being background.
        """
        found = []
        for each, boxes, features, probabilities in self._classified(encoded, proposals):
            original = boxes / each.scale
            rows, scores = select(original, probabilities, most, threshold, background=background)
            found.append(_detections(original[rows], features[rows], probabilities[rows], scores))
        return found

    @torch.inference_mode()
    def classify(self, encoded: Encoded, boxes: Sequence[Tensor]) -> list[Detections]:
        """Features and class probabilities of given boxes, in their order; see :meth:`describe`."""
        own = [checked_boxes(each, legacy=self.legacy).to(self._device) for each in boxes]
        classified = self._classified(encoded, self.scaled(encoded, own))
        return [
            _detections(given, features, probabilities, probabilities[:, 1:].amax(dim=1))
            for given, (_, _, features, probabilities) in zip(own, classified, strict=True)
        ]

    def scaled(self, encoded: Encoded, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Boxes, (R, 4) xyxy pixels of each image, in pixels of the network's input."""
        grown = []
        for each, own in zip(encoded.images, boxes, strict=True):
            width, height = encoded.padded
            by = (width / each.width, height / each.height) if self.legacy else (each.scale,) * 2
            grown.append(own * own.new_tensor(by * 2))
        return grown

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        hidden = functional.relu(self.network.fc7(features.to(self.network.fc7.weight)))
        return self.network.cls_score(hidden).float().softmax(-1)  # type: ignore[no-any-return]

    def exact(self) -> X152 | None:
        return None if self._exact is None else self._exact()

    def settings(self) -> dict[str, Any]:
        return {
            "backbone": self.name,
            "weights": self._hash,
            "input": {"short_side": self.short_side, "long_side": self.long_side},
            "legacy": self.legacy,
            "precision": self.precision,
            "mode": "boxes",
            "code": CODE_VERSION,
        }

    def _classified(self, encoded: Encoded, boxes: Sequence[Tensor]) -> Iterator[tuple[Scaled, Tensor, Tensor, Tensor]]:
        """For each image: itself, its boxes in the network's input, their features and class probabilities."""
        features, logits = self.network.describe(pool(encoded.maps, boxes))
        if not bool(features.isfinite().all()):
            raise RegionError(
                "the network gives features that are not finite",
                remedy="give weights of finite numbers: detectron_model.pth as it was released",
            )
        counts = [len(own) for own in boxes]
        parts = (torch.split(features, counts), torch.split(logits.softmax(dim=1), counts))
        yield from zip(encoded.images, boxes, *parts, strict=True)

    @property
    def _device(self) -> torch.device:
        return self.network.fc6.weight.device


def _detections(boxes: Tensor, features: Tensor, probabilities: Tensor, scores: Tensor) -> Detections:
    classes = probabilities[:, 1:].argmax(dim=1)
    return Detections(boxes.cpu(), scores.cpu(), classes.cpu(), features.cpu(), probabilities.cpu())


def scored(found: Detections) -> Detections:
    """The regions with a score above 0, which come first."""
    assert found.scores is not None and found.class_ids is not None
    assert found.features is not None and found.class_probabilities is not None
    most = int((found.scores > 0).sum())
    columns = (found.boxes, found.scores, found.class_ids, found.features, found.class_probabilities)
    return Detections(*(column[:most] for column in columns))


def build(
    weights: str | Path | None,
    *,
    legacy: bool = False,
    precision: str = "fp32",
    short_side: int = SHORT_SIDE,
    long_side: int | None = None,
    sizes: X152Sizes = PAPER,
    fold: bool = True,
) -> X152:
    """Build the detector on the CPU, with channels last in memory.

    Args:
        weights: the released ``detectron_model.pth`` or a safetensors file with the same names, ``package:NAME``, or
            ``random`` (invented weights, the same every time, to try things out).
        legacy: see :class:`X152`.
        precision: ``fp32``; or ``bf16``, about twice as fast on processors made for it, with different regions.
        short_side, long_side: of the network's input, in pixels; the long side follows from the short one by default.
        sizes: the paper's network, or a smaller one for tests.
        fold: fold batch norms into convolutions, which is faster; features change by rounding only.

    Raises:
        ConfigError: no weights are given, there is no such package of weights, or no such precision.
        RegionError: the weights are missing, damaged or belong to another network.
    """
    if not weights or weights == "pretrained":
        raise ConfigError(
            f"{NAME} has no download of its own" if weights else "no weights given",
            remedy="give --weights detectron_model.pth (see docs/regions.md), or random to try things out",
        )
    if precision not in _DTYPES:
        raise ConfigError(f"{NAME} has no precision {precision}", remedy="choose --precision fp32 or bf16")
    long = round(LONG_SIDE * short_side / SHORT_SIDE) if long_side is None else long_side
    with torch.device("meta"):  # the weights are read once, into place
        network = X152Network(sizes)
    load(network, weights)
    content = weight_files.content_hash(network)
    if fold:
        network.fold()
    network.to(dtype=_DTYPES[precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)
    options = {"legacy": legacy, "short_side": short_side, "long_side": long}
    exact = None if precision == "fp32" else partial(build, weights, **options, sizes=sizes, fold=fold)  # type: ignore[arg-type]
    return X152(network, sizes, **options, weights_hash=content, precision=precision, exact=exact)  # type: ignore[arg-type]


def build_from(config: ExtractorConfig) -> X152:
    """Build the detector that a configuration describes; of ``config.input_size``, the short side counts."""
    short = config.input_size.short_side if isinstance(config.input_size, InputSize) else SHORT_SIDE
    return build(config.weights, legacy=config.legacy, precision=config.precision, short_side=short)


def checked_boxes(boxes: Tensor, *, legacy: bool = False) -> Tensor:
    """(R, 4) xyxy pixels of the image as float32.

    Args:
        legacy: accept boxes of no or negative area, as the original program does.

    Raises:
        RegionError: the boxes are not (R, 4) or not finite, or one ends before it begins.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RegionError(f"boxes must be (R, 4), not {tuple(boxes.shape)}")
    if not bool(boxes.isfinite().all()):
        raise RegionError("boxes must be finite", remedy="correct or remove those that are not")
    flawed = (boxes[:, 2:] < boxes[:, :2]).any(dim=1).nonzero().flatten()
    if len(flawed) and not legacy:
        box = ", ".join(f"{value:g}" for value in boxes[flawed[0]].tolist())
        raise RegionError(f"box {int(flawed[0])} ({box}) ends before it begins", remedy="give x1, y1, x2, y2")
    return boxes.float()
