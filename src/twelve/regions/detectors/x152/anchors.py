"""Anchors: the boxes that proposals start from, three shapes per cell of each level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twelve.regions.detectors.x152.sizes import STRIDES

SIZES = (32, 64, 128, 256, 512)
"""Side of the square anchor of each level, in pixels of the network's input."""

RATIOS = (0.5, 1.0, 2.0)
"""Height divided by width, in the order of the channels."""


def cell_anchors(level: int) -> Tensor:
    """(3, 4) float32 xyxy pixels of the anchors of a level's first cell, as whole numbers.

    Shapes are those of the original Faster R-CNN: sides for an area of ``stride`` squared are rounded, then enlarged to
    the level's size. A box from x1 to x2 is x2 - x1 + 1 wide.
    """
    stride, size = STRIDES[level], SIZES[level]
    centre = (stride - 1) / 2
    boxes = []
    for ratio in RATIOS:
        wide = round(math.sqrt(stride * stride / ratio))
        high = round(wide * ratio)
        across, down = ((side * size / stride - 1) / 2 for side in (wide, high))
        boxes.append((centre - across, centre - down, centre + across, centre + down))
    return torch.tensor(boxes)


def anchors_at(level: int, places: Tensor, columns: int) -> Tensor:
    """Anchors by their index in a level.

    Args:
        places: (K,) int64, ordered by row, column and shape.
        columns: cells per row of the level.

    Returns:
        (K, 4) float32 xyxy, pixels of the network's input.
    """
    cells, shapes = places // len(RATIOS), places % len(RATIOS)
    corner = torch.stack((cells % columns, cells // columns), dim=1) * STRIDES[level]
    return cell_anchors(level).to(places.device)[shapes] + corner.repeat(1, 2)
