"""Training steps of the paper's model, full and ragged, beside a plain step and beside their matrix products alone.

    OMP_NUM_THREADS=2 python benchmarks/training.py --rounds 3

The model is that of configs/paper.yaml with random weights, dropout on; a question about an image an example. Full
batches have 23 word pieces and 101 regions in every row; ragged ones 8 to 20 and 11 to 101, four questions an image,
drawn with a fixed seed. For each batch, these ways run one after the other, each in a process of its own, whose peak
memory is given; a step takes turns with its products:

* ``fp32``, ``bf16``: the package's step without padding (``training.packed``): forward pass, loss, backward pass,
  update.
* ``plain``: fp32, the package's model with every row padded to 23 and 101, images repeated for every question, all
  heads and all layers run, gradients added to zeros, products left to torch.
* ``products``: the matrix products of the package's step, recorded and repeated with nothing in between.

Medians over the rounds. ``--profile`` measures instead what a training step and an evaluation spend by kind of operator
(bf16, ragged, batches of eight). Written as JSON with the machine named.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from paper_size import FEATURES, HEADS, REGIONS, drawn_boxes, paper_model
from products import Recorded, in_turns
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from twelve import freed_memory
from twelve.model import linear
from twelve.model.precision import for_predicting
from twelve.outputs import get_output
from twelve.training.provenance import machine

PIECES = 23
SETTLING = 3
"""Steps before measuring, after which memory is taken from what earlier steps freed."""
SPARE = 2 << 30
"""Bytes taken and freed before a profile. The profiler's small events break up the large pieces that steps reuse, and
fresh memory comes page by page from the system: without these bytes, filling a gradient with zeros seemed to take 40
times as long as it does."""
QUESTIONS = 4
"""Questions about an image, in ragged batches."""
KINDS = {
    "products": ("addmm", "mm", "bmm", "baddbmm", "linear", "scaled_dot_product"),
    "dropout": ("bernoulli", "random_", "dropout"),
    "optimizer": ("adamw",),
    "casts and copies": ("copy_", "_to_copy", "clone", "contiguous", "cat"),
    "zeros": ("fill_", "zero_"),
    "normalization": ("layer_norm",),
    "activation, softmax": ("gelu", "softmax", "relu", "sigmoid"),
    "sums and elementwise": ("add", "mul", "div", "sum", "sub", "where", "masked_fill"),
}
"""Kind of operator -> parts of their names; the first kind that fits counts."""


def drawn(examples: int, *, ragged: bool, seed: int = 0) -> tuple[dict[str, Tensor | None], Tensor]:
    """Arguments of the model's forward pass, and the (E, A) targets."""
    g = torch.Generator().manual_seed(seed)
    images = max(1, examples // QUESTIONS) if ragged else examples
    pieces = torch.randint(8, 21, (examples,), generator=g) if ragged else torch.full((examples,), PIECES)
    regions = torch.randint(11, REGIONS + 1, (images,), generator=g) if ragged else torch.full((images,), REGIONS)
    inputs: dict[str, Tensor | None] = {
        "input_ids": torch.randint(1000, 30000, (examples, int(pieces.max())), generator=g),
        "features": torch.rand(images, int(regions.max()), FEATURES, generator=g).half(),
        "boxes": drawn_boxes(images, int(regions.max()), g),
        "task_rows": torch.ones(examples, dtype=torch.int64),
    }
    if ragged:
        inputs["text_mask"] = torch.arange(int(pieces.max()))[None] < pieces[:, None]
        inputs["region_mask"] = torch.arange(int(regions.max()))[None] < regions[:, None]
        inputs["pair_image"] = torch.arange(examples) * images // examples
        inputs["pair_text"] = torch.arange(examples)
    answers = torch.randint(0, HEADS["answer"]["size"], (examples,), generator=g)
    return inputs, torch.nn.functional.one_hot(answers, HEADS["answer"]["size"]).float()


def padded(inputs: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """The same pairs, every row padded to the most, images repeated."""
    ids, features, boxes = inputs["input_ids"], inputs["features"], inputs["boxes"]
    assert ids is not None and features is not None and boxes is not None
    text_mask, region_mask, image = inputs.get("text_mask"), inputs.get("region_mask"), inputs.get("pair_image")
    text_mask = torch.ones_like(ids, dtype=torch.bool) if text_mask is None else text_mask
    region_mask = torch.ones(features.shape[:2], dtype=torch.bool) if region_mask is None else region_mask
    image = torch.arange(len(ids)) if image is None else image
    pad, more, missing = torch.nn.functional.pad, PIECES - ids.shape[1], REGIONS - features.shape[1]
    return {
        "input_ids": pad(ids, (0, more)),
        "text_mask": pad(text_mask, (0, more)),
        "features": pad(features[image].float(), (0, 0, 0, missing)),
        "boxes": pad(boxes[image], (0, 0, 0, missing)),
        "region_mask": pad(region_mask[image], (0, missing)),
        "task_rows": inputs["task_rows"],
    }


def step_of(way: str, examples: int, ragged: bool) -> Callable[[], None]:
    """One training step."""
    (model, optimizer), (inputs, target) = paper_model(), drawn(examples, ragged=ragged)
    output, plain = get_output("answer"), way == "plain"
    inputs = padded(inputs) if plain else inputs
    model.packs_training = not plain
    linear.onednn_is_faster = (lambda: False) if plain else linear.onednn_is_faster
    freed_memory.keep()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16) if way == "bf16" else nullcontext():
            asked: dict[str, Any] = {"outputs": None, "return_states": True} if plain else {"outputs": ("answer",)}
            logits = model(**inputs, **asked).logits["answer"]
        output.loss(logits.float(), {"target": target}).backward()
        optimizer.step()
        if not plain:
            optimizer.zero_grad(fill=True)
            return
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    return step


def evaluation_of(examples: int, ragged: bool) -> Callable[[], None]:
    (model, _), (inputs, _) = paper_model(), drawn(examples, ragged=ragged)
    network = for_predicting(model, "bf16")

    def run() -> None:
        with torch.inference_mode():
            network(**inputs, outputs=("answer",))

    return run


def shares(run: Callable[[], None]) -> dict[str, float]:
    """Share of the time that each kind of operator takes."""
    for _ in range(SETTLING):
        run()
    torch.ones(SPARE, dtype=torch.uint8)  # freed at once
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        run()
    found = dict.fromkeys([*KINDS, "rest"], 0.0)
    for event in recorded.key_averages():
        space, _, name = event.key.rpartition("::")
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "rest")
        found[kind if space in ("aten", "mkldnn") else "rest"] += event.self_cpu_time_total
    return {kind: round(spent / sum(found.values()), 3) for kind, spent in found.items()}


def measure(way: str, examples: int, ragged: bool, rounds: int) -> dict[str, Any]:
    """Seconds of steps, and of their products in turns with them."""
    step = step_of(way, examples, ragged)
    ways: dict[str, Callable[[], object]] = {"step": step}
    products = Recorded()
    if way != "plain":
        with products, patch.object(linear, "_filled", lambda states: states):  # real rows only
            step()
        ways["products"] = products.replay()
    for _ in range(SETTLING):
        step()
    times = in_turns(ways, rounds)
    found: dict[str, Any] = {f"{name}, seconds": round(statistics.median(each), 3) for name, each in times.items()}
    found["samples/s"] = round(examples / statistics.median(times["step"]), 2)
    found["peak memory, GB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    if way != "plain":
        of_products = statistics.median(times["products"])
        found["speed of the products alone"] = round(of_products / statistics.median(times["step"]), 3)
        found["products, GFLOP/s"] = round(products.operations / of_products / 1e9)
    return found


def child(*arguments: str) -> Any:
    """The result of a measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, nargs="*", default=[8, 32], help="of a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=["plain", "fp32", "bf16"])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, help="default: training.json or training-profile.json of results")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, way, examples, ragged, rounds = options.one
        if kind == "profile":
            run = evaluation_of if way == "evaluation" else lambda *of: step_of("bf16", *of)
            print(json.dumps(shares(run(int(examples), ragged == "ragged"))))
        else:
            print(json.dumps(measure(way, int(examples), ragged == "ragged", int(rounds))))
        return
    load_before = [round(number, 1) for number in os.getloadavg()]
    result: dict[str, Any] = {"machine": machine() | {"load": load_before}, "threads": torch.get_num_threads()}
    if options.profile:
        of = {"training step": "training", "evaluation": "evaluation"}
        result |= {name: child("profile", way, "8", "ragged", "0") for name, way in of.items()}
        print(json.dumps(result, indent=1))
    else:
        result |= {"rounds": options.rounds, "steps": steps(options.examples, options.ways, options.rounds)}
    name = "training-profile.json" if options.profile else "training.json"
    out: Path = options.out or Path(__file__).parent / "results" / name
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {out}")


def steps(batches: list[int], ways: list[str], rounds: int) -> dict[str, Any]:
    """The speed of steps, by the shape of the batch and the way."""
    rows: dict[str, Any] = {}
    for examples in batches:
        for shape in ("full", "ragged"):
            row: dict[str, Any] = {}
            for way in ways:
                row[way] = child("step", way, str(examples), shape, str(rounds))
                print(shape, examples, way, json.dumps(row[way]), flush=True)
            if "plain" in row:
                slow = row["plain"]["samples/s"]
                row["over plain"] = {way: round(row[way]["samples/s"] / slow, 2) for way in row if way != "plain"}
            rows[f"{shape}, batch {examples}"] = row
    return rows


if __name__ == "__main__":
    main()
