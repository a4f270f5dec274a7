"""A linear layer in float32, forward and backward: torch's own, in MKL, beside the package's, in oneDNN.

    OMP_NUM_THREADS=1 python benchmarks/linear.py

Sizes are those of the quickstart's model and of the paper's. ``new rows`` has another number of rows in every call, as
batches without padding have. The ratio is torch's time over the package's. Medians of processor time, the two layers
in turns; one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from twelve import freed_memory
from twelve.model.linear import Linear, onednn_is_faster
from twelve.training.provenance import machine

SIZES = ((640, 128, 128), (640, 128, 256), (1000, 256, 128), (184, 768, 3072), (450, 1024, 1024), (3232, 1024, 1024))
"""(S, K, N): rows, inputs, outputs."""
MORE_ROWS = 60


def layers(inputs: int, outputs: int) -> dict[str, nn.Linear]:
    own = Linear(inputs, outputs)
    torchs = nn.Linear(inputs, outputs)
    torchs.load_state_dict(own.state_dict())
    return {"torch": torchs, "package": own}


def seconds(layer: nn.Linear, states: Tensor, gradient: Tensor) -> float:
    """Processor time of a forward and a backward pass."""
    begun = time.process_time()
    layer(states).backward(gradient)
    return time.process_time() - begun


def measure(rows: int, inputs: int, outputs: int, rounds: int) -> dict[str, Any]:
    both = layers(inputs, outputs)
    states = torch.randn(rows + MORE_ROWS, inputs, requires_grad=True)
    gradient = torch.randn(rows + MORE_ROWS, outputs)
    found: dict[str, Any] = {"rows, inputs, outputs": [rows, inputs, outputs]}
    for name, numbers in (("same rows", [rows] * (rounds + 3)), ("new rows", range(rows, rows + MORE_ROWS))):
        times: dict[str, list[float]] = {way: [] for way in both}
        for turn, number in zip(count(), numbers, strict=False):
            for way, layer in both.items():
                spent = seconds(layer, states[:number], gradient[:number])
                if turn > 2:
                    times[way].append(spent / number)
        medians = {way: statistics.median(each) for way, each in times.items()}
        found[name] = {
            **{f"{way}, GFLOP/s": round(6 * inputs * outputs / each / 1e9) for way, each in medians.items()},
            "ratio": round(medians["torch"] / medians["package"], 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "linear.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    freed_memory.keep()  # as in training
    sizes = [measure(*size, arguments.rounds) for size in SIZES]
    result = {"machine": machine(), "oneDNN is used": onednn_is_faster(), "sizes": sizes}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for size in sizes:
        print(json.dumps(size))


if __name__ == "__main__":
    main()
