"""A recording of the original model: configuration, weights, inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor

from twelve.errors import DataError, found_in
from twelve.model.checkpoints import read_released, read_released_config
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.parity.recording import REMEDY, Recorded, Tensors, read
from twelve.parity.report import Difference

CLASSES = ("VILBertForVLTasks", "BertForMultiModalPreTraining")
TOLERANCE = 1e-4
"""Absolute tolerance of forward passes in float32; an independent program came within 1.4e-5."""


class ModelRecord(Recorded):
    """The fields read from meta.json.

    Attributes:
        effective_config: ``config`` with the original's defaults filled in.
        inputs: recorded inputs by name, all required; likewise ``outputs``.
    """

    config: dict[str, Any]
    effective_config: dict[str, Any] | None = None
    model_class: str
    inputs: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, Any] = Field(default_factory=dict)
    grad_norms_float64_sum_of_three_losses: dict[str, float | None] | None = None


def open_model(path: Path) -> tuple[ModelRecord, Twelve]:
    """Rebuild a recorded model from meta.json and state.safetensors in ``path``, in evaluation mode.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError, CheckpointError: the configuration or the weights need an unsupported feature.
    """
    file = path / "meta.json"
    record = read(file, ModelRecord)
    if record.model_class not in CLASSES:
        raise DataError(
            f"unknown model class {record.model_class!r}", file=file, remedy=f"record one of {', '.join(CLASSES)}"
        )
    state = read_state(path / "state.safetensors")
    config, weights = read_model(record, file, state, path / "state.safetensors")
    model = Twelve(config)
    model.load_state_dict(weights)
    torch.nn.Module.to(model, next(iter(state.values())).dtype)
    torch.nn.Module.eval(model)
    return record, model


def read_state(file: Path) -> dict[str, Tensor]:
    """The recorded weights under the released names; raises DataError for invalid ones."""
    state = dict(Tensors(file).tensors)
    for name, value in state.items():
        if not value.is_floating_point() or not value.numel() or not value.ndim:
            problem = f"a weight cannot be {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
        elif not bool(value.isfinite().all()):
            problem = "contains values that are not finite"
        else:
            continue
        raise DataError(problem, file=file, record=name, remedy=REMEDY)
    return state


def read_model(
    record: ModelRecord, file: Path, state: Mapping[str, Tensor], state_file: Path, **changes: Any
) -> tuple[TwelveConfig, dict[str, Tensor]]:
    """The configuration of a recorded model and its weights under our names; ``changes`` override fields.

    Raises:
        ConfigError, CheckpointError: the configuration or the weights need an unsupported feature.
    """
    tree = record.effective_config or record.config
    tokens = tree.get("task_specific_tokens", False)
    if not isinstance(tokens, bool):
        raise DataError(
            f"must be true or false, found {tokens!r}", file=file, record="task_specific_tokens", remedy=REMEDY
        )
    with found_in(file):
        config = read_released_config(tree, state, **changes)
    with found_in(state_file):
        # Before building the model, so that impossible sizes are reported with the weight they contradict.
        return config, read_released(state, config)


@dataclass(frozen=True)
class Inputs:
    """A recorded batch; masks and segments are None if not recorded."""

    input_ids: Tensor
    features: Tensor
    boxes: Tensor
    text_mask: Tensor | None
    region_mask: Tensor | None
    segment_ids: Tensor | None
    task_rows: Tensor | None

    @classmethod
    def read(cls, tensors: Tensors, model: Twelve) -> Inputs:
        """Read a batch with the original's names.

        Raises:
            DataError: a tensor is missing, has another shape or contains invalid values.
        """
        config = model.config
        input_ids = tensors.ids("input_ids", config.vocab_size, -1, -1)
        texts, length = input_ids.shape
        features = tensors.finite("image_feat", -1, -1, config.v_feature_size)
        images, regions, _ = features.shape
        tokens = config.task_specific_tokens and "task_ids" in tensors
        segments = "token_type_ids" in tensors
        return cls(
            input_ids,
            features,
            tensors.finite("image_loc", images, regions, 5),
            tensors.get("attention_mask", texts, length) > 0 if "attention_mask" in tensors else None,
            tensors.get("image_attention_mask", images, regions) > 0 if "image_attention_mask" in tensors else None,
            tensors.ids("token_type_ids", config.type_vocab_size, texts, length) if segments else None,
            tensors.ids("task_ids", config.num_task_tokens).reshape(texts, -1)[:, 0] if tokens else None,
        )

    def rows(self, count: int) -> Inputs:
        """The first ``count`` rows."""
        return self.mapped(lambda value: value[:count])

    def double(self) -> Inputs:
        """Convert floating-point tensors to float64."""
        return self.mapped(lambda value: value.double() if value.is_floating_point() else value)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        changed = {name: None if value is None else change(value) for name, value in self.arguments().items()}
        return replace(self, **cast("dict[str, Any]", changed))

    def arguments(self) -> Mapping[str, Tensor | None]:
        """Keyword arguments for :meth:`Twelve.forward`."""
        return dict(self.__dict__)


def compare(
    quantity: str, ours: Tensor | None, theirs: Tensor, tolerance: float, valid: Tensor | None = None, note: str = ""
) -> Difference:
    """Compare ours with the recording at the positions marked in ``valid``, which covers the leading axes."""
    if ours is None:
        return Difference(quantity, torch.inf, tolerance, "not computed here")
    if ours.shape != theirs.shape:
        return Difference(quantity, torch.inf, tolerance, f"shape {list(ours.shape)}, recorded {list(theirs.shape)}")
    if valid is not None:
        ours, theirs = ours[valid], theirs[valid]
    difference = (ours.detach().double() - theirs.double()).abs()
    largest = float(torch.nan_to_num(difference, nan=torch.inf).max()) if difference.numel() else 0.0
    return Difference(quantity, largest, tolerance, note)


def required(inputs: Inputs, model: Twelve, file: Path) -> None:
    """Raise DataError if a recording lacks the task rows that the model needs."""
    if model.config.task_specific_tokens and inputs.task_rows is None:
        raise DataError("task_ids are missing, but the model has task tokens", file=file, remedy=REMEDY)
