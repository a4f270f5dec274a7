"""Where the time of the paper's region detector goes, and what its shortcuts save.

    python benchmarks/x152.py --threads 1

One drawn image of 800 x 600 pixels (800 x 1067 in the network), invented weights. Every ratio is measured side by
side in this one run: batch norms folded or not, bfloat16 or float32, one suppression for all classes or one call a
class, the resize axis by axis or from four corners at once. Network times are seconds of processor time, so that other
programs on the machine disturb them little; written as JSON with the machine named.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from twelve.regions.detectors.feature_extractor import Detections
from twelve.regions.detectors.x152 import X152, Scaled, build
from twelve.regions.detectors.x152.pooling import pool
from twelve.regions.detectors.x152.preprocessing import batch, prepare, resize
from twelve.regions.detectors.x152.proposals import closed, propose
from twelve.regions.detectors.x152.selection import OVERLAP, select, survivors
from twelve.regions.extraction.fidelity import compare
from twelve.training.provenance import machine


def drawn(width: int = 800, height: int = 600) -> Image.Image:
    """Coarse noise: the invented weights find a thousand proposals in it."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Median processor time."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


class Watch:
    """Processor time of consecutive stages."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._last, self._wall = time.process_time(), time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.process_time()
        self.stages[name], self._last = round(now - self._last, 2), now

    def total(self) -> dict[str, float]:
        wall = round(time.perf_counter() - self._wall, 2)
        return {**self.stages, "total": round(sum(self.stages.values()), 2), "wall": wall}


@torch.inference_mode()
def detect(detector: X152, prepared: Scaled) -> tuple[dict[str, float], Detections, Tensor, Tensor]:
    """One detection stage by stage: times, the regions, all proposals in the image's pixels, their probabilities."""
    network, watch = detector.network, Watch()
    pixels = batch([prepared])
    stages = network.body(pixels.to(network.fc6.weight.dtype))
    watch.stage("body")
    maps = network.pyramid(stages)
    watch.stage("pyramid")
    logits, moves = network.rpn_head(maps)
    watch.stage("proposal head")
    ((boxes, _),) = propose(logits, moves, [prepared.extent], detector.sizes)
    watch.stage("proposals")
    pooled = pool(maps, [boxes])
    watch.stage("pooling")
    features, scores = network.describe(pooled)
    watch.stage("box head")
    probabilities, original = scores.softmax(dim=1), boxes / prepared.scale
    rows, best = select(original, probabilities, 100)
    watch.stage("selection")
    kept = probabilities[rows]
    found = Detections(original[rows], best, kept[:, 1:].argmax(dim=1), features[rows], kept)
    return watch.total(), found, original, probabilities


def one_by_one(boxes: Tensor, scores: Tensor) -> Tensor:
    """Suppression with a call for every class."""
    stays = torch.zeros_like(scores, dtype=torch.bool)
    grown = closed(boxes)
    for number in range(scores.shape[1]):
        stays[nms(grown, scores[:, number], OVERLAP), number] = True
    return stays


def suppression(boxes: Tensor, probabilities: Tensor, rounds: int) -> dict[str, Any]:
    scores = probabilities[:, 1:]
    columns = scores.t().contiguous().t()  # a class's scores side by side: as the loop likes them
    assert torch.equal(survivors(boxes, scores), one_by_one(boxes, columns))
    together = seconds(lambda: survivors(boxes, scores), rounds)
    loop = seconds(lambda: one_by_one(boxes, columns), rounds)
    return {
        "boxes": len(boxes),
        "classes": scores.shape[1],
        "all classes at once": round(together, 4),
        "a call a class": round(loop, 4),
        "ratio": round(loop / together, 2),
    }


def four_corners(pixels: Tensor, scale: float) -> Tensor:
    """The resize from the four nearest pixels at once."""
    places, shares = [], []
    for length in pixels.shape[1:]:
        place = (np.arange(round(length * scale)) + 0.5) * (1 / scale) - 0.5
        before = np.floor(place)
        places.append([torch.from_numpy(np.clip(before + step, 0, length - 1).astype(np.int64)) for step in (0, 1)])
        shares.append(torch.from_numpy((place - before).astype(np.float32)))
    (top, bottom), (left, right) = places
    down, across = shares[0][:, None], shares[1][None, :]
    above = pixels[:, top[:, None], left] * (1 - across) + pixels[:, top[:, None], right] * across
    below = pixels[:, bottom[:, None], left] * (1 - across) + pixels[:, bottom[:, None], right] * across
    return above * (1 - down) + below * down


def preprocessing(image: Image.Image, rounds: int) -> dict[str, float]:
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().contiguous()
    scale = prepare(image).scale
    assert torch.allclose(resize(levels, scale), four_corners(levels, scale), atol=1e-4)
    by_axis = seconds(lambda: resize(levels, scale), rounds)
    at_once = seconds(lambda: four_corners(levels, scale), rounds)
    return {
        "whole": round(seconds(lambda: prepare(image), rounds), 4),
        "resize, axis by axis": round(by_axis, 4),
        "resize, four corners": round(at_once, 4),
        "ratio": round(at_once / by_axis, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="of what takes less than a second; the network runs once")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "x152.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    image = drawn()
    prepared = prepare(image)
    plain = build("random", fold=False)
    folded = copy.deepcopy(plain)
    folded.network.fold()
    half = copy.deepcopy(folded)
    half.network.to(torch.bfloat16)
    times, found = {}, {}
    for name, detector in (("float32", plain), ("float32, folded", folded), ("bfloat16, folded", half)):
        times[name], found[name], boxes, probabilities = detect(detector, prepared)
        print(name, times[name], flush=True)
        if detector is plain:
            shared = suppression(boxes, probabilities, arguments.rounds)
    seconds_of = {name: each["total"] for name, each in times.items()}
    result = {
        "machine": machine(),
        "threads": arguments.threads,
        "load of the machine at the start": load,
        "image": {"width": image.width, "height": image.height, "in the network": list(prepared.extent)},
        "weights": "invented",
        "network, seconds of processor time": times,
        "folded, ratio": round(seconds_of["float32"] / seconds_of["float32, folded"], 2),
        "folded, regions": str(compare([found["float32"]], [found["float32, folded"]])),
        "bfloat16, ratio": round(seconds_of["float32, folded"] / seconds_of["bfloat16, folded"], 2),
        "bfloat16, regions": str(compare([found["float32"]], [found["bfloat16, folded"]])),
        "suppression, seconds": shared,
        "preprocessing, seconds": preprocessing(image, arguments.rounds),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
