"""A recording of the original model: configuration, weights, inputs and what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from twelve.errors import DataError
from twelve.model.checkpoints import read_released, read_released_config
from twelve.model.vilbert import Twelve
from twelve.parity.base import Difference
from twelve.parity.recording import REMEDY, Recorded, Tensors, read

CLASSES = ("VILBertForVLTasks", "BertForMultiModalPreTraining")
TOLERANCE = 1e-4
"""Of everything the forward pass computes, absolute, in float32 (MODEL.md section 6)."""


class ModelRecord(Recorded):
    """What is read of meta.json; ``effective_config`` is ``config`` with the original's defaults filled in."""

    config: dict[str, Any]
    effective_config: dict[str, Any] | None = None
    model_class: str
    grad_norms_float64_sum_of_three_losses: dict[str, float | None] | None = None


def open_model(path: Path) -> tuple[ModelRecord, Twelve]:
    """The recorded model, rebuilt from meta.json and state.safetensors in ``path``, in evaluation mode.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError, CheckpointError: the configuration or the weights need something that is not offered.
    """
    file = path / "meta.json"
    record = read(file, ModelRecord)
    if record.model_class not in CLASSES:
        raise DataError(
            f"unknown model class {record.model_class!r}", file=file, remedy=f"record one of {', '.join(CLASSES)}"
        )
    state = dict(Tensors(path / "state.safetensors").tensors)
    config = read_released_config(record.effective_config or record.config, state)
    model = Twelve(config)
    model.load_state_dict(read_released(state, config))
    torch.nn.Module.to(model, next(iter(state.values())).dtype)
    torch.nn.Module.eval(model)
    return record, model


@dataclass(frozen=True)
class Inputs:
    """A recorded batch; masks and segments that were not recorded are None."""

    input_ids: Tensor
    features: Tensor
    boxes: Tensor
    text_mask: Tensor | None
    region_mask: Tensor | None
    segment_ids: Tensor | None
    task_rows: Tensor | None

    @classmethod
    def read(cls, tensors: Tensors, model: Twelve) -> Inputs:
        """The batch in the original's names.

        Raises:
            DataError: a tensor is missing or of another shape.
        """
        input_ids = tensors.get("input_ids", -1, -1)
        texts, length = input_ids.shape
        features = tensors.get("image_feat", -1, -1, model.config.v_feature_size)
        images, regions, _ = features.shape
        tokens = model.config.task_specific_tokens and "task_ids" in tensors
        return cls(
            input_ids,
            features,
            tensors.get("image_loc", images, regions, 5),
            tensors.get("attention_mask", texts, length) > 0 if "attention_mask" in tensors else None,
            tensors.get("image_attention_mask", images, regions) > 0 if "image_attention_mask" in tensors else None,
            tensors.get("token_type_ids", texts, length) if "token_type_ids" in tensors else None,
            tensors.get("task_ids").reshape(texts, -1)[:, 0] if tokens else None,
        )

    def rows(self, count: int) -> Inputs:
        """The first ``count`` rows."""
        return self.mapped(lambda value: value[:count])

    def double(self) -> Inputs:
        """With float64 in place of other float types."""
        return self.mapped(lambda value: value.double() if value.is_floating_point() else value)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        changed = {name: None if value is None else change(value) for name, value in self.arguments().items()}
        return replace(self, **cast("dict[str, Any]", changed))

    def arguments(self) -> Mapping[str, Tensor | None]:
        """By the names that :meth:`Twelve.forward` takes."""
        return dict(self.__dict__)


def compare(
    quantity: str, ours: Tensor | None, theirs: Tensor, tolerance: float, valid: Tensor | None = None, note: str = ""
) -> Difference:
    """Ours beside the recording, at the positions that ``valid`` (which the leading axes share) marks."""
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
    """Refuse a recording without task rows of a model that needs them."""
    if model.config.task_specific_tokens and inputs.task_rows is None:
        raise DataError("task_ids are missing, but the model has task tokens", file=file, remedy=REMEDY)
