"""COCO retrieval: find the image that a caption describes, on Karpathy's split (Lin et al. 2014; karpathy.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.captions import CaptionTask
from twelve.tasks.formats.karpathy import SPLITS


@register
class COCORetrieval(CaptionTask):
    """At least five captions per image; 113,287 (with restval) / 5,000 / 5,000 images.

    The default protocol uses the first 1,000 images ("1K"), as "12-in-1" and most others report.
    """

    name: ClassVar[str] = "coco"
    title: ClassVar[str] = "COCO retrieval"
    token: ClassVar[int] = 7
    source: ClassVar[str] = "coco"
    page: ClassVar[str] = "https://cs.stanford.edu/people/karpathy/deepimagesent/ (caption_datasets.zip)"
    defaults: ClassVar[Defaults] = Defaults(batch_size=128, learning_rate=2e-5, max_text=30)
    file_names: ClassVar[Mapping[str, str]] = dict.fromkeys(SPLITS, "dataset_coco.json")
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (None, 113_287),
        "val": (None, 5_000),
        "test": (None, 5_000),
    }
