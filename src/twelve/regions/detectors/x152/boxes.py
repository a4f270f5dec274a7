"""Boxes that a caller gives, checked; and the classes that the original program writes."""

from __future__ import annotations

from torch import Tensor

from twelve.errors import RegionError


def checked(boxes: Tensor, *, legacy: bool = False) -> Tensor:
    """(R, 4) xyxy pixels of the image as float32.

    Args:
        legacy: accept boxes of no or negative area, as the original program does.

    Raises:
        RegionError: the boxes are not (R, 4) or not finite, or one ends before it begins.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RegionError(f"boxes must be (R, 4), not {tuple(boxes.shape)}")
    if not bool(boxes.isfinite().all()):
        raise RegionError("boxes must be finite", remedy="correct or remove those that are not")
    flawed = (boxes[:, 2:] < boxes[:, :2]).any(dim=1).nonzero().flatten()
    if len(flawed) and not legacy:
        box = ", ".join(f"{value:g}" for value in boxes[flawed[0]].tolist())
        raise RegionError(f"box {int(flawed[0])} ({box}) ends before it begins", remedy="give x1, y1, x2, y2")
    return boxes.float()


def original_objects(probabilities: Tensor, background: bool = False) -> Tensor:
    """``objects`` as the original extraction script computes it, including its mistake: it drops the first row instead
    of the first column, so there is one class too few, each is one row late, and class 0 is background.

    Args:
        probabilities: (R, 1 + C), background first.
    """
    return probabilities[0 if background else 1 :].argmax(dim=1)
