"""Images per second of each source of regions, and what folded norms and channels-last memory save.

    python benchmarks/extraction.py

Every source is built with untrained weights (the time does not depend on them), three ways: as its library has it
("plain"), with batch norms folded into convolutions ("folded"), and folded with channels last in memory ("both", which
is how the package runs plain networks and torchvision's detectors). The three take turns on the same drawn image in
this one run, one thread, processor time; medians over the rounds, written as JSON with the machine named. Images
enter smaller than usual, so that the whole takes a minute: ratios are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from twelve.io.files import replacing
from twelve.regions.detectors import backbone, build, torchvision_detector
from twelve.regions.detectors.feature_extractor import FeatureExtractor
from twelve.regions.detectors.x152 import build as build_x152
from twelve.regions.extraction.box_sources import Cells, Detected
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize
from twelve.training.provenance import machine

WAYS = ("plain", "folded", "both")
SIDE = 320
"""Pixels of the short side of images in networks that are large."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is measured: a feature extractor, built with norms folded or not, and the boxes that it describes."""

    make: Callable[[bool], FeatureExtractor]
    boxes: str


def sources() -> Mapping[str, Source]:
    """Source of regions -> how it is made."""
    large = InputSize(short_side=SIDE)

    def plain(name: str, boxes: str = "grid:6x6", size: InputSize | None = large) -> Source:
        config = ExtractorConfig(name, None if size is None else "random", input_size=size, boxes=boxes)
        return Source(lambda fold: build.build(config), boxes)

    def detection(name: str, side: int | None = SIDE) -> Source:
        config = ExtractorConfig(name, "random", input_size=None if side is None else InputSize(short_side=side))
        return Source(lambda fold: build.build(config), "detect")

    return {
        "x152": Source(lambda fold: build_x152("random", fold=fold, short_side=SIDE), "detect"),
        "microworld": plain("microworld", "detect", None),
        "fasterrcnn_resnet50_fpn": detection("fasterrcnn_resnet50_fpn"),
        "fasterrcnn_mobilenet_v3_large_320_fpn": detection("fasterrcnn_mobilenet_v3_large_320_fpn", None),
        "retinanet_resnet50_fpn": detection("retinanet_resnet50_fpn"),
        "resnet50, grid": plain("resnet50"),
        "tf_efficientnet_lite0, grid": plain("tf_efficientnet_lite0"),
        "vit_small_patch16_224, patches": plain("vit_small_patch16_224", "patches"),
    }


@contextlib.contextmanager
def folding(wanted: bool) -> Iterator[None]:
    """Within, networks are built with their norms folded or as they are."""
    users: tuple[Any, ...] = (backbone, torchvision_detector)
    before = [user.fold_norms for user in users]
    for user in users:
        user.fold_norms = user.fold_norms if wanted else lambda network: 0
    yield
    for user, original in zip(users, before, strict=True):
        user.fold_norms = original


def arranged(network: FeatureExtractor, last: bool) -> FeatureExtractor:
    """A network whose weights, and the input of whose first convolution, have channels last in memory or first."""
    order = torch.channels_last if last else torch.contiguous_format
    network.to(memory_format=order)  # type: ignore[call-overload]
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(memory_format=order),))
    return network


def seconds(extractor: Extractor, image: Image.Image) -> tuple[float, float]:
    """Processor time of preparing an image, and of describing its regions."""
    network, supply = extractor.network, extractor.boxes
    started = time.process_time()
    prepared = network.prepare(image)
    ready = time.process_time()
    encoded = network.encode([prepared])
    if isinstance(supply, Cells):
        network.patches(encoded)
    elif isinstance(supply, Detected):
        (found,) = network.detect(encoded, supply.most, 0.0)
        if found.features is None:
            network.describe(encoded, [found.boxes])
    else:
        network.describe(encoded, [torch.from_numpy(supply.boxes("", *image.size).boxes)])
    return ready - started, time.process_time() - ready


def measure(source: Source, image: Image.Image, rounds: int) -> dict[str, Any]:
    """Medians over the rounds; the ways take turns."""
    extractors = {}
    for way in WAYS:
        with folding(way != "plain"):
            network = arranged(source.make(way != "plain"), way == "both")
        extractors[way] = Extractor(ExtractorConfig(boxes=source.boxes), network)
        seconds(extractors[way], image)
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, extractor in extractors.items():
            taken[way].append(seconds(extractor, image))
    describing = {way: statistics.median(spent for _, spent in own) for way, own in taken.items()}
    preparing = statistics.median(prepare for prepare, _ in taken["both"])
    prepared = extractors["both"].network.prepare(image).pixels.shape
    return {
        "input": [side for side in prepared if side != 3],
        "images_a_second": {way: round(1 / (preparing + spent), 3) for way, spent in describing.items()},
        "preparing_seconds": round(preparing, 4),
        "network_seconds": {way: round(spent, 4) for way, spent in describing.items()},
        "times_as_fast_as_plain": {way: round(describing["plain"] / spent, 2) for way, spent in describing.items()},
    }


def main() -> None:
    """Measure every source, print a line of each, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sources", nargs="*", help="of those that there are; all by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "extraction.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    blocks = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((500, 375), Image.Resampling.BICUBIC)
    found = {}
    for name, source in sources().items():
        if options.sources and name not in options.sources:
            continue
        found[name] = measure(source, image, options.rounds)
        print(f"{name}: {found[name]}", flush=True)
    tree = {"machine": machine(), "threads": 1, "image": list(image.size), "sources": found}
    with replacing(options.out) as partial:
        partial.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
