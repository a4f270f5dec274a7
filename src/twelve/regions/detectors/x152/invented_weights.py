"""Invented weights that depend only on a tensor's name and shape, the same on every machine.

The recordings of the original program (``tests/goldens/extractor``) use these weights, so that no real ones need be
distributed; ``goldens.json`` describes them under "weights". They are reproducible because the stream of numpy's
``RandomState`` is frozen.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SALT = "s0:"

_GAINS = {
    "fpn_inner": 0.6,
    "rpn.head.bbox_pred": 0.15,
    "feature_extractor.fc": 1.2,
    "predictor.cls_score": 1.5,
    "predictor.bbox_pred": 0.1,
}


def invented(name: str, shape: Sequence[int], salt: str = SALT) -> Tensor:
    """The float32 tensor for one of the original names (without ``module.``) and a shape."""
    stream = np.random.RandomState(zlib.crc32((salt + name).encode("utf-8")))
    leaf = name.rpartition(".")[2]
    if ".bn" in name or ".downsample.1." in name:
        values = _of_norm(name, leaf, shape, stream)
    elif leaf == "bias":
        values = 0.1 * stream.standard_normal(shape)
    else:
        fan_in = math.prod(shape[1:])
        values = stream.standard_normal((shape[0], fan_in))
        if fan_in > 1:  # rows with a mean of 0 keep the maps from becoming constant
            values -= values.mean(axis=1, keepdims=True)
        gain = next((gain for part, gain in _GAINS.items() if part in name), 1.0)
        values = (values * math.sqrt(2 / fan_in) * gain).reshape(shape)
    return torch.from_numpy(values.astype(np.float32))


def _of_norm(name: str, leaf: str, shape: Sequence[int], stream: np.random.RandomState) -> NDArray[np.float64]:
    """Values of a batch norm. The last norm of a block is weak, so that 50 blocks do not add up; the stem's variance is
    large, because pixels are."""
    if leaf == "weight":
        return stream.uniform(0.5, 1.5, shape) * (0.12 if ".bn3." in name else 1.0)
    if leaf == "running_var":
        return stream.uniform(0.5, 1.5, shape) * (1e4 if ".stem." in name else 1.0)
    return 0.2 * stream.standard_normal(shape)
