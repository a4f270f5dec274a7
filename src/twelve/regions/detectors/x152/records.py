"""What the detector says of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from twelve.errors import ConfigError, RegionError

Layout: TypeAlias = Literal["xyxy", "xywh"]


@dataclass(frozen=True, slots=True)
class Record:
    """The regions of one image, best first, or in the order of the boxes given. All on the processor.

    Attributes:
        boxes: (R, 4) float32 xyxy, pixels of the original image. They are the proposals themselves, not moved to fit
            their class; one less than a pixel wide may end before it begins.
        features: (R, F) float32, not negative.
        scores: (R,) float32 largest probability of a class in which the box survived suppression, 0 from row ``count``
            on; of a box given, its largest probability of a class.
        class_ids: (R,) int64, 0 the first class that is not background.
        class_probabilities: (R, 1 + C) float32, background first.
        count: rows that the detector stands by: those with a score.
        width, height: of the image.
        original_objects: what the original program writes as ``objects``; None unless that was asked for.
    """

    boxes: Tensor
    features: Tensor
    scores: Tensor
    class_ids: Tensor
    class_probabilities: Tensor
    count: int
    width: int
    height: int
    original_objects: Tensor | None = None


def original_objects(probabilities: Tensor, background: bool = False) -> Tensor:
    """``objects`` as the original extraction script computes it, flaw and all: it leaves out the first row where it
    means to leave out the first column, so there is one class too few, each a row late, and class 0 is background."""
    return probabilities[0 if background else 1 :].argmax(dim=1)


def as_xyxy(boxes: Tensor, layout: Layout, *, legacy: bool = False) -> Tensor:
    """Boxes given by the caller, checked, as (R, 4) float32 xyxy.

    Args:
        boxes: (R, 4) in pixels of the original image.
        layout: whether the last two numbers are the far corner or width and height.
        legacy: take boxes of no or negative area too, as the original program does.

    Raises:
        RegionError: they are not (R, 4), not finite, or one ends before it begins.
        ConfigError: no such layout.
    """
    if layout not in ("xyxy", "xywh"):
        raise ConfigError(f"boxes cannot be laid out as {layout!r}", remedy="say xyxy or xywh")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RegionError(f"boxes must be (R, 4), not {tuple(boxes.shape)}")
    boxes = boxes.to(dtype=torch.float64)
    if not bool(boxes.isfinite().all()):
        raise RegionError("boxes must be finite", remedy="correct or remove those that are not")
    if layout == "xywh":
        boxes = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1)
    flawed = (boxes[:, 2:] < boxes[:, :2]).any(dim=1).nonzero().flatten()
    if len(flawed) and not legacy:
        box = ", ".join(f"{value:g}" for value in boxes[flawed[0]].tolist())
        raise RegionError(
            f"box {int(flawed[0])} ({box}) ends before it begins",
            remedy="correct it, or state the layout xywh if the last two numbers are width and height",
        )
    return boxes.float()
