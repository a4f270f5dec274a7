"""The small detector of the recordings, for tests of the region detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from twelve.regions.detectors.x152 import X152, X152Sizes, build
from twelve.regions.detectors.x152.anchors import cell_anchors
from twelve.regions.detectors.x152.invented_weights import invented
from twelve.regions.detectors.x152.network import X152Network
from twelve.regions.detectors.x152.weights import ANCHORS, original_name, shapes_of

TINY = X152Sizes(
    blocks=(3, 4, 6, 3),
    stem=16,
    width=32,
    groups=4,
    group_width=4,
    pyramid=32,
    features=64,
    classes=40,
    candidates=150,
    survivors=60,
    proposals=100,
)


def tiny(weights: str | Path = "random", *, short_side: int = 160, long_side: int = 288, **options: object) -> X152:
    """The small detector with the recordings' weights."""
    return build(weights, sizes=TINY, short_side=short_side, long_side=long_side, **options)  # type: ignore[arg-type]


def checkpoint() -> dict[str, Tensor]:
    """Its weights as the original program would have saved them."""
    with torch.device("meta"):
        shapes = shapes_of(X152Network(TINY))
    state = {original_name(name): invented(original_name(name), shape) for name, shape in shapes.items()}
    for name, shape in (("weight", (4 * 41, 64)), ("bias", (4 * 41,))):
        key = f"roi_heads.box.predictor.bbox_pred.{name}"
        state[key] = invented(key, shape)
    return state | {f"{ANCHORS}{level}": cell_anchors(level) for level in range(5)}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """An image of coarse coloured noise, in which the small detector finds something."""
    coarse = np.random.default_rng(seed).integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
