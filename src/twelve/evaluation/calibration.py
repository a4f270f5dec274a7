"""Calibrated confidence: one temperature per task, fitted on the validation examples.

"On Calibration of Modern Neural Networks" (Guo, Pleiss, Sun, Weinberger 2017): dividing all logits of a task by one
number changes no prediction, and makes the confidence equal to the share of right predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.data.batch import Collator
from twelve.evaluation.results import ScoreBin
from twelve.progress import Track
from twelve.types.batch import Batch
from twelve.types.examples import Example

if TYPE_CHECKING:
    from twelve.model.vilbert import Twelve

EXAMPLES = 512
"""Most examples that a temperature is fitted on."""
FEWEST_EXAMPLES = 50
"""Fewest of them. With n examples, a share of right predictions has a standard error of up to 0.5 / sqrt(n), 7 % here;
a temperature that is fitted to fewer follows chance more than the model."""
BATCH = 64
"""Pairs in a forward pass."""
BINS = 15
"""Bins of the expected calibration error, as in the paper."""
RIGHT, FEWEST = 0.95, 20
"""Share of the right validation predictions with a "likely" confidence or more, and the fewest of them for it."""
RANGE = (0.05, 20.0)
"""Range of temperatures that is searched."""


def expected_calibration_error(
    scores: Sequence[float] | NDArray[np.float64], right: Sequence[float] | NDArray[np.float64]
) -> float:
    """Mean distance, 0..1, of confidence from the share of right predictions, over :data:`BINS` bins of equal width.

    Args:
        scores: (N,) confidence of each prediction, 0..1.
        right: (N,) mark of each, 0..1.
    """
    bins = score_bins(scores, right)
    gaps = sum(each.examples * abs(each.score - each.right) for each in bins)
    return gaps / max(1, sum(each.examples for each in bins))


def score_bins(
    scores: Sequence[float] | NDArray[np.float64], right: Sequence[float] | NDArray[np.float64]
) -> tuple[ScoreBin, ...]:
    """The bins of :func:`expected_calibration_error` that hold predictions, by rising confidence."""
    sure, hit = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    counts, sums, marks = (np.bincount(bins, weights=each, minlength=BINS) for each in (None, sure, hit))
    return tuple(
        ScoreBin(int(counts[row]), float(sums[row] / counts[row]), float(marks[row] / counts[row]))
        for row in np.flatnonzero(counts)
    )


def uncalibrated(task: str, temperatures: Mapping[str, float], examples: int | None) -> str:
    """Why the confidence of a task is not calibrated, in words; empty if it is.

    Args:
        temperatures: those of the model.
        examples: of the task's validation set; None if unknown.
    """
    if task in temperatures:
        return ""
    if examples is None or examples >= FEWEST_EXAMPLES:
        return "not calibrated"
    return f"not calibrated: this needs {FEWEST_EXAMPLES} validation examples, the task has {examples}"


@dataclass(frozen=True, slots=True)
class _Marked:
    """The logits of a batch, and the mark of each of its predictions (0..1)."""

    batch: Batch
    logits: Tensor
    right: NDArray[np.float64]


class Calibration(NamedTuple):
    """What validation examples say about confidence.

    Attributes:
        temperatures: task -> divisor of its logits; absent with fewer than :data:`FEWEST_EXAMPLES` examples, whose
            logits are not divided.
        likely: task whose answer can be absent from the image -> the confidence, after division, that :data:`RIGHT` of
            its right predictions reach; absent if fewer than :data:`FEWEST` are right.
    """

    temperatures: dict[str, float]
    likely: dict[str, float]


def calibrate(
    model: Twelve, collators: Mapping[str, Collator], validations: Mapping[str, Sequence[Example]], *, seed: int = 0
) -> Calibration:
    """Calibrate the confidence of every task.

    Args:
        validations: labelled examples that the model was not trained on.
        seed: for outputs that draw negatives.
    """
    found = Calibration({}, {})
    model.train(False)
    with Track("calibrating", len(collators), "tasks") as track:
        for name, collator in collators.items():
            examples = validations[name][:EXAMPLES]
            scored = collator.output.own_head  # pretraining makes no predictions with a confidence
            if scored and len(examples) >= FEWEST_EXAMPLES:
                marked = list(_marked(model, collator, examples, seed))
                found.temperatures[name] = temperature = round(_fit(collator, marked), 4)
                right = np.concatenate([part.right for part in marked]) > 0.5
                if collator.output.can_be_absent and right.sum() >= FEWEST:
                    scores = _confidence(collator, marked, temperature)[right]
                    found.likely[name] = float(f"{np.quantile(scores, 1 - RIGHT):.4g}")
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

    def loss(logarithm: float) -> float:
        sure = np.clip(_confidence(collator, marked, float(np.exp(logarithm))), 1e-6, 1 - 1e-6)
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


def _confidence(collator: Collator, marked: Sequence[_Marked], temperature: float) -> NDArray[np.float64]:
    """(E,) confidence of each prediction, from logits divided by a temperature."""
    vocabulary = collator.processor.vocabularies.get(collator.output_key, [])
    return np.concatenate(
        [
            collator.output.confidence(part.logits / temperature, part.batch.examples, part.batch.regions, vocabulary)
            for part in marked
        ]
    )
