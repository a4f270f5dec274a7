"""Base class of the caption retrieval tasks."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.errors import ConfigError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.metrics import retrieval as metric
from twelve.tasks.base import Task
from twelve.tasks.formats.karpathy import check_dataset, read_captions
from twelve.tasks.formats.retrieval_files import short_id
from twelve.tasks.formats.shared import some
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored


class CaptionTask(Task):
    """Find the image that a caption describes. A dataset adds its names and its file."""

    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "alignment"
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    no_harness: ClassVar[str] = (
        "lmms-eval and VLMEvalKit rate captions that a model writes, and do not measure retrieval"
    )
    result_file: ClassVar[str] = "{name}_{split}_scores.npz"
    scoring_protocols: ClassVar[Mapping[str, str]] = metric.PROTOCOLS

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        content = read_object(path)
        check_dataset(content, self.source)
        return some(read_captions(content, split, lambda name: root.image_source(self, name)), path, split)

    def result_name(self, split: str) -> str:
        return self.result_file.format(name=self.name, split=split) if self.scoring_protocols else ""

    def result_protocol(self, protocol: Protocol, examples: Sequence[Example]) -> str:
        """The protocol's own where its galleries had their published sizes, else the file's own gallery."""
        named = protocol.name in self.scoring_protocols and self._published(protocol) in (None, protocol.gallery)
        return protocol.name if named else metric.GIVEN

    def same_protocols(self, split: str, protocol: str) -> frozenset[str]:
        images = self.official_counts.get(split, (None, None))[1]
        same = {metric.ALL, *(name for name, sizes in metric.SIZES.items() if sizes == (1, images))}
        return frozenset(same) if protocol in same else frozenset({protocol})

    @property
    def protocols(self) -> Mapping[str, str]:
        known = self.scoring_protocols or {metric.ALL: metric.PROTOCOLS[metric.ALL], **metric.PROTOCOLS}
        return {name: meaning for name, meaning in known.items() if name != metric.GIVEN}

    def protocol(self, split: str, name: str | None = None, *, gallery: int | None = None) -> Protocol:
        name = self.protocol_name(name)
        count, size = metric.SIZES.get(name, (1, None)) if gallery is None else (1, gallery)
        images = self.protocols[name] if gallery is None else f"the first {gallery:,} images of the split in file order"
        return Protocol(
            split=split,
            ties=metric.TIES,
            gallery=size,
            note=f"{images}; the first {metric.CAPTIONS} captions of each",
            name=name if gallery is None else f"{gallery} images",
            galleries=count,
        )

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        """``predictions`` is a RetrievalScores over exactly these captions. Headline: text-to-image R@1, of whatever
        gallery that is."""
        return _measured([examples], [predictions])

    def measure_by(self, protocol: Protocol, examples: Sequence[Any], predictions: Any) -> Measurement:
        """The same, named after the gallery ("R@1 of 100") unless that has the size of the published one."""
        several = protocol.galleries > 1
        found = _measured(examples, predictions) if several else _measured([examples], [predictions])
        sizes = {len(each.image_ids) for each in (predictions if several else [predictions])}
        published = self._published(protocol)
        if published is None or sizes == {published}:
            return found
        metrics = {metric.of_size(name, *sizes): value for name, value in found.metrics.items()}
        return replace(found, primary=metric.of_size(found.primary, *sizes), metrics=metrics)

    def _published(self, protocol: Protocol) -> int | None:
        """Number of images of a protocol's gallery in the complete official files; None: whatever the split has."""
        if protocol.name == metric.ALL:
            return self.official_counts.get(protocol.split, (None, None))[1]
        return metric.SIZES.get(protocol.name, (1, 0))[1]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The first id in the predictions determines the split; without ids, it is test."""
        from twelve.tasks.formats import karpathy_results

        return karpathy_results.score(truth, predictions, protocol, self.source)

    def submission(self, examples: Sequence[Example], predictions: Any) -> str | bytes:
        """A NumPy archive of the scores of all captions with all images, with their ids.

        Args:
            predictions: the scores of a gallery, or of each of several without a common image; the scores of one
                gallery's captions with another's images are minus infinity.

        Raises:
            ConfigError: the predictions are of single examples.
        """
        galleries = [predictions] if hasattr(predictions, "image_ids") else list(predictions)
        if not galleries or not all(hasattr(gallery, "image_ids") for gallery in galleries):
            raise ConfigError(
                f"{self.title} has no predictions of single examples", remedy="write its scores: --results"
            )
        captions = [key for gallery in galleries for key in gallery.caption_ids]
        images = [short_id(image) for gallery in galleries for image in gallery.image_ids]
        scores = np.full((len(captions), len(images)), -np.inf, np.float32)
        row = column = 0
        for gallery in galleries:
            below, right = row + len(gallery.caption_ids), column + len(gallery.image_ids)
            scores[row:below, column:right] = gallery.scores
            row, column = below, right
        archive = io.BytesIO()
        np.savez(archive, scores=scores, caption_ids=np.array(captions), image_ids=np.array(images))
        return archive.getvalue()


def _measured(examples: Sequence[Sequence[Example]], predictions: Sequence[Any]) -> Measurement:
    """The mean over galleries: the captions of each, and the scores of exactly these."""
    ranks, backward, hits = [], [], []
    for captions, found in zip(examples, predictions, strict=True):
        row = {key: number for number, key in enumerate(found.caption_ids)}
        if len(row) != len(captions) or any(caption.id not in row for caption in captions):
            raise ValueError("expected scores of exactly the example captions, found others")
        ranks.append(metric.text_to_image_ranks(found.scores, found.target))
        backward.append(metric.image_to_text_ranks(found.scores, found.target))
        hits += [ranks[-1][row[caption.id]] == 0 for caption in captions]
    metrics: dict[str, float] = {}
    for direction, each in (("", ranks), ("image to text ", backward)):
        mean = metric.averaged(each)
        metrics |= {f"{direction}R@1": mean.r1, f"{direction}R@5": mean.r5, f"{direction}R@10": mean.r10}
        metrics |= {f"{direction}median rank": mean.median_rank, f"{direction}mean rank": mean.mean_rank}
    groups = [caption.group for captions in examples for caption in captions]
    return Measurement("R@1", metrics, np.array(hits, dtype=np.float64), groups)
