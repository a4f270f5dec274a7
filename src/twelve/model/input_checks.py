"""Checks of what a model is called with: shapes, and values that a mistake is easily made in.

Axes: T texts, I images, L text length, R regions (region 0 global), F feature size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twelve.errors import ConfigError, RegionError
from twelve.model.settings import Settings

_MADE = "make batches with processor(texts, scenes, task=...)"
WHOLE = (0.0, 0.0, 1.0, 1.0, 1.0)
"""The box of region 0, the whole image."""


def check_texts(input_ids: Tensor, text_mask: Tensor | None, config: Settings) -> None:
    """Check word pieces (T, L) and their mask.

    Raises:
        ConfigError: a shape is wrong, or an id is not in the vocabulary.
    """
    if input_ids.ndim != 2 or input_ids.is_floating_point():
        found = f"{_shape(input_ids)} {input_ids.dtype}"
        raise ConfigError(f"expected input_ids of shape (T, L), integers, found {found}", remedy=_MADE)
    if text_mask is not None and text_mask.shape != input_ids.shape:
        problem = f"expected text_mask of shape {_shape(input_ids)}, as input_ids, found {_shape(text_mask)}"
        raise ConfigError(problem, remedy="pass True at word pieces, False at padding; or None without padding")
    if _readable(input_ids) and not 0 <= (most := int(input_ids.max())) < config.vocab_size:
        problem = f"expected word pieces below {config.vocab_size} (vocab_size), found {most}"
        raise ConfigError(problem, remedy="tokenize with the processor that was saved with the model")


def check_images(features: Tensor, boxes: Tensor, region_mask: Tensor | None, config: Settings) -> None:
    """Check region features (I, R, F), boxes (I, R, 5) and their mask.

    Raises:
        RegionError: a shape is wrong, boxes are pixels, or region 0 is not the whole image.
    """
    size = config.v_feature_size
    if features.ndim != 3 or features.shape[2] != size:
        raise RegionError(
            f"expected features of shape (I, R, {size}), found {_shape(features)}",
            remedy="extract regions with the network that the model was trained with",
        )
    wanted = (*features.shape[:2], 5)
    if boxes.shape != wanted:
        pixels = "; four numbers a box are pixels" if boxes.shape == (*wanted[:2], 4) else ""
        raise RegionError(
            f"expected boxes of shape {wanted}: x1/W, y1/H, x2/W, y2/H and share of the area, found "
            f"{_shape(boxes)}{pixels}",
            remedy=_MADE,
        )
    if region_mask is not None and region_mask.shape != wanted[:2]:
        problem = f"expected region_mask of shape {wanted[:2]}, as features, found {_shape(region_mask)}"
        raise RegionError(problem, remedy="pass True at regions, False at padding; or None without padding")
    if not _readable(boxes):
        return
    if float(boxes.amax()) > 1.01:
        problem = f"expected boxes as shares of the image's width, height and area, found {float(boxes.amax()):g}"
        raise RegionError(problem, remedy=f"divide pixels by the image's size, or {_MADE}")
    first = boxes[:, 0]
    if not bool(((first - first.new_tensor(WHOLE)).abs() < 0.01).all()):
        row = int(((first - first.new_tensor(WHOLE)).abs() >= 0.01).any(1).nonzero()[0])
        raise RegionError(
            f"expected region 0 of image {row} to be the whole image, with box {WHOLE} and the mean of its features, "
            f"found box ({', '.join(f'{value:.3g}' for value in first[row].tolist())})",
            remedy=f"put it before the other regions, or {_MADE}",
        )


def _readable(tensor: Tensor) -> bool:
    """Whether values can be looked at: not on a GPU, which would have to be waited for, nor while a graph is made."""
    if tensor.device.type != "cpu" or not tensor.numel() or torch.compiler.is_compiling():
        return False
    return not torch.onnx.is_in_onnx_export()


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
