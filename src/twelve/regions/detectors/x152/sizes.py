"""The size of a detector of this family: the paper's, or a small one for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class X152Sizes:
    """Depth and width of the network, and the number of boxes it considers.

    Attributes:
        blocks: residual blocks of the four stages.
        stem: channels of the first convolution.
        width: output channels of the first stage; each further stage doubles them.
        groups, group_width: groups of the 3x3 convolutions, and channels per group in the first stage (doubling).
        pyramid: channels of each level of the feature pyramid.
        features: F, length of a region's features.
        classes: C, object classes, background not counted.
        candidates: number of anchors per level that are decoded.
        survivors: largest number of boxes per level after non-maximum suppression.
        proposals: number of boxes of all levels that are classified.
    """

    blocks: tuple[int, int, int, int] = (3, 8, 36, 3)
    stem: int = 64
    width: int = 256
    groups: int = 32
    group_width: int = 8
    pyramid: int = 512
    features: int = 2048
    classes: int = 1600
    candidates: int = 1000
    survivors: int = 1000
    proposals: int = 1000


PAPER = X152Sizes()
"""ResNeXt-152 32x8d with a pyramid of 512 channels, as used by ViLBERT and 12-in-1."""

STRIDES = (4, 8, 16, 32, 64)
"""Distance of neighbouring cells of each pyramid level, in pixels of the network's input."""

POOL = 7
"""Cells per side of a pooled box."""
