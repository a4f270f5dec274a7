"""Flickr30k: find the image that a caption describes, in Karpathy's split (Young et al. 2014; karpathy.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from twelve.metrics.retrieval import ALL, GIVEN, PROTOCOLS
from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.captions import CaptionTask
from twelve.tasks.formats.karpathy import SPLITS


@register
class Flickr30k(CaptionTask):
    """Five captions per image; 29,000 / 1,014 / 1,000 images."""

    name: ClassVar[str] = "flickr30k"
    title: ClassVar[str] = "Flickr30k retrieval"
    token: ClassVar[int] = 8
    source: ClassVar[str] = "flickr30k"
    page: ClassVar[str] = "https://cs.stanford.edu/people/karpathy/deepimagesent/ (caption_datasets.zip)"
    defaults: ClassVar[Defaults] = Defaults(batch_size=128, learning_rate=2e-5, max_text=30)
    file_names: ClassVar[Mapping[str, str]] = dict.fromkeys(SPLITS, "dataset_flickr30k.json")
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (145_000, 29_000),
        "val": (5_070, 1_014),
        "test": (5_000, 1_000),
    }
    scoring_protocols: ClassVar[Mapping[str, str]] = {name: PROTOCOLS[name] for name in (ALL, "1k", GIVEN)}
