"""Baselines of the outputs that point at a box: where the right boxes tend to lie, without image and phrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.evaluation.baselines import minimise
from twelve.outputs.region import THRESHOLD, overlap_with
from twelve.types.examples import Box, Example
from twelve.types.predictions import Prediction
from twelve.types.regions import Regions

Lookup = Callable[[str], Regions]

MOST = 3000
"""Most training examples of the trained prior, which has nine weights."""
PENALTY = 1e-3


def confident_and_large(examples: Sequence[Example], lookup: Lookup) -> list[Prediction]:
    """The detected box with the largest confidence x area (of candidates: the largest), whatever the phrase."""
    found = []
    for example in examples:
        boxes, scores = _boxes(example, lookup)
        best = int(np.argmax(scores * (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        found.append(_prediction(example, boxes, best, 0.0))
    return found


def trained_box_prior(train: Sequence[Example], test: Sequence[Example], lookup: Lookup) -> list[Prediction]:
    """A softmax over the boxes of an image, linear in their position, size, shape and confidence, trained on at most
    :data:`MOST` examples."""
    step = max(1, len(train) // MOST)
    rows, meant = [], []
    for example in train[::step]:
        boxes, scores = _boxes(example, lookup)
        right = _right(example, boxes)
        if right.any():
            rows.append(_geometry(boxes, scores, lookup(example.images[0])))
            meant.append(right)
    weights = _fit(rows, meant) if rows else torch.zeros(len(NAMES), dtype=torch.float64)
    found = []
    for example in test:
        boxes, scores = _boxes(example, lookup)
        logits = torch.from_numpy(_geometry(boxes, scores, lookup(example.images[0]))) @ weights
        best = int(logits.argmax())
        found.append(_prediction(example, boxes, best, float(logits.softmax(0)[best])))
    return found


NAMES = ("x", "y", "x squared", "y squared", "off centre", "log width", "log height", "log area squared", "confidence")


def _geometry(boxes: NDArray[np.float64], scores: NDArray[np.float64], seen: Regions) -> NDArray[np.float64]:
    """(R, len(NAMES)) features of each box, in fractions of the image."""
    x1, y1, x2, y2 = (boxes / np.array([seen.width, seen.height] * 2, dtype=np.float64)).T
    x, y = (x1 + x2) / 2 - 0.5, (y1 + y2) / 2 - 0.5
    width, height = np.log(np.maximum(x2 - x1, 1e-3)), np.log(np.maximum(y2 - y1, 1e-3))
    columns = [x, y, x * x, y * y, np.hypot(x, y), width, height, (width + height) ** 2, scores]
    return np.stack(columns, axis=1)


def _fit(rows: Sequence[NDArray[np.float64]], meant: Sequence[NDArray[np.bool_]]) -> Tensor:
    """Weights that maximise the softmax share of the right boxes (L-BFGS, one padded batch)."""
    size = max(len(row) for row in rows)
    inputs, valid, right = (torch.zeros(len(rows), size, *tail) for tail in ((len(NAMES),), (), ()))
    inputs = inputs.double()
    for k, (row, hit) in enumerate(zip(rows, meant, strict=True)):
        inputs[k, : len(row)], valid[k, : len(row)] = torch.from_numpy(row), 1
        right[k, : len(row)] = torch.from_numpy(hit)
    weights = torch.zeros(len(NAMES), dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        shares = (inputs @ weights).masked_fill(valid == 0, -torch.inf).softmax(1)
        return -(shares * right).sum(1).clamp_min(1e-12).log().mean() + PENALTY * weights.square().sum()

    minimise([weights], loss, steps=100, history=100)
    return weights.detach()


def _boxes(example: Example, lookup: Lookup) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(R, 4) the boxes to choose from and (R,) their confidences (1 if there are none)."""
    if example.candidates:
        boxes = np.asarray(example.candidates, dtype=np.float64)
        return boxes, np.ones(len(boxes))
    seen = lookup(example.images[0])
    scores = np.ones(len(seen.boxes)) if seen.scores is None else seen.scores.astype(np.float64)
    return seen.boxes.astype(np.float64), scores


def _right(example: Example, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    if example.candidates:
        return np.asarray(np.arange(len(boxes)) == example.target)
    return overlap_with(boxes, cast(Box, example.target)) >= THRESHOLD


def _prediction(example: Example, boxes: NDArray[np.float64], best: int, share: float) -> Prediction:
    return Prediction(best if example.candidates else tuple(map(float, boxes[best])), share)
