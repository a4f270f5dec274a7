"""Calibrated scores: one temperature per task, fitted on the validation examples.

"On Calibration of Modern Neural Networks" (Guo, Pleiss, Sun, Weinberger 2017): dividing all logits of a task by one
number changes no prediction, and makes the scores equal to the share of right predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.data.batch import Collator
from twelve.progress import Track
from twelve.types.batch import Batch
from twelve.types.examples import Example

if TYPE_CHECKING:
    from twelve.model.vilbert import Twelve

EXAMPLES = 512
"""Most examples that a temperature is fitted on."""
BATCH = 64
"""Pairs in a forward pass."""
BINS = 15
"""Bins of the expected calibration error, as in the paper."""
RANGE = (0.05, 20.0)
"""Range of temperatures that is searched."""


def expected_calibration_error(
    scores: Sequence[float] | NDArray[np.float64], right: Sequence[float] | NDArray[np.float64]
) -> float:
    """Mean distance, 0..1, between scores and the share of right predictions, over :data:`BINS` bins of equal width.

    Args:
        scores: (N,) scores of predictions, 0..1.
        right: (N,) mark of each, 0..1.
    """
    sure, hit = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=sure - hit, minlength=BINS)
    return float(np.abs(gaps).sum() / max(1, len(sure)))


@dataclass(frozen=True, slots=True)
class _Marked:
    """The logits of a batch, and the mark of each of its predictions (0..1)."""

    batch: Batch
    logits: Tensor
    right: NDArray[np.float64]


def fit_temperatures(
    model: Twelve, collators: Mapping[str, Collator], validations: Mapping[str, Sequence[Example]], *, seed: int = 0
) -> dict[str, float]:
    """Task -> its temperature.

    Args:
        validations: labelled examples that the model was not trained on.
        seed: for outputs that draw negatives.
    """
    found = {}
    model.train(False)
    with Track("calibrating", len(collators), "tasks") as track:
        for name, collator in collators.items():
            examples = validations[name][:EXAMPLES]
            if examples and collator.output.own_head:  # pretraining makes no predictions with scores
                found[name] = round(_fit(collator, list(_marked(model, collator, examples, seed))), 4)
            track.advance()
    return found


@torch.no_grad()
def _marked(model: Twelve, collator: Collator, examples: Sequence[Example], seed: int) -> list[_Marked]:
    found = []
    # Outputs that rank a gallery choose among drawn negatives here, as in training.
    draws = collator.output.ranks_gallery
    step = max(1, BATCH // (1 if draws else len(collator.output.pairs(examples[:1])[0])))
    for start in range(0, len(examples), step):
        batch = collator(examples[start : start + step], np.random.default_rng((seed, start)) if draws else None)
        logits = model(**batch.inputs(model.device), outputs=(batch.output,)).logits[batch.output].float().cpu()
        right = collator.output.score(logits, batch.targets).double().numpy()
        found.append(_Marked(batch, logits, right))
    return found


def _fit(collator: Collator, marked: Sequence[_Marked]) -> float:
    """The temperature with the least logarithmic loss, by golden-section search over its logarithm."""
    right = np.concatenate([part.right for part in marked])
    vocabulary = collator.processor.vocabularies.get(collator.output_key, [])

    def loss(logarithm: float) -> float:
        scores = np.concatenate(
            [
                collator.output.confidence(
                    part.logits / float(np.exp(logarithm)), part.batch.examples, part.batch.regions, vocabulary
                )
                for part in marked
            ]
        )
        sure = np.clip(scores, 1e-6, 1 - 1e-6)
        return float(-(right * np.log(sure) + (1 - right) * np.log(1 - sure)).mean())

    low, high = (float(np.log(bound)) for bound in RANGE)
    golden = (5**0.5 - 1) / 2
    left, far = high - golden * (high - low), low + golden * (high - low)
    at_left, at_far = loss(left), loss(far)
    while high - low > 0.02:
        if at_left <= at_far:
            high, far, at_far = far, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, far, at_far
            far = low + golden * (high - low)
            at_far = loss(far)
    return float(np.exp((low + high) / 2))
