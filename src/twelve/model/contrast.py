"""The contrast head: a unit vector for each word and each region, so that a gallery is ranked by matrix products.

Two towers over what the trunk knows of either side before they meet ("Align before Fuse", Li et al. 2021). A text and
an image are as similar as, on average, the text's words and the regions closest to them ("FILIP", Yao et al. 2022,
after "ColBERT", Khattab and Zaharia 2020); the temperature is learned, as in CLIP (Radford et al. 2021).

Axes: N texts or images, K their positions, W their width, D width of the vectors.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twelve.model.settings import Settings
from twelve.outputs.parts.contrast import Vectors
from twelve.outputs.parts.losses import precise

if TYPE_CHECKING:
    from twelve.model.model_outputs import ImageStates, TextStates
    from twelve.model.trunk import Trunk

LAYERS = 2
"""Layers of a tower; of texts, those that the trunk runs before fusion count."""
MOST = 100.0
"""Largest factor of the similarities, as in CLIP."""
FIRST = 1 / 0.07
"""The factor of an untrained head, as in CLIP."""
_PREFIX = "contrast."
_POOLED = ".shares.weight"
"""Ends the names of weights that only earlier heads have, which gave one vector for a text and one for an image."""


class Tower(nn.Module):
    """States (N, K, W) -> unit vectors (N, K, D): layers, normalization, projection."""

    def __init__(self, layers: list[nn.Module], width: int, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, size)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Float32 vectors at least; ``mask`` (N, K) bool, True at valid positions, or None."""
        for layer in self.layers:
            states, _ = layer(states, states, mask)
        states = precise(states)  # layers may run in half precision, see model/precision.py
        return F.normalize(precise(self.projection(self.norm(states))), dim=-1)


class Contrast(nn.Module):
    """The towers of texts and images, and the factor of their similarities."""

    def __init__(self, config: Settings, trunk: Trunk) -> None:
        super().__init__()
        before = trunk.layers_before_fusion(config)
        texts = [trunk.layer("text", config) for _ in range(max(0, LAYERS - before["text"]))]
        images = [trunk.layer("image", config) for _ in range(LAYERS)]
        self.text = Tower(texts, config.hidden_size, config.contrast)
        self.image = Tower(images, trunk.visual_size, config.contrast)
        self.log_scale = nn.Parameter(torch.full((1,), math.log(FIRST)))

    @property
    def scale(self) -> Tensor:
        """(1,) the factor of the similarities, at most :data:`MOST`."""
        return precise(self.log_scale).exp().clamp(max=MOST)

    def forward(self, texts: TextStates, images: ImageStates) -> Vectors:
        words, regions = self.text(texts.states, texts.mask), self.image(images.states, images.mask)
        return Vectors(words, regions, texts.mask, images.mask, self.scale)


def is_earlier(differing: Collection[str]) -> bool:
    """Whether weights that do not match a model's configuration, by name, are those of an earlier contrast head."""
    names = [name for name in differing if name.endswith(_POOLED)]
    return bool(names) and all(name.startswith(_PREFIX) for name in differing)
