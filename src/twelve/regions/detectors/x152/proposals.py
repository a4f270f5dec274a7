"""Region proposals: from the maps of the proposal head to the boxes that the box head classifies.

The arithmetic is that of the original Faster R-CNN: a box from x1 to x2 is x2 - x1 + 1 pixels wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms

from twelve.regions.detectors.x152.anchors import RATIOS, anchors_at
from twelve.regions.detectors.x152.sizes import X152Sizes

OVERLAP = 0.7
"""IoU above which the weaker of two boxes of one level is dropped."""

_MOST_GROWTH = math.log(1000 / 16)


def propose(
    logits: Sequence[Tensor], deltas: Sequence[Tensor], extents: Sequence[tuple[int, int]], sizes: X152Sizes
) -> list[tuple[Tensor, Tensor]]:
    """The proposals of each image, best first.

    Args:
        logits: for each level, (I, 3, H, W).
        deltas: for each level, (I, 12, H, W), four numbers per anchor.
        extents: for each image (width, height) in pixels of the network's input, to which its boxes are clipped.

    Returns:
        For each image boxes, (R, 4) float32 xyxy in pixels of the network's input, and objectness, (R,) in 0..1. Boxes
        of equal objectness are ordered by level and index.
    """
    found = []
    for image, extent in enumerate(extents):
        levels = [
            _of_level(level, scores[image], moves[image], extent, sizes)
            for level, (scores, moves) in enumerate(zip(logits, deltas, strict=True))
        ]
        boxes, objectness = (torch.cat(parts) for parts in zip(*levels, strict=True))
        objectness, order = _best(objectness, sizes.proposals)
        found.append((boxes[order], objectness))
    return found


def _of_level(
    level: int, logits: Tensor, deltas: Tensor, extent: tuple[int, int], sizes: X152Sizes
) -> tuple[Tensor, Tensor]:
    """Boxes and objectness of one level of one image, best first."""
    rows, columns = logits.shape[-2:]
    objectness, places = _best(logits.permute(1, 2, 0).reshape(-1).sigmoid(), sizes.candidates)
    moves = deltas.view(len(RATIOS), 4, rows, columns).permute(2, 3, 0, 1).reshape(-1, 4)[places]
    boxes = clip(decode(moves, anchors_at(level, places, columns)), extent)
    # Boxes are sorted by objectness, so sorting the kept indices sorts the kept boxes.
    kept = nms(closed(boxes), objectness, OVERLAP).sort().values[: sizes.survivors]
    return boxes[kept], objectness[kept]


def _best(values: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The largest ``most`` values and their indices; equal values in the order of their indices."""
    ordered, places = values.sort(descending=True, stable=True)
    return ordered[:most], places[:most]


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """(K, 4) boxes from (K, 4) anchors and deltas: the shift of the centre in widths and heights, and the logarithm of
    the growth."""
    extent = anchors[:, 2:] - anchors[:, :2] + 1
    centre = anchors[:, :2] + 0.5 * extent
    centre = deltas[:, :2] * extent + centre
    half = 0.5 * (deltas[:, 2:].clamp(max=_MOST_GROWTH).exp() * extent)
    return torch.cat((centre - half, centre + half - 1), dim=1)


def clip(boxes: Tensor, extent: tuple[int, int]) -> Tensor:
    """Clip (K, 4) boxes to an image of (width, height) pixels; the last pixel is at width - 1."""
    limits = torch.tensor(extent * 2, dtype=boxes.dtype, device=boxes.device) - 1
    return boxes.clamp(min=0).minimum(limits)


def closed(boxes: Tensor) -> Tensor:
    """Boxes with the far edge of their last pixel as x2, y2, for operators without the + 1."""
    return torch.cat((boxes[:, :2], boxes[:, 2:] + 1), dim=1)
