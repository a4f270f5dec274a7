"""Finding the image that a caption describes; shared by the caption retrieval tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.metrics import retrieval as metric
from twelve.tasks.base import Task
from twelve.tasks.formats.karpathy import SPLITS, captions_of, check_dataset
from twelve.tasks.formats.shared import some, unknown_split
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored

GALLERY = 100
"""Images of the gallery that is measured unless the full one is asked for."""


class CaptionTask(Task):
    """Find the image that a caption describes. A dataset adds its names and the name of its file."""

    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "alignment"
    file_name: ClassVar[str]
    full_gallery: ClassVar[int | None] = None
    """Images of the gallery that published numbers rank (None: all of the split)."""
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = metric.PROTOCOLS

    def files(self, split: str) -> tuple[str, ...]:
        if split not in SPLITS:
            raise unknown_split(self.name, split, SPLITS)
        return (self.file_name,)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.name, *self.files(split), page=self.page)
        content = read_object(path)
        check_dataset(content, self.source)
        return some(captions_of(content, split, lambda name: root.image_source(self, name)), path, split)

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
        """``predictions`` is a RetrievalScores over exactly these captions; headline: text to image, recall at 1."""
        row = {key: number for number, key in enumerate(predictions.caption_ids)}
        if len(row) != len(examples) or any(example.id not in row for example in examples):
            raise ValueError("the captions that were scored are not the examples")
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
        """The split is that of the first id that the predictions name; test, where they name none."""
        from twelve.tasks.formats import karpathy_results

        return karpathy_results.score(truth, predictions, protocol, self.source)
