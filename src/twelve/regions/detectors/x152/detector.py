"""The region detector behind the features of ViLBERT and 12-in-1, from images to records.

    detector = build("detectron_model.pth")
    image = decode(Path("street.jpg"))                      # twelve.regions.images: any kind of image, upright
    record, = detector.detect([detector.preprocess(image)])
    features, = detector.describe([detector.preprocess(image)], [boxes])

I images, R regions, F features of a region, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from PIL import Image
from torch import Tensor, nn

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors.x152 import preprocessing
from twelve.regions.detectors.x152.network import Network
from twelve.regions.detectors.x152.pooling import pool
from twelve.regions.detectors.x152.preprocessing import LONG_SIDE, SHORT_SIDE, Prepared
from twelve.regions.detectors.x152.proposals import propose
from twelve.regions.detectors.x152.records import Layout, Record, as_xyxy, original_objects
from twelve.regions.detectors.x152.selection import select
from twelve.regions.detectors.x152.sizes import PAPER, Sizes
from twelve.regions.detectors.x152.weights import load

Precision: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Look:
    """Images that the network has seen together: all that finding and describing their regions needs.

    Attributes:
        images: as they were prepared.
        maps: the five levels of the pyramid, (I, D, h, w).
        padded: (width, height) that the images were padded to.
    """

    images: Sequence[Prepared]
    maps: Sequence[Tensor]
    padded: tuple[int, int]


class X152(nn.Module):
    """Finds regions in images and describes them, or describes boxes that are given.

    Args:
        network: with its weights.
        legacy: do what the original extraction scripts do where they are thought to be mistaken: images of a call
            are padded together, boxes are clipped to the padding instead of the image and, when given, scaled by the
            padded size; palettes, 16-bit images and rotated ones are taken as they stand, RGBA and CMYK refused.
        short_side, long_side: see :func:`twelve.regions.detectors.x152.preprocessing.prepare`.

    Attributes:
        classes: names of the C classes; the vocabulary does not come with the weights.
        feature_size: F.
    """

    def __init__(
        self,
        network: Network,
        sizes: Sizes,
        *,
        legacy: bool = False,
        short_side: int = SHORT_SIDE,
        long_side: int = LONG_SIDE,
    ) -> None:
        super().__init__()
        self.network, self.sizes, self.legacy = network, sizes, legacy
        self.short_side, self.long_side = short_side, long_side
        self.classes = tuple(f"object {number}" for number in range(sizes.classes))
        self.feature_size = sizes.features

    def preprocess(self, image: Image.Image) -> Prepared:
        """An image ready for the network.

        Raises:
            RegionError: it is neither RGB nor grey (under ``legacy``: has another number of channels).
        """
        return preprocessing.prepare(image, short_side=self.short_side, long_side=self.long_side, legacy=self.legacy)

    @torch.inference_mode()
    def look(self, images: Sequence[Prepared]) -> Look:
        """Run the network over images, padded to the size of the largest; padding changes features a little."""
        pixels = preprocessing.batch(images).to(self._device)
        return Look(images, self.network.maps(pixels), (pixels.shape[3], pixels.shape[2]))

    def detect(
        self, prepared: Sequence[Prepared], most: int = 100, threshold: float = 0.0, *, background: bool = False
    ) -> list[Record]:
        """The regions of each image, best first.

        Images go through the network one by one, so that none depends on the others (under ``legacy``: together).

        Args:
            most: regions of an image.
            threshold: probabilities must be larger than this to count. Rows that lack one are kept, with score 0,
                behind those that have one (:attr:`Record.count`).
            background: let boxes also be ranked by how certainly they are background.
        """
        looks = self._looks(prepared)
        return [record for look in looks for record in self.found(look, most, threshold, background=background)]

    def describe(
        self, prepared: Sequence[Prepared], boxes: Sequence[Tensor], *, layout: Layout = "xyxy"
    ) -> list[Tensor]:
        """Features of given boxes.

        Args:
            boxes: of each image, (R, 4) in pixels of the original image.
            layout: whether their last two numbers are the far corner or width and height.

        Returns:
            Of each image (R, F) float32, in the order of its boxes.

        Raises:
            RegionError: a box is not finite or ends before it begins.
        """
        return [record.features for record in self.describe_fully(prepared, boxes, layout=layout)]

    def describe_fully(
        self, prepared: Sequence[Prepared], boxes: Sequence[Tensor], *, layout: Layout = "xyxy"
    ) -> list[Record]:
        """As :meth:`describe`, with the classes of the boxes."""
        if len(prepared) != len(boxes):
            raise ConfigError(f"{len(prepared)} images with boxes for {len(boxes)}", remedy="give each its own")
        left = iter(boxes)
        return [
            record
            for look in self._looks(prepared)
            for record in self.given(look, [next(left) for _ in look.images], layout=layout)
        ]

    @torch.inference_mode()
    def found(self, look: Look, most: int = 100, threshold: float = 0.0, *, background: bool = False) -> list[Record]:
        """What :meth:`detect` returns, of images that were looked at already."""
        logits, moves = self.network.rpn_head(look.maps)
        proposals = [boxes for boxes, _ in propose(logits, moves, self.extents(look), self.sizes)]
        return self.ranked(look, proposals, most, threshold, background=background)

    def extents(self, look: Look) -> list[tuple[int, int]]:
        """(width, height) of the network's input that the boxes of each image are clipped to."""
        return [look.padded if self.legacy else each.extent for each in look.images]

    @torch.inference_mode()
    def ranked(
        self,
        look: Look,
        proposals: Sequence[Tensor],
        most: int = 100,
        threshold: float = 0.0,
        *,
        background: bool = False,
    ) -> list[Record]:
        """What :meth:`detect` returns, of proposals: of each image (R, 4) xyxy, pixels of the network's input."""
        records = []
        for each, boxes, features, probabilities in self._classified(look, proposals):
            original = boxes / each.scale
            rows, scores = select(original, probabilities, most, threshold, background=background)
            record = _record(each, original[rows], features[rows], probabilities[rows], scores)
            records.append(self._with_objects(record, original_objects(record.class_probabilities, background)))
        return records

    @torch.inference_mode()
    def given(self, look: Look, boxes: Sequence[Tensor], *, layout: Layout = "xyxy") -> list[Record]:
        """What :meth:`describe_fully` returns, of images that were looked at already."""
        own = [as_xyxy(each, layout, legacy=self.legacy).to(self._device) for each in boxes]
        scaled = self.scaled(look, own)
        records = []
        for number, (each, _, features, probabilities) in enumerate(self._classified(look, scaled)):
            scores = probabilities[:, 1:].amax(dim=1)
            record = _record(each, own[number], features, probabilities, scores)
            records.append(self._with_objects(record, record.class_ids))
        return records

    def scaled(self, look: Look, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Boxes of the original images, (R, 4) xyxy each, in pixels of the network's input."""
        grown = []
        for each, own in zip(look.images, boxes, strict=True):
            by = (look.padded[0] / each.width, look.padded[1] / each.height) if self.legacy else (each.scale,) * 2
            grown.append(own * own.new_tensor(by * 2))
        return grown

    def _looks(self, prepared: Sequence[Prepared]) -> Iterator[Look]:
        if not prepared:
            return
        for group in [prepared] if self.legacy else [[each] for each in prepared]:
            yield self.look(group)

    def _classified(self, look: Look, boxes: Sequence[Tensor]) -> Iterator[tuple[Prepared, Tensor, Tensor, Tensor]]:
        """Of each image: itself, its boxes in the network's input, their features and class probabilities."""
        features, logits = self.network.describe(pool(look.maps, boxes))
        if not bool(features.isfinite().all()):
            raise RegionError(
                "the network gives features that are not finite",
                remedy="give weights of finite numbers: detectron_model.pth as it was released",
            )
        counts = [len(own) for own in boxes]
        probabilities = logits.softmax(dim=1)
        yield from zip(
            look.images, boxes, torch.split(features, counts), torch.split(probabilities, counts), strict=True
        )

    def _with_objects(self, record: Record, objects: Tensor) -> Record:
        return replace(record, original_objects=objects) if self.legacy else record

    @property
    def _device(self) -> torch.device:
        return self.network.fc6.weight.device


def _record(image: Prepared, boxes: Tensor, features: Tensor, probabilities: Tensor, scores: Tensor) -> Record:
    return Record(
        boxes=boxes.cpu(),
        features=features.cpu(),
        scores=scores.cpu(),
        class_ids=probabilities[:, 1:].argmax(dim=1).cpu(),
        class_probabilities=probabilities.cpu(),
        count=int((scores > 0).sum()),
        width=image.width,
        height=image.height,
    )


def build(
    weights: str | Path,
    *,
    legacy: bool = False,
    sizes: Sizes = PAPER,
    fold: bool = True,
    precision: Precision = "float32",
    short_side: int = SHORT_SIDE,
    long_side: int = LONG_SIDE,
) -> X152:
    """The detector, ready for use on the processor.

    Args:
        weights: the released ``detectron_model.pth`` or a safetensors file of the same names, ``package:NAME``, or
            ``random`` (invented weights, the same every time: to try things out).
        legacy, short_side, long_side: see :class:`X152`.
        sizes: the paper's network unless a smaller one is wanted.
        fold: fold batch norms into convolutions, which is faster; features differ by rounding.
        precision: ``bfloat16`` is about twice as fast on processors made for it and no longer the same network:
            measure what it costs with :func:`twelve.regions.detectors.x152.fidelity.measure`.

    Raises:
        ConfigError: no such precision, or no such package of weights.
        RegionError: the weights are missing, damaged or another network's.
    """
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f"no precision {precision!r}", remedy="choose float32 or bfloat16")
    with torch.device("meta"):  # weights are read once, into place
        network = Network(sizes)
    load(network, weights)
    if fold:
        network.fold()
    network.to(getattr(torch, precision)).eval().requires_grad_(False)
    return X152(network, sizes, legacy=legacy, short_side=short_side, long_side=long_side).eval()
