"""The paper's run on a GPU: steps of every task, the share of the GPU's peak, and the hours and the cost of all of it.

    python benchmarks/gpu.py --dollars 2.5

Without a GPU it writes "not run". The model is that of configs/paper.yaml with random weights, dropout on, batches as
large as there (cut to what fits, if they do not), texts as long as their task allows, 101 regions. Steps are those of
training: no waiting for a loss, pinned memory, fused optimizer. In turns: fp32, fp32 with TF32 products, bf16, and bf16
with compiled layers.

The share of the peak is that of a product of two bf16 matrices of 8192 x 8192 in the same run. Hours are those of 20
epochs of the longest task if no task ever stops, which Dynamic Stop-and-Go undercuts; the cost is that of one GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from paper_size import SHAPES, Drawn, Shape, draw, paper_model
from torch.utils.flop_counter import FlopCounterMode

from twelve.config import load
from twelve.model.attention import Block
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.tasks.base import get
from twelve.training.optimizer import AdamW
from twelve.training.provenance import machine

LONGEST = 1_294_255
"""Training questions of the longest of the twelve tasks, as the paper counts them."""
WAYS = ("fp32", "fp32, TF32 products", "bf16", "bf16, compiled")
LIKE = {
    "vqa": ("vqa", "vg_qa"),
    "gqa": ("gqa",),
    "coco": ("coco", "flickr30k"),
    "refcoco": ("refcoco", "refcoco+", "refcocog", "visual7w"),
    "guesswhat": ("guesswhat",),
    "nlvr2": ("nlvr2",),
    "snli_ve": ("snli_ve",),
}
"""Measured task -> tasks of the paper's run whose steps are as long."""


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Of a call among several that nobody waits for, after three that warm up."""
    for _ in range(3):
        run()
    times = []
    for _ in range(3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(rounds):
            run()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / rounds)
    return statistics.median(times)


def peak() -> float:
    """Operations a second of a large bf16 product."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / seconds(lambda: a @ b, 20)


def step_of(model: Twelve, optimizer: AdamW, batch: Drawn, shape: Shape, half: bool) -> Callable[[], None]:
    """A training step on a batch in page-locked memory."""
    output = get_output(get(shape.task).kind)
    inputs = {name: value.pin_memory() for name, value in batch.tensors.items()}
    targets = {name: value.pin_memory() for name, value in batch.targets.items()}

    def run() -> None:
        given, wanted = (
            {name: value.to("cuda", non_blocking=True) for name, value in tensors.items()}
            for tensors in (inputs, targets)
        )
        with torch.autocast("cuda", torch.bfloat16) if half else nullcontext():
            logits = model(**given, outputs=(batch.output,)).logits[batch.output]
        loss = output.loss(logits, wanted)
        optimizer.leave_out(~loss.detach().isfinite())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(fill=True)

    return run


def measure(model: Twelve, optimizer: AdamW, shape: Shape, examples: int, length: int, way: str, best: float) -> Any:
    """Steps on one task's batches; halves the batch until it fits."""
    torch.set_float32_matmul_precision("high" if "TF32" in way else "highest")
    while True:
        try:
            torch.cuda.reset_peak_memory_stats()
            run = step_of(model, optimizer, draw(shape, examples, length, seed=0), shape, way.startswith("bf16"))
            run()
            break
        except torch.cuda.OutOfMemoryError:
            optimizer.zero_grad(fill=True)
            torch.cuda.empty_cache()
            if examples == 1:
                raise
            examples //= 2
    with FlopCounterMode(display=False) as counted:
        run()
    spent, pairs = seconds(run, 5), examples * shape.pairs
    return {
        "examples a batch": examples,
        "seconds a step": round(spent, 4),
        "pairs/s": round(pairs / spent, 1),
        "examples/s": round(examples / spent, 1),
        "share of the peak": round(counted.get_total_flops() / spent / best, 3),
        "peak memory, GB": round(torch.cuda.max_memory_allocated() / 1e9, 1),
    }


def measure_all(dollars: float) -> dict[str, Any]:
    config, best = load("configs/paper.yaml"), peak()
    found: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "peak, TFLOP/s": round(best / 1e12, 1),
        "tasks": {},
        "run": {},
    }
    model, optimizer = paper_model()
    model.to("cuda")
    iterations = config.training.epochs * (LONGEST // (config.tasks["vg_qa"].batch_size or 1))
    for way in WAYS:
        if way.endswith("compiled"):
            torch._dynamo.config.recompile_limit = 64
            for part in model.modules():
                if isinstance(part, Block):
                    part.compile(dynamic=True)
        rows = {}
        for shape in SHAPES:
            settings = config.tasks[shape.task]
            rows[shape.task] = measure(
                model, optimizer, shape, settings.batch_size or 1, settings.max_text or 20, way, best
            )
            print(way, shape.task, json.dumps(rows[shape.task]), flush=True)
        iteration = sum(
            (config.tasks[name].batch_size or 1) / rows[like]["examples/s"]
            for like, names in LIKE.items()
            for name in names
        )
        hours = iterations * iteration / 3600
        found["tasks"][way] = rows
        found["run"][way] = {
            "iterations": int(iterations),
            "seconds an iteration": round(iteration, 3),
            "hours": round(hours, 1),
            "dollars": round(dollars * hours),
        }
        print(way, json.dumps(found["run"][way]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dollars", type=float, default=2.5, help="price of an hour of the GPU")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    arguments = parser.parse_args()
    if torch.cuda.is_available():
        result = {"machine": machine(), "dollars an hour": arguments.dollars, **measure_all(arguments.dollars)}
    else:
        result = {"machine": machine(), "status": "not run: there is no GPU here"}
        print(result["status"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
