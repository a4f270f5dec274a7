"""How far a faster detector is from the one it stands for, on images of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from twelve.regions.detectors.x152.detector import X152

WITHIN = 4.0
"""Pixels of the original image that a box may be moved by and still be the same region."""


class Described(Protocol):
    """The regions of one image: boxes (R, 4) xyxy pixels, features (R, F) and, where known, class ids (R,)."""

    @property
    def boxes(self) -> Tensor: ...
    @property
    def features(self) -> Tensor: ...
    @property
    def class_ids(self) -> Tensor | None: ...


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The regions of a detector that another also finds, and how it describes them.

    Attributes:
        images: that both looked at.
        regions: that the detector finds.
        matched: those of which the other has a box whose sides are all within :data:`WITHIN` pixels.
        same_class: of the matched, those that the other gives the same most probable class; None: no classes known.
        feature_median, feature_largest: of the matched, length of the features' difference over the features' length.
    """

    images: int
    regions: int
    matched: int
    same_class: int | None
    feature_median: float
    feature_largest: float

    def __str__(self) -> str:
        classes = "" if self.same_class is None else f", {self.same_class} of the same class"
        share = f" ({self.matched / self.regions:.0%})" if self.regions else ""
        return (
            f"{self.matched} of {self.regions} regions within {WITHIN:g} pixels{share}{classes}; features differ by "
            f"{self.feature_median:.2g} (median), {self.feature_largest:.2g} (most), on {self.images} images"
        )


def measure(detector: X152, faster: X152, images: Iterable[Image.Image], *, most: int = 100) -> Fidelity:
    """Compare a faster detector, such as one of ``precision="bfloat16"``, with the one it stands for.

    Args:
        detector, faster: of the same weights.
        images: as :meth:`twelve.regions.detectors.x152.X152.preprocess` takes them.
        most: regions of an image.
    """
    theirs, ours = [], []
    for image in images:
        theirs += detector.detect([detector.preprocess(image)], most)
        ours += faster.detect([faster.preprocess(image)], most)
    return compare(theirs, ours)


def compare(theirs: Sequence[Described], ours: Sequence[Described]) -> Fidelity:
    """Compare what a faster detector says of some images with what the one it stands for says of them."""
    pairs = [_matched(one, other) for one, other in zip(theirs, ours, strict=True)]
    errors = torch.cat([error for error, _ in pairs]) if pairs else torch.empty(0)
    known = len(errors) > 0
    agreed = [agree for _, agree in pairs]
    return Fidelity(
        images=len(pairs),
        regions=sum(len(record.boxes) for record in theirs),
        matched=len(errors),
        same_class=None if None in agreed else sum(filter(None, agreed)),
        feature_median=float(errors.quantile(0.5)) if known else math.nan,
        feature_largest=float(errors.max()) if known else math.nan,
    )


def _matched(theirs: Described, ours: Described) -> tuple[Tensor, int | None]:
    """Of the M regions found by both: (M,) relative errors of the features, how many have the same class."""
    if not len(ours.boxes):
        return torch.empty(0), None if ours.class_ids is None else 0
    distance, nearest = torch.cdist(theirs.boxes, ours.boxes, p=torch.inf).min(dim=1)
    rows = (distance <= WITHIN).nonzero().flatten()
    nearest = nearest[rows]
    true = theirs.features[rows]
    error = (ours.features[nearest] - true).norm(dim=1) / true.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    if theirs.class_ids is None or ours.class_ids is None:
        return error, None
    return error, int((theirs.class_ids[rows] == ours.class_ids[nearest]).sum())
