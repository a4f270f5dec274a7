"""The format of recorded training runs: trace.json, and batches in the original's layout.

Axes: E examples, K texts per example, L text length, R regions, F feature size.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from twelve.errors import DataError
from twelve.io.json_file import read_object
from twelve.parity.recording import REMEDY, Rate, Recorded, Tensors

MOST_ITERATIONS = 100_000
"""Upper bound on iterations; every recorded step has a batch."""


class OptimizerRecord(Recorded):
    betas: tuple[float, float]
    eps: float
    correct_bias: bool
    weight_decay: float
    grad_clip: None = None


class Step(Recorded):
    step: int
    iteration: int = Field(ge=0, lt=MOST_ITERATIONS)
    task: str
    type: str
    process: Literal["normal", "expand", "retrieval", "nlvr"]
    loss: float
    score: float
    grad_norm_scaled_loss: float
    lr_base: float
    lr_head: float
    loss_float32: float | None = None
    grad_norm_float32: float | None = None
    loss_set_to_none: float | None = None


class Checksum(Recorded):
    sum: float
    abs_sum: float
    moved_max: float
    none_dev: float | None = None
    lr_wd: tuple[float, float]


class Trace(Recorded):
    model: str = ""
    tasks: list[str] = Field(min_length=1)
    task_lr: list[Rate]
    base_lr: Rate
    head_lr: Rate
    loss_scale: dict[str, float]
    t_total: float
    warmup_steps: float
    train_iter_gap: int = Field(ge=1)
    stopped_tasks_per_iteration: dict[int, list[str]] = Field(default_factory=dict)
    optimizer: OptimizerRecord
    steps: list[Step] = Field(min_length=1)
    checksums_float64: dict[str, Checksum] = Field(default_factory=dict)


def find_state(folder: Path, trace: Trace) -> Path:
    """Find the state.safetensors that the trace in ``folder`` started from: in the folder, beside it (first in the
    folder that the trace names) or above it. It must have every weight in the trace.

    Raises:
        DataError: there is none.
    """
    above = folder.resolve().parent
    beside = [path for path in sorted(above.iterdir()) if path.is_dir()]
    beside.sort(key=lambda path: path.name not in trace.model)
    for candidate in (folder, *beside, above):
        file = candidate / "state.safetensors"
        if (
            file.is_file()
            and "config" in _meta(candidate)
            and set(trace.checksums_float64) <= set(Tensors(file).tensors)
        ):
            return file
    raise DataError(
        "expected the weights that this run started from, found none",
        file=folder / "trace.json",
        record="model",
        remedy=f"put their folder {trace.model} (state.safetensors, meta.json) beside {folder.name}/",
    )


def _meta(folder: Path) -> dict[str, Any]:
    file = folder / "meta.json"
    return read_object(file, DataError, remedy=REMEDY) if file.is_file() else {}


def model_inputs(
    batches: Tensors, prefix: str, step: Step, dtype: torch.dtype, *, tokens: bool
) -> dict[str, Tensor | None]:
    """Model arguments from a batch in the original's layout, which repeats images for texts or concatenates them."""
    names = ("question", "segment_ids", "input_mask", "features", "spatials", "image_mask")
    text, segments, text_mask, features, boxes, image_mask = (batches.get(f"{prefix}.{name}") for name in names)
    pair_text = pair_image = None
    if step.process in ("retrieval", "expand"):
        if step.process == "expand":
            pair_image = torch.arange(len(features)).repeat_interleave(text.shape[1])
        else:
            features, boxes, image_mask = (tensor.flatten(0, 1) for tensor in (features, boxes, image_mask))
        text, segments, text_mask = (tensor.flatten(0, 1) for tensor in (text, segments, text_mask))
    elif step.process == "nlvr":
        # The two images of a statement are concatenated in one row of regions.
        features, boxes, image_mask = (
            tensor.reshape(2 * len(tensor), tensor.shape[1] // 2, *tensor.shape[2:])
            for tensor in (features, boxes, image_mask)
        )
        pair_text = torch.arange(len(text)).repeat_interleave(2)
    row = int(re.sub(r"\D", "", step.task) or 0)
    return {
        "input_ids": text,
        "segment_ids": segments,
        "text_mask": text_mask.bool(),
        "task_rows": torch.full((len(text),), row) if tokens else None,
        "features": features.to(dtype),
        "boxes": boxes.to(dtype),
        "region_mask": image_mask.bool(),
        "pair_text": pair_text,
        "pair_image": pair_image,
    }
