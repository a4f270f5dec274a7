"""Where the time of a training iteration and of an evaluation goes, and what the package's habits save.

    python benchmarks/speed.py --config real-sample.yaml

Batches are drawn, in the shapes that the real sample's tasks have.

Every ratio is measured side by side in this one run: the same model on the same pairs, once as the package does it and
once padded to the task's longest text and most regions, texts and images repeated for every pair, every layer and
head run ("plain"). Medians over the rounds; written as JSON with the machine named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from twelve.config import load
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.training.optimizer import AdamW, parameter_groups
from twelve.training.provenance import machine

HEADS = {
    "answer": {"kind": "answer", "size": 225},
    "alignment": {"kind": "alignment", "size": 1},
    "region": {"kind": "region", "size": 1},
    "pair": {"kind": "pair", "size": 2},
    "entailment": {"kind": "entailment", "size": 3},
}
# task: head, texts, images, pairs as (text, image) patterns, lengths of its texts (mean, longest allowed)
SHAPES: Mapping[str, tuple[str, int, int, int, int, int]] = {
    "one text, one image (answer)": ("answer", 32, 30, 32, 13, 23),
    "caption with three negatives": ("alignment", 24, 12, 48, 14, 30),
    "phrase and boxes (region)": ("region", 32, 30, 32, 6, 20),
    "statement about two images": ("pair", 12, 40, 40, 14, 40),
    "hypothesis (entailment)": ("entailment", 24, 23, 24, 11, 56),
}
REGIONS = 37
PLAIN_REGIONS = 101
MATRIX = ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "scaled_dot_product")


def batch(shape: tuple[str, int, int, int, int, int], features: int, seed: int) -> dict[str, Any]:
    """A drawn batch with one text length, as bucketing makes it."""
    _, texts, images, pairs, length, _ = shape
    g = torch.Generator().manual_seed(seed)
    return {
        "input_ids": torch.randint(5, 30000, (texts, length), generator=g),
        "features": torch.rand(images, REGIONS, features, generator=g).half(),
        "boxes": torch.rand(images, REGIONS, 5, generator=g),
        "task_rows": torch.ones(texts, dtype=torch.int64),
        "pair_text": torch.arange(pairs) * texts // pairs,
        "pair_image": torch.arange(pairs) % images,
    }


def plain(inputs: Mapping[str, Tensor], longest: int) -> dict[str, Any]:
    """The same pairs as a plain implementation batches them: repeated, padded to the maximum."""
    text, image = inputs["pair_text"], inputs["pair_image"]
    ids, features, boxes = inputs["input_ids"][text], inputs["features"][image].float(), inputs["boxes"][image]
    pad = torch.nn.functional.pad
    mask = torch.zeros(len(text), longest, dtype=torch.bool)
    mask[:, : ids.shape[1]] = True
    seen = torch.zeros(len(text), PLAIN_REGIONS, dtype=torch.bool)
    seen[:, :REGIONS] = True
    return {
        "input_ids": pad(ids, (0, longest - ids.shape[1])),
        "text_mask": mask,
        "features": pad(features, (0, 0, 0, PLAIN_REGIONS - REGIONS)),
        "boxes": pad(boxes, (0, 0, 0, PLAIN_REGIONS - REGIONS)),
        "region_mask": seen,
        "task_rows": inputs["task_rows"][text],
    }


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Median wall time after one warm-up."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matrix_share(run: Callable[[], object]) -> dict[str, float]:
    """Share of the processor time in matrix products, and the largest other operators."""
    run()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        run()
    own = {event.key: event.self_cpu_time_total for event in recorded.key_averages()}
    total = sum(own.values())
    products = sum(value for key, value in own.items() if any(name in key for name in MATRIX))
    others = sorted(((v / total, k) for k, v in own.items() if not any(n in k for n in MATRIX)), reverse=True)[:6]
    return {"matrix products": round(products / total, 3), **{key: round(share, 3) for share, key in others}}


def measure(model: Twelve, rounds: int) -> dict[str, Any]:
    optimizer = AdamW(parameter_groups(model, base_lr=1e-5, head_lr=1e-5), bias_correction=True)
    return {name: measure_shape(model, optimizer, name, shape, rounds) for name, shape in SHAPES.items()}


def measure_shape(
    model: Twelve, optimizer: AdamW, name: str, shape: tuple[str, int, int, int, int, int], rounds: int
) -> dict[str, Any]:
    """Training and inference of one kind of batch, ours beside plain, with the profile of ours."""
    head, _, _, pairs, _, longest = shape
    inputs = batch(shape, model.config.v_feature_size, seed=0)
    wide = plain(inputs, longest)

    def forward(ours: bool) -> Tensor:
        if ours:
            return model(**inputs, outputs=(head,)).logits[head]
        return model(**wide, outputs=None, return_states=True).logits[head]

    def training(ours: bool) -> None:
        forward(ours).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(fill=True)

    def inference(ours: bool) -> None:
        with torch.inference_mode():
            forward(ours)

    found: dict[str, Any] = {}
    for mode, run in {"training": training, "inference": inference}.items():
        model.train(mode == "training")
        fast, slow = seconds(partial(run, True), rounds), seconds(partial(run, False), rounds)
        found[mode] = {
            "pairs/s": round(pairs / fast, 1),
            "plain pairs/s": round(pairs / slow, 1),
            "ratio": round(slow / fast, 2),
        }
        print(name, mode, found[mode], flush=True)
        found[mode]["profile"] = matrix_share(partial(run, True))
    return found


def retrieval_tile(model: Twelve, rounds: int) -> dict[str, float]:
    """Pairs a second of a caption x image tile, with the states before fusion kept and without."""
    texts, images = 8, 16
    shape = ("alignment", texts, images, texts * images, 14, 30)
    inputs = batch(shape, model.config.v_feature_size, seed=1)
    inputs["pair_text"] = torch.arange(texts).repeat_interleave(images)
    inputs["pair_image"] = torch.arange(images).repeat(texts)
    wide = plain(inputs, 30)
    model.eval()
    with torch.inference_mode():
        encoded_texts = model.encode_texts(inputs["input_ids"], task_rows=inputs["task_rows"])
        encoded_images = model.encode_images(inputs["features"], inputs["boxes"])

        def kept() -> None:
            model.fuse(encoded_texts, encoded_images, inputs["pair_text"], inputs["pair_image"], outputs=("alignment",))

        ours = seconds(kept, rounds)
        theirs = seconds(lambda: model(**wide, return_states=True), rounds)
    pairs = texts * images
    return {
        "pairs/s": round(pairs / ours, 1),
        "plain pairs/s": round(pairs / theirs, 1),
        "ratio": round(theirs / ours, 2),
    }


def model_of(config: str, features: int) -> Twelve:
    """A model of random weights with the architecture of a shipped configuration and a text stream of MiniLM's size."""
    text = {
        "vocab_size": 30522,
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "max_position_embeddings": 512,
    }
    fields: dict[str, Any] = {**text, **load(f"configs/{config}").model.architecture}
    return Twelve(TwelveConfig(**fields, heads=HEADS, v_feature_size=features, task_specific_tokens=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="real-sample.yaml", help="whose architecture is measured")
    parser.add_argument("--features", type=int, default=1456, help="size of a region's features")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    arguments = parser.parse_args()
    np.random.seed(0)
    torch.manual_seed(0)
    model = model_of(arguments.config, arguments.features)
    rows = measure(model, arguments.rounds)
    result = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tasks": rows,
        "retrieval tile, states kept": retrieval_tile(model, arguments.rounds),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
