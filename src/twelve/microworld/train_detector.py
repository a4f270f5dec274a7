"""Trains the microworld's detector on images drawn for it::

    twelve data train-detector --out src/twelve/regions/detectors/microworld.safetensors

This command made the shipped weights. Its scenes come from random generators that no microworld uses, so they occur in
no microworld; every batch is new.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twelve.io.files import check_file, replacing
from twelve.microworld.draw import Style, draw
from twelve.microworld.scene import COLOURS, HEIGHT, KINDS, PATTERNS, SIZES, WIDTH, WorldScene, sample_scene
from twelve.progress import Track
from twelve.regions.detectors.feature_extractor import PreparedImage
from twelve.regions.detectors.shipped_detector import MOST, THRESHOLD, Detector, ShippedDetector, save
from twelve.regions.extraction.pipeline import single_threaded

FIRST_SEED = 0xB0B
"""First number of the training images' seed; worlds have other seeds."""
STEPS_A_MINUTE = 200
"""Measured on one core. Training ends by steps, not by time, so that a seed gives the same weights."""
BATCH = 16
LEARNING_RATE = 2e-3
WARMUP = 100
PROBE_SCENES = 300

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "pattern": PATTERNS,
}


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of a detector on unseen images; shares in 0..1.

    Attributes:
        recall: share of things that a detection overlaps with an IoU of at least 0.5, of whatever kind.
        named: share of these with the correct kind.
        probes: attribute -> accuracy of a linear classifier on the features of the things' boxes, trained on half of
            the images and measured on the rest.
        detections: average number per image; an image has 5.5 things on average.
    """

    recall: float
    named: float
    probes: Mapping[str, float]
    detections: float

    def __str__(self) -> str:
        probes = ", ".join(f"{name} {100 * share:.1f}%" for name, share in self.probes.items())
        return (
            f"recall at IoU 0.5 {self.recall:.3f}, kind right {self.named:.3f}, "
            f"{self.detections:.1f} detections per image; linear probes of the features: {probes}"
        )


def train_detector(out: Path, seed: int = 0, minutes: float = 8.0) -> Quality:
    """Train the detector, write its weights to ``out`` and measure it. The same arguments give the same weights on the
    same machine.

    Args:
        minutes: approximate duration. Uses one core; images are too small to gain from more.

    Raises:
        TwelveError: the file cannot be written.
    """
    check_file(out)
    steps = max(1, round(minutes * STEPS_A_MINUTE))
    with torch.random.fork_rng(devices=[]), single_threaded():
        torch.manual_seed(seed)
        detector = Detector(tuple(KINDS), {name: len(values) for name, values in ATTRIBUTES.items()})
        _fit(detector, seed, steps)
    detector.half().float()  # rounded as in the file
    quality = measure(detector, seed=seed, count=PROBE_SCENES)
    metadata = {
        "command": f"twelve data train-detector --seed {seed} --minutes {minutes:g} --out microworld.safetensors",
        "steps": str(steps),
        "quality": json.dumps(asdict(quality)),
    }
    with replacing(out) as partial:
        save(detector, partial, metadata)
    return quality


def _fit(detector: Detector, seed: int, steps: int) -> None:
    backbone = ShippedDetector(detector, "microworld")
    optimizer = torch.optim.AdamW(detector.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    warmup = min(WARMUP, max(1, steps // 4))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 * (1 + np.cos(np.pi * min(1.0, step / steps)))),
    )
    detector.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = scenes(seed, "train")
    with Track("training the detector", steps, "steps") as bar:
        for _ in range(steps):
            pixels, targets = batch([next(images) for _ in range(BATCH)])
            losses = detector(backbone.normalise(pixels), targets)
            loss = sum(losses.values(), torch.zeros(()))
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss is not finite: {losses}")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            bar.advance(1, " ".join(f"{name} {value.item():.3f}" for name, value in losses.items()))
    detector.eval()


def scenes(seed: int, use: str) -> Iterator[tuple[WorldScene, np.ndarray]]:
    """Endless scenes from a separate random generator with images (H, W, 3) uint8, alternating both styles."""
    rng = np.random.default_rng([FIRST_SEED, seed, *use.encode()])
    styles: tuple[Style, ...] = ("photo", "painted")
    while True:
        for style in styles:
            scene = sample_scene(rng)
            yield scene, np.asarray(draw(scene, seed=int(rng.integers(2**32)), style=style))


def batch(images: list[tuple[WorldScene, np.ndarray]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """(I, H, W, 3) uint8 pixels and the detection targets of each image."""
    pixels = torch.from_numpy(np.stack([image for _, image in images]))
    return pixels, [_target(scene) for scene, _ in images]


def _target(scene: WorldScene) -> dict[str, Tensor]:
    kinds = list(KINDS)
    target = {
        "boxes": torch.tensor([thing.box for thing in scene.things]),
        "labels": torch.tensor([1 + kinds.index(thing.kind) for thing in scene.things]),
    }
    for name, values in ATTRIBUTES.items():
        target[name] = torch.tensor([values.index(getattr(thing, name)) for thing in scene.things])
    return target


def measure(detector: Detector, *, seed: int = 0, count: int = 300) -> Quality:
    """Measure a detector on ``count`` unseen images."""
    backbone = ShippedDetector(detector, "microworld")
    images = scenes(seed, "test")
    found = named = things = detections = 0
    features: list[Tensor] = []
    truths: list[dict[str, Tensor]] = []
    with Track("evaluating the detector", count, "images") as bar:
        for _ in range(count):
            pixels, (target,) = batch([next(images)])
            encoded = backbone.encode([PreparedImage(pixels[0], WIDTH, HEIGHT)])
            (seen,) = backbone.detect(encoded, MOST, THRESHOLD)
            assert seen.class_ids is not None
            hits, right = _hits(seen.boxes, seen.class_ids + 1, target)
            found, named, things = found + hits, named + right, things + len(target["boxes"])
            detections += len(seen.boxes)
            features += backbone.describe(encoded, [target["boxes"]])
            truths.append(target)
            bar.advance()
    half = sum(len(part) for part in features[: count // 2])
    together = torch.cat(features).clone()
    probes = {
        name: _probe(together, torch.cat([truth[key] for truth in truths]), half)
        for name, key in {"kind": "labels", **{name: name for name in ATTRIBUTES}}.items()
    }
    return Quality(found / things, named / max(found, 1), probes, detections / count)


def _hits(boxes: Tensor, labels: Tensor, target: Mapping[str, Tensor]) -> tuple[int, int]:
    """(number of things that a detection overlaps enough, number of these with the correct label)."""
    from torchvision.ops import box_iou

    if not len(boxes):
        return 0, 0
    overlap, best = box_iou(target["boxes"], boxes).max(1)
    hit = overlap >= 0.5
    return int(hit.sum()), int((hit & (labels[best] == target["labels"])).sum())


def _probe(features: Tensor, labels: Tensor, half: int) -> float:
    """Accuracy of multinomial logistic regression on standardised features, fitted on the first ``half``."""
    mean, spread = features[:half].mean(0), features[:half].std(0) + 1e-6
    x = (features - mean) / spread
    classes = int(labels.max()) + 1
    weights = torch.zeros(x.shape[1] + 1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(x[:half] @ weights[:-1] + weights[-1], labels[:half])
        value = value + 1e-3 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        guess = (x[half:] @ weights[:-1] + weights[-1]).argmax(1)
    return float((guess == labels[half:]).float().mean())
