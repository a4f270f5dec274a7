"""The numbers that make one detector of this family: the paper's, or a small one for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Depth and widths of the network, and how many boxes it considers.

    Attributes:
        blocks: residual blocks of each of the four stages.
        stem: channels of the first convolution.
        width: channels that leave the first stage; each further stage doubles them.
        groups, group_width: groups of the 3x3 convolutions and the channels of each in the first stage (doubling).
        pyramid: channels of every level of the feature pyramid.
        features: F, length of a region's features.
        classes: C, classes of objects, background not counted.
        candidates: best anchors of each level that are decoded.
        survivors: of those, the most that non-maximum suppression leaves of a level.
        proposals: of all levels' survivors, the best so many are classified.
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


PAPER = Sizes()
"""ResNeXt-152 32x8d with a pyramid of 512 channels: the region features of ViLBERT and 12-in-1."""

STRIDES = (4, 8, 16, 32, 64)
"""Pixels of the network's input from one cell of a pyramid level to the next."""

POOL = 7
"""Cells along each side of a pooled box."""
