"""The original's kinds of task, as its recordings name them, and the outputs that stand for them here."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from twelve.errors import DataError, nearest
from twelve.outputs import OUTPUTS, Output
from twelve.parity.recording import Tensors

KINDS = {
    "VL-classifier": "answer",
    "VL-classifier-GQA": "answer",
    "VL-logit": "alignment",
    "V-logit": "region",
    "V-logit-mc": "region",
    "VL-binary-classifier": "pair",
    "VL-tri-classifier": "entailment",
}
KEYS = {"VL-classifier-GQA": "answer_gqa"}
"""Heads whose key in a model read from a released checkpoint is not the kind itself."""

GIVEN_FROM = 101
"""The original counts given candidates from here on: it takes every image to have 100 detected regions and the global
one."""


def output_of(kind: str, file: Path, record: str) -> Output:
    """The output that stands for one of the original's kinds of task; DataError when it has none."""
    if kind not in KINDS:
        raise DataError(
            f"tasks of type {kind!r} are not supported{nearest(kind, KINDS)}",
            file=file,
            record=record,
            remedy=f"record tasks of type {', '.join(KINDS)}",
        )
    return OUTPUTS[KINDS[kind]]


def targets_of(tensors: Tensors, prefix: str, output: Output) -> dict[str, Tensor]:
    """What ``output`` scores against, from the tensors ``prefix.target`` and ``prefix.multiple_choice_ids``."""
    target = tensors.get(f"{prefix}.target")
    if output.reads == "regions":
        target = tensors.get(f"{prefix}.target", -1, -1, 1).squeeze(-1)
    targets = {"target": target}
    name = f"{prefix}.multiple_choice_ids"
    if name in tensors:
        targets["candidates"] = tensors.get(name, *target.shape) + GIVEN_FROM
    return targets
