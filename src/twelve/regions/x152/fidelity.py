"""How far a faster detector is from the one it stands for, on pictures of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from twelve.regions.x152.detector import X152
from twelve.regions.x152.records import Record

WITHIN = 4.0
"""Pixels of the original picture that a box may be moved by and still be the same region."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The regions of a detector that another also finds, and how it describes them.

    Attributes:
        regions: that the detector finds.
        matched: those of which the other has a box whose sides are all within :data:`WITHIN` pixels.
        same_class: of the matched, those that the other gives the same most probable class.
        feature_median, feature_largest: of the matched, length of the features' difference over the features' length.
    """

    regions: int
    matched: int
    same_class: int
    feature_median: float
    feature_largest: float

    def __str__(self) -> str:
        return (
            f"{self.matched} of {self.regions} regions within {WITHIN:g} pixels, {self.same_class} of the same class; "
            f"features differ by {self.feature_median:.2g} (median), {self.feature_largest:.2g} (most)"
        )


def measure(detector: X152, faster: X152, pictures: Iterable[Image.Image], *, most: int = 100) -> Fidelity:
    """Compare a faster detector, such as one of ``precision="bfloat16"``, with the one it stands for.

    Args:
        detector, faster: of the same weights.
        pictures: as :meth:`twelve.regions.x152.X152.preprocess` takes them.
        most: regions of a picture.
    """
    theirs, ours = [], []
    for picture in pictures:
        theirs += detector.detect([detector.preprocess(picture)], most)
        ours += faster.detect([faster.preprocess(picture)], most)
    return compare(theirs, ours)


def compare(theirs: Sequence[Record], ours: Sequence[Record]) -> Fidelity:
    """Compare what a faster detector says of some pictures with what the one it stands for says of them."""
    pairs = [_matched(one, other) for one, other in zip(theirs, ours, strict=True)]
    errors = torch.cat([error for error, _ in pairs]) if pairs else torch.empty(0)
    known = len(errors) > 0
    return Fidelity(
        regions=sum(len(record.boxes) for record in theirs),
        matched=len(errors),
        same_class=sum(int(agree.sum()) for _, agree in pairs),
        feature_median=float(errors.quantile(0.5)) if known else math.nan,
        feature_largest=float(errors.max()) if known else math.nan,
    )


def _matched(theirs: Record, ours: Record) -> tuple[Tensor, Tensor]:
    """Of the regions found by both: (M,) relative errors of the features, (M,) whether the classes are the same."""
    if not len(ours.boxes):
        return torch.empty(0), torch.empty(0, dtype=torch.bool)
    distance, nearest = torch.cdist(theirs.boxes, ours.boxes, p=torch.inf).min(dim=1)
    rows = (distance <= WITHIN).nonzero().flatten()
    nearest = nearest[rows]
    true = theirs.features[rows]
    error = (ours.features[nearest] - true).norm(dim=1) / true.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return error, theirs.class_ids[rows] == ours.class_ids[nearest]
