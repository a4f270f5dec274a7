"""Pools boxes from the feature pyramid, each from the level that fits its size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

from twelve.regions.detectors.x152.sizes import POOL, STRIDES

LEVELS = 4
"""Boxes are pooled from the first four levels; the last is for proposals only."""


def levels_of(boxes: Tensor) -> Tensor:
    """(R,) int64 level of (R, 4) boxes, 0..3 by the square root of the area (Feature Pyramid Networks, equation 1); -1
    for a box of negative area."""
    extent = boxes[:, 2:] - boxes[:, :2] + 1
    level = torch.floor(4 + torch.log2(torch.sqrt(extent[:, 0] * extent[:, 1]) / 224 + 1e-6))
    return (level.clamp(2, LEVELS + 1) - 2).nan_to_num(nan=-1).long()


def pool(maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
    """Pool boxes from the maps.

    Args:
        maps: for each level, (I, D, H, W).
        boxes: for each image, (R, 4) xyxy in pixels of the network's input.

    Returns:
        (sum of R, D, 7, 7) float32, zero for boxes of negative area.
    """
    every = torch.cat(list(boxes))
    owner = torch.repeat_interleave(torch.tensor([len(own) for own in boxes])).to(every)
    rois = torch.cat((owner[:, None], every), dim=1)
    levels = levels_of(every)
    pooled = torch.zeros(len(every), maps[0].shape[1], POOL, POOL, device=every.device)
    for level in range(LEVELS):
        rows = torch.nonzero(levels == level).flatten()
        if len(rows):
            own = maps[level].float()
            pooled[rows] = roi_align(own, rois[rows], POOL, 1 / STRIDES[level], sampling_ratio=2, aligned=False)
    return pooled
