"""Recorded retrieval: every caption with every image, the ranks and their summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from twelve.errors import DataError
from twelve.metrics.retrieval import recall, text_to_image_ranks
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.parity.base import Difference
from twelve.parity.models import TOLERANCE, Inputs, compare, open_model
from twelve.parity.recording import REMEDY, Recorded, Tensors, read

EXACT = 1e-9


class RetrievalRecord(Recorded):
    task_id: int | None = None
    target_image_per_caption: list[int]
    ranks: list[int] | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


def run(path: Path) -> list[Difference]:
    """Compare retrieval_meta.json, retrieval_inputs and retrieval_outputs of a recording directory.

    Raises:
        DataError: a file or a tensor is missing or malformed.
        ConfigError, CheckpointError: the model needs something that is not offered.
    """
    record = read(path / "retrieval_meta.json", RetrievalRecord)
    _, model = open_model(path)
    tensors = Tensors(path / "retrieval_inputs.safetensors")
    inputs = Inputs.read(tensors, model)
    if model.config.task_specific_tokens and inputs.task_rows is None:
        if record.task_id is None:
            raise DataError("task_id is missing", file=path / "retrieval_meta.json", remedy=REMEDY)
        inputs = replace(inputs, task_rows=torch.full((len(inputs.input_ids),), record.task_id))
    scores = cross_scores(model, inputs)
    recorded = Tensors(path / "retrieval_outputs.safetensors")
    differences = [compare("scores", scores, recorded.get("scores", *scores.shape), TOLERANCE)]
    targets = torch.tensor(record.target_image_per_caption)
    if targets.shape != scores.shape[:1] or not bool(((targets >= 0) & (targets < scores.shape[1])).all()):
        raise DataError(
            "must name an image for each caption",
            file=path / "retrieval_meta.json",
            record="target_image_per_caption",
            remedy=REMEDY,
        )
    ranks = text_to_image_ranks(scores.numpy(), targets.numpy())
    if record.ranks is not None:
        differences.append(compare("ranks", torch.from_numpy(ranks), torch.tensor(record.ranks), 0.0))
    summary = recall(ranks)
    ours = {
        **{"r1": summary.r1, "r5": summary.r5, "r10": summary.r10},
        **{"medr": summary.median_rank, "meanr": summary.mean_rank},
    }
    for name, value in record.metrics.items():
        found = torch.tensor(ours[name], dtype=torch.float64) if name in ours else None
        differences.append(compare(name, found, torch.tensor(value, dtype=torch.float64), EXACT))
    return differences


@torch.no_grad()
def cross_scores(model: Twelve, inputs: Inputs) -> Tensor:
    """(T, I) alignment logits of every text with every image, each encoded once."""
    texts = model.encode_texts(inputs.input_ids, inputs.text_mask, inputs.segment_ids, inputs.task_rows)
    images = model.encode_images(inputs.features, inputs.boxes, inputs.region_mask)
    count = len(inputs.features)
    key = next((key for key, head in model.config.heads.items() if get_output(head["kind"]).ranks_gallery), "alignment")
    rows = [
        model.fuse(texts, images, torch.full((count,), text), torch.arange(count), outputs=(key,)).logits[key][:, 0]
        for text in range(len(inputs.input_ids))
    ]
    return torch.stack(rows)
