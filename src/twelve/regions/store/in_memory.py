"""A region store in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from twelve.errors import RegionError
from twelve.regions.store.arrow_format import mean_feature
from twelve.regions.store.region_store import normalise_boxes
from twelve.types.half_precision import as_tensor
from twelve.types.regions import RegionBatch, Regions, first_regions, joined


class MemoryStore:
    """Like :class:`twelve.regions.store.region_store.RegionStore`, for regions in memory.

    Args:
        detected: image id -> its regions.
        candidates: image id -> regions of its candidate boxes, if any.
    """

    def __init__(self, detected: dict[str, Regions], candidates: dict[str, Regions] | None = None) -> None:
        self._detected, self._candidates = detected, candidates or {}

    def get(self, image_id: str, max_regions: int | None = None, *, given: bool = False) -> Regions:
        """The first ``max_regions`` detected regions of an image and, with ``given``, its candidates after them."""
        detected = first_regions(self._detected[image_id], max_regions)
        own = self._candidates.get(image_id)
        return joined([detected, own]) if given and own is not None else detected

    def gather(self, image_ids: Sequence[str], max_regions: int | None = None, *, given: bool = False) -> RegionBatch:
        """The regions of several images, padded, after the global one: the mean of ALL detected features.

        Raises:
            RegionError: an image has no features.
        """
        found = [self.get(image_id, max_regions, given=given) for image_id in image_ids]
        whole = [self._detected[image_id].features for image_id in image_ids]
        if any(features is None for features in whole) or any(regions.features is None for regions in found):
            raise RegionError("these regions have no features", remedy="extract the image with a network")
        counts = torch.tensor([1 + len(regions.boxes) for regions in found])
        assert whole[0] is not None
        first = as_tensor(whole[0])
        features = torch.zeros(len(found), int(counts.max()), first.shape[1], dtype=first.dtype)
        boxes = torch.zeros(len(found), int(counts.max()), 5)
        boxes[:, 0] = torch.tensor((0.0, 0.0, 1.0, 1.0, 1.0))
        for row, (regions, everything) in enumerate(zip(found, whole, strict=True)):
            assert everything is not None and regions.features is not None
            features[row, 0] = as_tensor(mean_feature(everything, first.shape[1]))
            features[row, 1 : counts[row]] = as_tensor(regions.features)
            boxes[row, 1 : counts[row]] = normalise_boxes(regions.boxes, regions.width, regions.height)
        return RegionBatch(features, boxes, counts)
