"""The paper's model at full size on this machine: real steps of every kind of output, their speed and memory.

    OMP_NUM_THREADS=2 python benchmarks/paper_size.py

The model is that of configs/paper.yaml with random weights; regions are drawn: 100 of 2048 features an image and the
global one. Texts are as long as their task allows: these are the slowest batches that a run can meet. They are cut to
what a small memory holds, gradients of several add up, then the optimizer steps, as in a run with optimizer.accumulate.
Written as JSON with the machine named; fp32 unless asked otherwise. Processor seconds are of all threads together,
and depend less than seconds on what else the machine is doing.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from twelve.config import load
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.settings import RunConfig
from twelve.tasks.base import get
from twelve.training.memory import FLOAT, WORKING, activations
from twelve.training.optimizer import AdamW, parameter_groups
from twelve.training.provenance import machine
from twelve.types.batch import Batch

HEADS: Mapping[str, Mapping[str, Any]] = {
    "answer": {"kind": "answer", "size": 3129},
    "answer_gqa": {"kind": "answer", "size": 1533},
    "alignment": {"kind": "alignment", "size": 1},
    "region": {"kind": "region", "size": 1},
    "pair": {"kind": "pair", "size": 2},
    "entailment": {"kind": "entailment", "size": 3},
}
REGIONS, FEATURES = 101, 2048


def drawn_boxes(images: int, regions: int, generator: torch.Generator) -> Tensor:
    """(I, R, 5) random boxes; region 0 is the whole image."""
    boxes = torch.rand(images, regions, 5, generator=generator)
    boxes[:, 0] = torch.tensor((0.0, 0.0, 1.0, 1.0, 1.0))
    return boxes


@dataclass(frozen=True, slots=True)
class Shape:
    """Batches of one task: per example so many texts, images and pairs."""

    task: str
    head: str
    texts: int = 1
    images: int = 1
    pairs: int = 1
    candidates: int = 0


SHAPES = (
    Shape("vqa", "answer"),
    Shape("gqa", "answer_gqa"),
    Shape("coco", "alignment", texts=2, images=1, pairs=4),
    Shape("refcoco", "region"),
    Shape("guesswhat", "region", candidates=8),
    Shape("nlvr2", "pair", images=2, pairs=2),
    Shape("snli_ve", "entailment"),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn batch, with what the model and the loss read of a real one."""

    output: str
    tensors: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]

    def inputs(self, device: str = "cpu") -> dict[str, Tensor]:
        return {name: tensor.to(device) for name, tensor in self.tensors.items()}


def draw(shape: Shape, examples: int, length: int, seed: int) -> Drawn:
    """A batch of ``examples`` with texts of ``length`` word pieces."""
    g = torch.Generator().manual_seed(seed)
    texts, images, pairs = (examples * each for each in (shape.texts, shape.images, shape.pairs))
    regions = REGIONS + shape.candidates
    size = HEADS[shape.head]["size"]
    targets: dict[str, Tensor] = {"target": torch.randint(0, size, (examples,), generator=g)}
    if shape.head.startswith("answer"):
        targets["target"] = torch.nn.functional.one_hot(targets["target"], size).float()
    elif shape.head == "alignment":
        targets["target"] = torch.zeros(examples, dtype=torch.int64)
    elif shape.head == "region":
        seen = shape.candidates or regions
        targets["target"] = torch.zeros(examples, seen).index_fill_(1, torch.tensor([3]), 1.0)
        targets["valid"] = torch.ones(examples, seen, dtype=torch.bool)
        if shape.candidates:
            targets["candidates"] = torch.arange(REGIONS, regions).expand(examples, -1).contiguous()
    return Drawn(
        shape.head,
        {
            "input_ids": torch.randint(1000, 30000, (texts, length), generator=g),
            "features": torch.rand(images, regions, FEATURES, generator=g).half(),
            "boxes": drawn_boxes(images, regions, g),
            "task_rows": torch.ones(texts, dtype=torch.int64),
            "pair_text": torch.arange(pairs) * texts // pairs,
            "pair_image": torch.arange(pairs) % images,
        },
        targets,
    )


def measure(
    model: Twelve, optimizer: AdamW, config: RunConfig, shape: Shape, examples: int, accumulate: int, steps: int
) -> dict[str, Any]:
    """Steps on one task's batches: speed, losses, and what a batch keeps for its backward pass."""
    settings = config.tasks[shape.task]
    length, output = settings.max_text or 20, get_output(get(shape.task).kind)
    losses, seconds, worked = [], [], []
    for step in range(steps):
        batches = [draw(shape, examples, length, seed=10 * step + part) for part in range(accumulate)]
        begun, started, total = time.perf_counter(), time.process_time(), 0.0
        for batch in batches:
            logits = model(**batch.inputs(), outputs=(batch.output,)).logits[batch.output]
            loss = output.loss(logits.float(), batch.targets) / accumulate
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        optimizer.zero_grad(fill=True)
        seconds.append(time.perf_counter() - begun)
        worked.append(time.process_time() - started)
        losses.append(round(total, 5))
    pairs, each = examples * accumulate * shape.pairs, min(seconds)
    kept, recomputed = activations(model, cast(Batch, draw(shape, examples, length, seed=0)))
    found = {
        "examples a batch": examples,
        "batches a step": accumulate,
        "batch in the paper": settings.batch_size,
        "word pieces": length,
        "seconds a step": round(each, 2),
        "pairs/s": round(pairs / each, 2),
        "processor seconds a step": round(min(worked), 2),
        "pairs per processor second": round(pairs / min(worked), 3),
        "losses": losses,
        "activations, GB": round(kept / 1e9, 2),
        "of them recomputed, GB": round(recomputed / 1e9, 2),
    }
    print(shape.task, json.dumps(found), flush=True)
    return found


def paper_model() -> tuple[Twelve, AdamW]:
    """The model of configs/paper.yaml with random weights, and its optimizer."""
    torch.manual_seed(0)
    config = load("configs/paper.yaml")
    fields: dict[str, Any] = {**config.model.architecture, "heads": {key: dict(head) for key, head in HEADS.items()}}
    model = Twelve(TwelveConfig(**fields)).train()
    settings = config.optimizer
    groups = parameter_groups(model, base_lr=2e-5, head_lr=settings.head_learning_rate, weight_decay=0.01)
    return model, AdamW(groups, betas=settings.betas, eps=settings.eps, bias_correction=settings.bias_correction)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4, help="of a batch, at least one example's; half with long texts")
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="measure one task in bf16 as well")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "paper-size.json")
    arguments = parser.parse_args()
    config, (model, optimizer) = load("configs/paper.yaml"), paper_model()
    rows = {}
    for shape in SHAPES:
        pairs = arguments.pairs // 2 if shape.candidates else arguments.pairs
        examples = max(1, pairs // shape.pairs)
        rows[shape.task] = measure(model, optimizer, config, shape, examples, arguments.accumulate, arguments.steps)
    if arguments.bf16:
        with torch.autocast("cpu", torch.bfloat16):
            rows["vqa, bf16"] = measure(model, optimizer, config, SHAPES[0], arguments.pairs, 1, arguments.steps)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    largest = max(row["activations, GB"] for row in rows.values())
    result = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "precision": "fp32",
        "parameters": parameters,
        "peak memory, GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "estimated beforehand, GB": round(4 * FLOAT * parameters / 1e9 + WORKING * largest, 2),
        "tasks": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
