"""Training steps on a CPU in fp32 and in bf16, the latter with torch's fused attention and with plain matrix products.

    python benchmarks/half_precision.py

Batches and model are those of benchmarks/speed.py. The three ways take turns in one run, medians over the rounds;
written as JSON with the machine named. bf16 pays on processors that multiply in it (AVX-512 BF16, AMX).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from speed import SHAPES, batch, model_of

from twelve.training.optimizer import AdamW, parameter_groups
from twelve.training.provenance import machine

WAYS = ("fp32", "bf16", "bf16, fused attention")


@contextlib.contextmanager
def way(name: str) -> Iterator[None]:
    """Forward passes in one of :data:`WAYS`."""
    fused = mock.patch("twelve.model.attention.plain_is_faster", lambda _: False)
    with contextlib.ExitStack() as stack:
        if name != "fp32":
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        if name == WAYS[2]:
            stack.enter_context(fused)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="real-sample.yaml", help="whose architecture is measured")
    parser.add_argument("--features", type=int, default=496, help="size of a region's features")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "half-precision.json")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = model_of(arguments.config, arguments.features).train()
    optimizer = AdamW(parameter_groups(model, base_lr=1e-5, head_lr=1e-5), bias_correction=True)
    rows: dict[str, Any] = {}
    for shape_name, shape in SHAPES.items():
        inputs = batch(shape, model.config.v_feature_size, seed=0)
        times: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(arguments.rounds + 1):
            for name in WAYS:
                start = time.perf_counter()
                with way(name):
                    logits = model(**inputs, outputs=(shape[0],)).logits[shape[0]]
                logits.float().square().mean().backward()
                optimizer.step()
                optimizer.zero_grad(fill=True)
                times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(values[1:]) for name, values in times.items()}
        rows[shape_name] = {
            "pairs/s": {name: round(shape[3] / median, 1) for name, median in medians.items()},
            "bf16 over fp32": round(medians["fp32"] / medians["bf16"], 2),
            "plain over fused, bf16": round(medians[WAYS[2]] / medians["bf16"], 2),
        }
        print(shape_name, rows[shape_name], flush=True)
    result = {"machine": machine(), "threads": torch.get_num_threads(), "tasks": rows}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
