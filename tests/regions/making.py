"""Regions and images for the tests beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from twelve.regions.detectors.backbone import Backbone
from twelve.regions.detectors.feature_extractor import FeatureExtractor
from twelve.regions.extraction.box_sources import parse_boxes
from twelve.regions.extraction.extract import extract as run_extract
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extraction.jobs import ExtractReport
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.store.arrow_format import schema
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

FEATURES = 6


def regions(image_id: str, count: int = 3, *, seed: int = 0, classes: int | None = None) -> Regions:
    """Random regions whose every number depends on the id and the seed."""
    rng = np.random.default_rng([seed, *image_id.encode()])
    corners = np.sort(rng.uniform(0, 100, (count, 2, 2)), axis=1).astype(np.float32)
    return Regions(
        image_id=image_id,
        width=int(rng.integers(100, 200)),
        height=int(rng.integers(100, 200)),
        boxes=corners.reshape(count, 4),
        features=rng.normal(size=(count, FEATURES)).astype(np.float16),
        scores=rng.uniform(size=count).astype(np.float32),
        class_ids=rng.integers(0, 80, count).astype(np.int16),
        class_probabilities=None if classes is None else rng.uniform(size=(count, classes)).astype(np.float16),
    )


def write(path: Path, images: Sequence[Regions], *, per_batch: int = 4, **metadata: str) -> Path:
    """A finished region file of ``images``."""
    first = images[0]
    table = schema(
        feature_size=None if first.features is None else first.features.shape[1],
        scores=first.scores is not None,
        class_ids=first.class_ids is not None,
        class_probabilities=None if first.class_probabilities is None else first.class_probabilities.shape[1],
        metadata={"fingerprint": "f"} | metadata,
    )
    with PartWriter(path, table) as writer:
        for start in range(0, len(images), per_batch):
            writer.write(images[start : start + per_batch])
        writer.finish({})
    return path


def same(a: Regions, b: Regions) -> bool:
    """Whether two images' regions are equal in everything."""
    arrays = ("boxes", "features", "scores", "class_ids", "class_probabilities")
    return (a.image_id, a.width, a.height) == (b.image_id, b.width, b.height) and all(
        (getattr(a, name) is None and getattr(b, name) is None) or np.array_equal(getattr(a, name), getattr(b, name))
        for name in arrays
    )


def draw_image(path: Path, size: tuple[int, int] = (64, 48), *, seed: int = 0) -> Path:
    """An image of random blocks, saved in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def pooled(backbone: Backbone, pixels: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """(I, R, F) features of boxes, (I, R, 4) fractions, in (I, H, W, 3) uint8 pixels as the network takes them."""
    with torch.inference_mode():
        return backbone.pool(backbone.maps(backbone.normalise(pixels)), boxes)


def config_of(network: str | FeatureExtractor, options: dict[str, Any]) -> ExtractorConfig:
    """The extractor's parameters among the options."""
    own = {field.name: options[field.name] for field in fields(ExtractorConfig) if field.name in options}
    return ExtractorConfig(network if isinstance(network, str) else "", **own)


def extractor_of(network: str | FeatureExtractor, **options: Any) -> Extractor:
    """An extractor by the name of its network, or around a network."""
    return Extractor(config_of(network, options), None if isinstance(network, str) else network)


def extract(images: Any, boxes: Any, network: str | FeatureExtractor, out: Path, **options: Any) -> ExtractReport:
    """An extraction with boxes as the command line names them."""
    words = [boxes] if isinstance(boxes, (str, Path)) else list(boxes)
    given = [str(word).removeprefix("given:") for word in words if str(word).startswith("given:")]
    kind, files = parse_boxes([word for word in words if not str(word).startswith("given:")])
    config = config_of(network, options | {"boxes": kind, "box_files": files})
    options = {key: value for key, value in options.items() if not hasattr(config, key)}
    own = None if isinstance(network, str) else network
    return run_extract(images, out, config, network=own, given=given, **options)
