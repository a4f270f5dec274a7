"""Measures what a lower precision costs: a few images of an extraction are also extracted in fp32."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from twelve.progress import Track, counted
from twelve.regions.detectors.feature_extractor import Detections
from twelve.regions.extraction.box_sources import BoxSource
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extraction.pipeline import NotFinite, Pipeline
from twelve.types.half_precision import as_float32
from twelve.types.regions import Regions

COMPARED = 3
"""Number of images to compare; more would cost the time that the lower precision saves."""
WITHIN = 4.0
"""Two boxes are the same region if their sides differ by at most so many pixels of the image."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The regions of an exact extractor that another one reproduces.

    Attributes:
        images: number compared.
        regions: of the exact extractor.
        matched: those for which the other has a box within :data:`WITHIN` pixels.
        same_class: those matched for which both predict the same class; None if there are no classes.
        feature_median, feature_largest: of those matched, the norm of the features' difference, relative to the norm of
            the features.
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
            f"{self.feature_median:.2g} (median), {self.feature_largest:.2g} (most), on {counted(self.images, 'image')}"
        )


def compare(exact: Sequence[Detections], faster: Sequence[Detections]) -> Fidelity:
    """Compare the regions of some images, with features, with those of the exact extractor."""
    pairs = [_matched(one, other) for one, other in zip(exact, faster, strict=True)]
    errors = torch.cat([error for error, _ in pairs]) if pairs else torch.empty(0)
    agreed = [agree for _, agree in pairs]
    return Fidelity(
        images=len(pairs),
        regions=sum(len(each.boxes) for each in exact),
        matched=len(errors),
        same_class=None if None in agreed else sum(filter(None, agreed)),
        feature_median=float(errors.quantile(0.5)) if len(errors) else math.nan,
        feature_largest=float(errors.max()) if len(errors) else math.nan,
    )


def _matched(exact: Detections, faster: Detections) -> tuple[Tensor, int | None]:
    """For the M regions of both: (M,) relative errors of the features, and how many have the same class."""
    if not len(faster.boxes):
        return torch.empty(0), None if faster.class_ids is None else 0
    assert exact.features is not None and faster.features is not None
    distance, nearest = torch.cdist(exact.boxes, faster.boxes, p=torch.inf).min(dim=1)
    rows = (distance <= WITHIN).nonzero().flatten()
    nearest, true = nearest[rows], exact.features[rows]
    smallest = torch.finfo(torch.float32).tiny
    error = (faster.features[nearest] - true).norm(dim=1) / true.norm(dim=1).clamp(min=smallest)
    if exact.class_ids is None or faster.class_ids is None:
        return error, None
    return error, int((exact.class_ids[rows] == faster.class_ids[nearest]).sum())


def fidelities(
    extractor: Extractor, asked: Sequence[tuple[BoxSource, Mapping[str, Path]]], *, progress: bool = True
) -> list[Fidelity | None]:
    """Compare an extractor's regions, as it would store them, with those of the same network in fp32.

    Args:
        asked: box sources, each with its images by id; the first :data:`COMPARED` valid images are compared.
        progress: show progress, and print the result.

    Returns:
        One per box source; None if the extractor is in fp32 or no image is valid.
    """
    network = extractor.network.exact() if asked else None
    if network is None:
        return [None] * len(asked)
    network.to(torch.device(extractor.config.device))
    name = extractor.network.precision
    found: list[Fidelity | None] = []
    for supply, paths in asked:
        runs = [Pipeline(which, extractor.config, [supply], {}) for which in (network, extractor.network)]
        pairs: list[list[Detections]] = []
        with Track(f"comparing {name} with fp32", min(COMPARED, len(paths)), "images", shown=progress) as bar:
            for key, path in paths.items():
                if len(pairs) == COMPARED:
                    break
                try:
                    pairs.append([_tensors(run.one(path, key)[0]) for run in runs])
                except NotFinite:
                    raise
                except Exception:  # the extraction reports what is wrong with this image
                    continue
                bar.advance()
        fidelity = compare([one for one, _ in pairs], [other for _, other in pairs]) if pairs else None
        found.append(fidelity)
        if fidelity is not None and progress:
            print(f"{name} compared with fp32: {fidelity}", file=sys.stderr, flush=True)
    return found


def _tensors(regions: Regions) -> Detections:
    assert regions.features is not None
    classes = None if regions.class_ids is None else torch.from_numpy(regions.class_ids)
    features = torch.from_numpy(as_float32(regions.features))
    return Detections(torch.from_numpy(regions.boxes), class_ids=classes, features=features)
