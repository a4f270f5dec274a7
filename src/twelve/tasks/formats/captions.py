"""Base class of the caption retrieval tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.metrics import retrieval as metric
from twelve.tasks.base import Task
from twelve.tasks.formats.karpathy import check_dataset, read_captions
from twelve.tasks.formats.shared import some
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored

GALLERY = 100
"""Number of images in the default gallery."""


class CaptionTask(Task):
    """Find the image that a caption describes. A dataset adds its names and its file."""

    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "alignment"
    full_gallery: ClassVar[int | None] = None
    """Number of images in the gallery of published scores (None: the whole split)."""
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = metric.PROTOCOLS

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.name, *self.files(split), page=self.page)
        content = read_object(path)
        check_dataset(content, self.source)
        return some(read_captions(content, split, lambda name: root.image_source(self, name)), path, split)

    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        gallery = self.full_gallery if full else GALLERY
        images = "all images" if gallery is None else f"the first {gallery:,} images"
        return Protocol(
            split=split,
            ties=metric.TIES,
            gallery=gallery,
            note=f"{images} of the split in file order, the first {metric.CAPTIONS} captions of each",
        )

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        """``predictions`` is a RetrievalScores over exactly these captions. Headline: text-to-image R@1."""
        row = {key: number for number, key in enumerate(predictions.caption_ids)}
        if len(row) != len(examples) or any(example.id not in row for example in examples):
            raise ValueError("expected scores of exactly the example captions, found others")
        ranks = metric.text_to_image_ranks(predictions.scores, predictions.target)
        text = metric.recall(ranks)
        image = metric.recall(metric.image_to_text_ranks(predictions.scores, predictions.target))
        metrics: dict[str, float] = {}
        for direction, scores in (("", text), ("image to text ", image)):
            metrics |= {f"{direction}R@1": scores.r1, f"{direction}R@5": scores.r5, f"{direction}R@10": scores.r10}
            metrics |= {f"{direction}median rank": scores.median_rank, f"{direction}mean rank": scores.mean_rank}
        return Measurement(
            primary="R@1",
            metrics=metrics,
            per_example=np.array([ranks[row[example.id]] == 0 for example in examples], dtype=np.float64),
            groups=[example.group for example in examples],
        )

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The first id in the predictions determines the split; without ids, it is test."""
        from twelve.tasks.formats import karpathy_results

        return karpathy_results.score(truth, predictions, protocol, self.source)
