"""A forward pass at the paper's size in every precision, beside a plain program and beside its matrix products alone.

    python benchmarks/forward.py [--run RUN]

The model is that of configs/paper.yaml with random weights. Two kinds of input, in batches of eight questions: full (23
word pieces, 101 regions, an image each) and ragged (the lengths below, four questions an image). Opponents:

- plain: padded to 23 and 101 in fp32, all layers at all positions, all heads (benchmarks/plain.py). It must agree with
  the recordings of the original program, and with the package.
- replay: the matrix products of the package's own forward pass, with M, K and N as hooks record them, and nothing else.
  Weights are packed in the best of three ways for every size; for ragged inputs M counts real positions only. Products
  of attention, which have no weights, are part of it; the share without them is given too.

The package and its replay compute as many batches side by side as there are cores, each on one, as an evaluation does
(twelve/threads.py); both are measured one batch at a time too.

All take turns in every round. The tables are medians of wall seconds and of processor seconds, which depend less on
what else the machine does; final numbers want a quiet machine. --run adds what bf16
changes in a trained model's scores. Written as JSON with the machine named.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paper_size import FEATURES, HEADS, drawn_boxes
from plain import Plain, difference_from_goldens
from products import Operand, Recorded
from torch import Tensor, nn

from twelve.config import load, load_run
from twelve.evaluation.evaluate import Evaluator
from twelve.evaluation.predict import retrieve
from twelve.model.checkpoints import write_released
from twelve.model.config import TwelveConfig
from twelve.model.opening import open_saved
from twelve.model.precision import DTYPES, Product, for_predicting
from twelve.model.vilbert import Twelve
from twelve.run_folder import model_folder
from twelve.threads import Threads
from twelve.training.provenance import machine

BATCH, LONGEST, REGIONS, HEAD = 8, 23, 101, "answer"
# numpy.random.default_rng(1): integers(8, 21, 32), then integers(11, 102, 8)
GALLERY = 100
"""Images that a caption is ranked against."""
WORDS = (
    14,
    14,
    17,
    20,
    8,
    9,
    18,
    20,
    11,
    12,
    19,
    13,
    11,
    18,
    11,
    13,
    16,
    15,
    9,
    8,
    19,
    17,
    18,
    14,
    18,
    12,
    13,
    18,
    9,
    11,
    9,
    13,
)
SEEN = (99, 23, 45, 47, 93, 29, 56, 34)
PRODUCT = torch.ops.mkldnn._linear_pointwise
PACK = torch.ops.mkldnn._reorder_linear_weight
Sizes = list[tuple[int, int, int]]


def batch(words: list[int], regions: list[int], seed: int) -> dict[str, Tensor]:
    """Drawn inputs with texts of ``words`` word pieces and images of ``regions`` regions, in pairs in order."""
    g = torch.Generator().manual_seed(seed)
    length, most, pairs = max(words), max(regions), torch.arange(len(words))
    return {
        "input_ids": torch.randint(1000, 30000, (len(words), length), generator=g),
        "text_mask": torch.arange(length) < torch.tensor(words)[:, None],
        "features": torch.rand(len(regions), most, FEATURES, generator=g).half(),
        "boxes": drawn_boxes(len(regions), most, g),
        "region_mask": torch.arange(most) < torch.tensor(regions)[:, None],
        "task_rows": torch.ones(len(words), dtype=torch.int64),
        "pair_text": pairs,
        "pair_image": pairs * len(regions) // len(words),
    }


def padded(inputs: Mapping[str, Tensor]) -> tuple[Tensor | None, ...]:
    """The same for :class:`Plain`: an image for each question, all of the greatest length."""

    def grown(tensor: Tensor, length: int) -> Tensor:
        return torch.cat([tensor, tensor.new_zeros(len(tensor), length - tensor.shape[1], *tensor.shape[2:])], 1)

    image = {name: grown(inputs[name][inputs["pair_image"]], REGIONS) for name in ("features", "boxes", "region_mask")}
    ids, mask = grown(inputs["input_ids"], LONGEST), grown(inputs["text_mask"], LONGEST)
    return ids, mask, None, inputs["task_rows"], image["features"], image["boxes"], image["region_mask"]


@dataclass(frozen=True)
class Products:
    """The matrix products of a forward pass.

    Attributes:
        weighted: (M, K, N) of those with weights, in order.
        attention: factors of those of attention, in order.
    """

    weighted: Sizes
    attention: list[tuple[Operand, Operand]]

    @property
    def flops(self) -> float:
        weighted = sum(2.0 * m * k * n for m, k, n in self.weighted)
        return weighted + sum(2.0 * math.prod(a.shape) * b.shape[-1] for a, b in self.attention)


def products_of(network: Twelve, inputs: Mapping[str, Tensor]) -> Products:
    """The products of a forward pass, as hooks and torch's dispatcher see them."""
    found: Sizes = []

    def note(layer: nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        found.append((arguments[0].shape.numel() // arguments[0].shape[-1], arguments[0].shape[-1], len(layer.bias)))

    layers = [part for part in network.modules() if isinstance(part, Product | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with Recorded() as recorded:
        network(**inputs, outputs=(HEAD,))
    for hook in hooks:
        hook.remove()
    return Products(found, [pair for pair in recorded.pairs if len(pair[0].shape) == 3])


def best_hint(m: int, k: int, n: int, dtype: torch.dtype) -> int | None:
    """The argument with which packing a weight makes this product fastest."""
    states, weight, bias = torch.ones(m, k, dtype=dtype), torch.ones(n, k, dtype=dtype), torch.ones(n, dtype=dtype)
    packs = {hint: PACK(weight, hint) for hint in (None, m, 1)}
    seconds = {
        hint: [spent(partial(PRODUCT, states, packed, bias, "none", [], ""))[1] for _ in range(4)]
        for hint, packed in packs.items()
    }
    return min(packs, key=lambda hint: min(seconds[hint]))


class Replay:
    """The matrix products of several batches, each layer with a weight of its own."""

    def __init__(self, batches: Sequence[Products], dtype: torch.dtype) -> None:
        first = batches[0].weighted
        hints = {size: best_hint(*size, dtype) for size in set(first)}
        self.weights = [PACK((torch.randn(n, k) / 30).to(dtype), hints[m, k, n]) for m, k, n in first]
        self.biases = {n: torch.zeros(n, dtype=dtype) for _, _, n in first}
        self.states = {(m, k): torch.randn(m, k).to(dtype) for each in batches for m, k, _ in each.weighted}
        made = {operand: operand.make() for each in batches for pair in each.attention for operand in pair}
        self.factors = {
            id(each): [(made[a].to(dtype), made[b].to(dtype)) for a, b in each.attention] for each in batches
        }

    def weighted(self, products: Products) -> None:
        for (m, k, n), weight in zip(products.weighted, self.weights, strict=True):
            PRODUCT(self.states[m, k], weight, self.biases[n], "none", [], "")

    def __call__(self, products: Products) -> None:
        self.weighted(products)
        for a, b in self.factors[id(products)]:
            torch.bmm(a, b)


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and processor seconds."""
    wall, worked = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - worked


def asking(network: Twelve, inputs: Mapping[str, Tensor]) -> Any:
    return network(**inputs, outputs=(HEAD,))


def all_of(threads: Threads, work: Callable[[Any], object], items: Sequence[Any]) -> None:
    for _ in threads.each(work, items):
        pass


def over(times: Mapping[str, list[tuple[float, float]]], one: str, other: str, clock: int) -> float:
    """Median over the rounds of the seconds of one way over those of the other."""
    return round(statistics.median(a[clock] / b[clock] for a, b in zip(times[one], times[other], strict=True)), 3)


@torch.inference_mode()
def measure(rounds: int) -> dict[str, Any]:
    """Samples a second of every way, and each way's share of its replay."""
    torch.manual_seed(0)
    fields = {
        **load("configs/paper.yaml").model.architecture,
        "heads": {key: dict(head) for key, head in HEADS.items()},
    }
    model = Twelve(TwelveConfig(**fields)).eval()
    networks = {precision: for_predicting(model, precision) for precision in DTYPES}
    plain = Plain(write_released(model), model.config.to_dict())
    images = BATCH // 4
    inputs = {
        "full": [batch([LONGEST] * BATCH, [REGIONS] * BATCH, 0)],
        "ragged": [
            batch(list(WORDS[BATCH * i : BATCH * (i + 1)]), list(SEEN[images * i : images * (i + 1)]), 1 + i)
            for i in range(len(WORDS) // BATCH)
        ],
    }
    one, several = Threads(torch.get_num_threads(), auto=False), Threads(torch.get_num_threads())
    found: dict[str, Any] = {"difference of plain from the recordings": difference_from_goldens()}
    for kind, batches in inputs.items():
        many = batches * (len(WORDS) // BATCH // len(batches))
        products = [products_of(networks["bf16"], each) for each in many]
        inputs_of_plain = [padded(each) for each in many]
        ways: dict[str, Callable[[], Any]] = {"plain": partial(all_of, one, lambda each: plain(*each), inputs_of_plain)}
        for precision, network in networks.items():
            asked, replay = partial(asking, network), Replay(products, DTYPES[precision])
            for label, threads in (("", several), (", one at a time", one)):
                ways[f"{precision}{label}"] = partial(all_of, threads, asked, many)
                ways[f"replay {precision}{label}"] = partial(all_of, threads, replay, products)
            ways[f"replay {precision}, weights"] = partial(all_of, several, replay.weighted, products)
        wanted = plain(*inputs_of_plain[0])[HEAD]
        differences = {p: float((asking(networks[p], many[0]).logits[HEAD] - wanted).abs().max()) for p in DTYPES}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                both = spent(way)
                if turn:
                    times[name].append(both)
        samples, gflop = BATCH * len(many), sum(each.flops for each in products) / 1e9
        rows: dict[str, dict[str, float]] = {}
        for name, both in times.items():
            wall, worked = (statistics.median(column) for column in zip(*both, strict=True))
            rows[name] = {
                "samples/s": round(samples / wall, 2),
                "processor seconds a sample": round(worked / samples, 4),
                "times plain": over(times, "plain", name, 0),
                "times plain, processor": over(times, "plain", name, 1),
            }
            if name.startswith("replay") and "weights" not in name:
                rows[name]["GFLOP/s"] = round(gflop / wall, 1)
        for precision in DTYPES:
            for label in ("", ", one at a time"):
                rows[f"{precision}{label}"] |= {
                    "share of replay": over(times, f"replay {precision}{label}", f"{precision}{label}", 0),
                    "share of replay, processor": over(times, f"replay {precision}{label}", f"{precision}{label}", 1),
                }
            rows[precision]["share of products with weights"] = over(
                times, f"replay {precision}, weights", precision, 0
            )
        for name, row in rows.items():
            print(kind, name, json.dumps(row), flush=True)
        found[kind] = {
            "GFLOP a sample": round(gflop / samples, 2),
            "largest difference from plain, logits": differences,
            "standard deviation of logits": float(wanted.std()),
            "ways": rows,
        }
        print(kind, {key: value for key, value in found[kind].items() if key != "ways"}, flush=True)
    seconds = {kind: found[kind]["ways"]["bf16"]["processor seconds a sample"] for kind in inputs}
    speeds = {kind: found[kind]["ways"]["bf16"]["samples/s"] for kind in inputs}
    found["ragged over full, bf16"] = {
        "samples/s": round(speeds["ragged"] / speeds["full"], 2),
        "processor": round(seconds["full"] / seconds["ragged"], 2),
        "arithmetic": round(found["full"]["GFLOP a sample"] / found["ragged"]["GFLOP a sample"], 2),
    }
    print("ragged over full, bf16", found["ragged over full, bf16"])
    return found


def accuracy(run: Path) -> dict[str, Any]:
    """Of each task of a trained run: its score in both precisions, and the share of equal decisions."""
    config, (model, processor) = load_run(run), open_saved(model_folder(run))
    first = Evaluator(config, for_predicting(model, "fp32"), processor, baselines=False)
    half = Evaluator(config, for_predicting(model, "bf16"), processor, baselines=False, data=first.data)
    evaluators = (first, half)
    found = {}
    for name in config.tasks:
        task = evaluators[0].data.tasks[name]
        if task.output.ranks_gallery:
            full, rounded = (
                retrieve(
                    each.model,
                    each._collator(task),
                    each._read(task, task.test_split),
                    gallery=GALLERY,
                    batch_size=config.evaluation.batch_size,
                    label=name,
                )
                for each in evaluators
            )
            scores = [task.task.measure(*each).headline for each in (full, rounded)]
            same = float(np.mean(full[1].scores.argmax(1) == rounded[1].scores.argmax(1)))
            moved = float(np.abs(full[1].scores - rounded[1].scores).max())
        else:
            predictions = [each.predict(name)[1] for each in evaluators]
            scores = [
                each.measure(name, predictions=made).score.mean
                for each, made in zip(evaluators, predictions, strict=True)
            ]
            same = float(np.mean([one.value == other.value for one, other in zip(*predictions, strict=True)]))
            moved = max(abs(one.confidence - other.confidence) for one, other in zip(*predictions, strict=True))
        found[name] = {
            "fp32": round(scores[0], 3),
            "bf16": round(scores[1], 3),
            "equal decisions": round(same, 5),
            "largest change of a score": round(moved, 4),
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", type=Path, help="a trained run, to compare the scores of both precisions")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "forward.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "threads": torch.get_num_threads(), "rounds": arguments.rounds}
    result["processes that were running"] = round(os.getloadavg()[0], 1)
    if arguments.run is not None:
        result["trained model"] = accuracy(arguments.run)
    result |= measure(arguments.rounds)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
