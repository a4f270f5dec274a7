"""Box pooling against torchvision's RoIAlign and against numerical integration."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from twelve.regions.detectors.pooling import axis_weights, pool_boxes


def boxes(images: int, count: int, seed: int = 0) -> torch.Tensor:
    corners = torch.rand(images, count, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(dim=2).values
    found = corners.flatten(2)
    found[:, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    return found


@pytest.mark.parametrize(("height", "width"), [(14, 20), (1, 1), (1, 5), (2, 3), (7, 7)])
def test_equals_densely_sampled_roi_align(height: int, width: int) -> None:
    features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    where = boxes(2, 9)
    pixels = where * torch.tensor([width, height, width, height])
    reference = roi_align(features, list(pixels), 1, 1.0, 100, aligned=True).view(2, 9, 3)
    torch.testing.assert_close(pool_boxes(features, where), reference, atol=3e-3, rtol=0)


def test_a_constant_map_stays_constant_and_the_whole_image_is_the_mean() -> None:
    where = boxes(1, 50)
    torch.testing.assert_close(pool_boxes(torch.full((1, 2, 5, 9), 3.0), where), torch.full((1, 50, 2), 3.0))
    features = torch.randn(1, 4, 5, 9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(pool_boxes(features, where[:, :1])[0, 0], features.mean(dim=(2, 3))[0])


def test_weights_are_the_integral_of_bilinear_interpolation() -> None:
    low, high = torch.tensor([0.2, 1.0, 3.9, 0.0]).double(), torch.tensor([0.3, 4.5, 5.0, 5.0]).double()
    weights = axis_weights(low, high, 5)
    steps = (torch.arange(20000).double() + 0.5) / 20000
    for row, (a, b) in enumerate(zip(low, high, strict=True)):
        position = (a + (b - a) * steps - 0.5).clamp(0, 4)
        below = position.floor().long().clamp(max=3)
        share = position - below
        sampled = torch.zeros(5).double()
        sampled.index_add_(0, below, 1 - share)
        sampled.index_add_(0, below + 1, share)
        torch.testing.assert_close(weights[row], sampled / len(steps), atol=1e-6, rtol=0)


def test_a_box_without_extent_is_a_point() -> None:
    features = torch.arange(12.0).view(1, 1, 3, 4)
    point = torch.tensor([[[0.625, 0.5, 0.625, 0.5]]])  # the centre of column 2, row 1
    assert pool_boxes(features, point).item() == pytest.approx(6.0, abs=0.05)
