"""Losses and scores of recorded logits and targets: losses_scores.json with a safetensors file of the same name."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from twelve.errors import DataError
from twelve.io.json_file import read_object
from twelve.parity.base import Difference
from twelve.parity.recording import REMEDY, Recorded, Tensors, parse
from twelve.parity.tasks import output_of, targets_of

LOSS_TOLERANCE = 1e-5
"""Of a loss, relative: float32 sums over thousands of labels, in another order."""
SCORE_TOLERANCE = 1e-6


class LossRecord(Recorded):
    type: str
    loss: float
    train_score: float
    val_score_sum: float


def run(path: Path) -> list[Difference]:
    """Compare every task of a recording; ``path`` is its JSON file.

    Raises:
        DataError: a task of a type that has no output here; tensors that are missing or do not fit.
    """
    tensors = Tensors(path.with_suffix(".safetensors"))
    return [
        difference
        for task, tree in read_object(path, DataError, remedy=REMEDY).items()
        for difference in _compare(task, parse(tree, LossRecord, path, task), tensors, path)
    ]


def _compare(task: str, recorded: LossRecord, tensors: Tensors, path: Path) -> list[Difference]:
    output = output_of(recorded.type, path, task)
    targets = targets_of(tensors, task, output)
    logits: Tensor = tensors.get(f"{task}.logits")
    if output.reads == "regions":
        logits = tensors.get(f"{task}.logits", len(targets["target"]), -1, 1).squeeze(-1)
    try:
        loss = float(output.loss(logits, targets))
        scores = output.score(logits, targets).double()
    except (RuntimeError, ValueError, IndexError) as error:
        raise DataError(f"logits and targets do not fit: {error}", file=path, record=task, remedy=REMEDY) from None
    tolerance = LOSS_TOLERANCE * max(1.0, abs(recorded.loss))
    return [
        Difference(f"{task} loss", abs(loss - recorded.loss), tolerance, recorded.type),
        Difference(f"{task} training score", abs(float(scores.mean()) - recorded.train_score), SCORE_TOLERANCE),
        Difference(f"{task} validation score", abs(float(scores.sum()) - recorded.val_score_sum), SCORE_TOLERANCE),
    ]
