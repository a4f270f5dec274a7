"""Comparison of pretraining losses and gradient norms, for every recorded variant of the labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from twelve.model.names import released_name
from twelve.model.pretraining import PRETRAINING_STATES, drop_mismatched, pretraining_losses
from twelve.model.vilbert import Twelve
from twelve.outputs.pretraining import PretrainingLosses
from twelve.parity.models import TOLERANCE, Inputs, compare, open_model, required
from twelve.parity.recording import Tensors
from twelve.parity.report import Difference

GRADIENT_TOLERANCE = 1e-7
"""Tolerance of a parameter's gradient norm in float64, relative to the largest norm."""
_TERMS = {"masked_lm_loss": "words", "masked_img_loss": "regions", "next_sentence_loss": "alignment"}
_LOSS = re.compile(rf"(\w+_)?({'|'.join(_TERMS)})")
MISMATCHED_DROPPED = "objective1_"
"""Prefix of the variant where mismatched pairs keep only the alignment loss."""


def run(path: Path) -> list[Difference]:
    """Compare the losses in a recording folder.

    Raises:
        DataError: a file or a tensor is missing or malformed.
        ConfigError, CheckpointError: the model needs an unsupported feature.
    """
    record, model = open_model(path)
    tensors = Tensors(path / "inputs.safetensors")
    inputs = Inputs.read(tensors, model)
    required(inputs, model, tensors.file)
    recorded = Tensors(path / "outputs.safetensors").tensors
    differences: list[Difference] = []
    for prefix in dict.fromkeys(match[1] or "" for name in recorded if (match := _LOSS.fullmatch(name))):
        labels = _labels(tensors, inputs, model, prefix)
        with torch.no_grad():
            losses = _losses(model, inputs, labels, drop=False)
        differences += _compare(losses, recorded, prefix, model)
        if prefix == MISMATCHED_DROPPED:
            plain = _labels(tensors, inputs, model, "")
            with torch.no_grad():
                differences += _compare(
                    _losses(model, inputs, plain, drop=True), recorded, prefix, model, " from the labels of all pairs"
                )
            dropped = drop_mismatched(plain["word_labels"], plain["region_labels"], plain["mismatched"])
            for name, ours in zip(("masked_lm_labels", "image_label"), dropped, strict=True):
                if prefix + name in tensors:
                    asked = tensors.get(prefix + name)
                    # Unmasked words are -1; unmasked regions are anything but 1.
                    same = (ours, asked) if name == "masked_lm_labels" else (ours == 1, asked == 1)
                    differences.append(compare(prefix + name, same[0], same[1], 0.0))
    norms = record.grad_norms_float64_sum_of_three_losses
    if norms is not None:
        differences.append(_gradient_difference(model, inputs, _labels(tensors, inputs, model, ""), norms))
    return differences


def _labels(tensors: Tensors, inputs: Inputs, model: Twelve, prefix: str) -> dict[str, Tensor]:
    """Labels of a variant; missing ones default to the plain ones."""
    texts, length = inputs.input_ids.shape
    images, regions, _ = inputs.features.shape

    def get(name: str, *shape: int) -> Tensor:
        return tensors.get(prefix + name if prefix + name in tensors else name, *shape)

    return {
        "word_labels": get("masked_lm_labels", texts, length),
        "region_labels": get("image_label", images, regions - 1),
        "region_targets": get("image_target", images, regions - 1, model.config.v_target_size),
        "mismatched": get("next_sentence_label").reshape(texts),
    }


def _losses(model: Twelve, inputs: Inputs, labels: Mapping[str, Tensor], *, drop: bool) -> PretrainingLosses:
    output = model(**inputs.arguments(), outputs=PRETRAINING_STATES)
    return pretraining_losses(
        model.pretraining,
        output,
        embedding=model.trunk.words,
        has_task=model.config.task_specific_tokens,
        **labels,
        only_alignment_when_mismatched=drop,
    )


def _compare(
    losses: PretrainingLosses, recorded: Mapping[str, Tensor], prefix: str, model: Twelve, note: str = ""
) -> list[Difference]:
    """Compare loss terms; where the recording is NaN (nothing was masked), ours must be 0."""
    differences = []
    for name, term in _TERMS.items():
        if prefix + name in recorded:
            theirs = recorded[prefix + name].reshape(())
            ours = getattr(losses, term)
            empty = bool(theirs.isnan())
            differences.append(
                compare(
                    prefix + name + note,
                    ours,
                    torch.zeros_like(theirs) if empty else theirs,
                    0.0 if empty else TOLERANCE,
                    note="nothing is masked: 0 here, NaN in the recording" if empty else "",
                )
            )
    return differences


def _gradient_difference(
    model: Twelve, inputs: Inputs, labels: Mapping[str, Tensor], norms: Mapping[str, float | None]
) -> Difference:
    """Compare every parameter's gradient norm for the sum of the three losses, in float64."""
    torch.nn.Module.double(model)
    model.zero_grad()
    losses = _losses(model, inputs.double(), labels, drop=False)
    torch.autograd.backward(losses.total)
    ours = {released_name(n): 0.0 if p.grad is None else float(p.grad.norm()) for n, p in model.named_parameters()}
    largest, worst = 0.0, ""
    for name, norm in norms.items():
        if norm is None or norm != norm:  # the parameter is unused, or nothing was masked
            continue
        difference = abs(ours[name] - norm) if name in ours else torch.inf
        if difference >= largest:
            largest, worst = difference, name
    scale = max((norm for norm in norms.values() if norm is not None and norm == norm), default=1.0)
    return Difference("gradient norms", largest / scale, GRADIENT_TOLERANCE, worst)
