"""Mean feature of a box: RoIAlign with average pooling, in the limit of infinitely dense sampling.

RoIAlign (He et al. 2017) averages bilinear samples inside the box. In the limit, the average is an integral with a
closed form (PrRoIPooling, Jiang et al. 2018). Bilinear interpolation is separable, so the integral is
``wy @ feature map @ wx`` with one row of weights per box and axis. One matrix product therefore pools all boxes of a
batch, at a cost that does not depend on their sizes.
"""

from __future__ import annotations

import torch


def axis_weights(low: torch.Tensor, high: torch.Tensor, cells: int) -> torch.Tensor:
    """Weight of each cell of an axis in the mean over an interval.

    Args:
        low, high: (..., R) ends of the intervals in cells; cell k spans k..k + 1, with its value at k + 0.5.
        cells: K.

    Returns:
        (..., R, K) weights that sum to 1. Beyond the outermost values the map is constant, as in RoIAlign.
    """
    low, high = low - 0.5, high - 0.5
    shift = torch.arange(cells - 1, dtype=low.dtype, device=low.device)

    def ramp(position: torch.Tensor) -> torch.Tensor:
        """Integral up to ``position`` of clamp(x - k, 0, 1), for k = 0..K-2: (..., R, K-1)."""
        t = position[..., None] - shift
        return torch.where(t > 1, t - 0.5, t.clamp(min=0).square() / 2)

    # The weight of cell k is the hat clamp(x - k + 1, 0, 1) - clamp(x - k, 0, 1), without its outer side at a border.
    steps = (ramp(high) - ramp(low)) / (high - low)[..., None]
    one, zero = torch.ones_like(low)[..., None], torch.zeros_like(low)[..., None]
    return torch.cat((one, steps), dim=-1) - torch.cat((steps, zero), dim=-1)


def pool_boxes(features: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Mean of a feature map over boxes.

    Args:
        features: (I, C, h, w).
        boxes: (I, R, 4) xyxy as fractions of the image's width and height.

    Returns:
        (I, R, C).
    """
    height, width = features.shape[-2:]
    # Double precision: the weights of a small box are differences of large integrals.
    scaled = boxes.double() * boxes.new_tensor((width, height, width, height))
    # A box without extent is a point: enlarge it to a hundredth of a cell.
    low, high = scaled[..., :2], scaled[..., 2:]
    grow = (0.01 - (high - low)).clamp(min=0) / 2
    low, high = low - grow, high + grow
    across = axis_weights(low[..., 0], high[..., 0], width).to(features.dtype)
    down = axis_weights(low[..., 1], high[..., 1], height).to(features.dtype)
    weights = (down[..., :, None] * across[..., None, :]).flatten(2)
    return torch.bmm(weights, features.permute(0, 2, 3, 1).flatten(1, 2))
