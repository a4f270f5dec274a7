"""Captions in Karpathy's split files and in the JSON lines made from them; shared by the caption retrieval tasks.

A record of ``dataset_*.json`` (Karpathy & Fei-Fei 2015), and a line of the other layout::

    {"filename": "1000092795.jpg", "imgid": 0, "split": "train", "sentids": [0],
     "sentences": [{"tokens": ["two", "young", "guys"], "raw": "Two young guys.", "imgid": 0, "sentid": 0}]}
    {"sentences": ["Two young guys."], "id": "1000092795", "img_path": "1000092795.jpg"}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.data.records import Record, describe, read_lines, read_object
from twelve.data.root import DataRoot
from twelve.errors import DataError
from twelve.evaluation.metrics import retrieval as metric
from twelve.scoring.base import Scored
from twelve.tasks.base import Example, Measurement, Protocol, Task
from twelve.tasks.shared import SourceOf, image_of, some, unknown_split

SPLITS = ("train", "val", "test")
ALSO_TRAIN = "restval"
"""Val pictures that the split's author gives to training."""
_NAMED, _NUMBER = (*SPLITS, ALSO_TRAIN), "imgid"
GALLERY = 100
"""Pictures of the gallery that is measured unless the full one is asked for."""


class CaptionTask(Task):
    """Find the picture that a caption describes. A dataset adds its names and the name of its file."""

    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "alignment"
    file_name: ClassVar[str]
    full_gallery: ClassVar[int | None] = None
    """Pictures of the gallery that published numbers rank (None: all of the split)."""
    report_split: ClassVar[str] = "test"
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
        pictures = "all pictures" if gallery is None else f"the first {gallery:,} pictures"
        return Protocol(
            split=split,
            ties=metric.TIES,
            gallery=gallery,
            note=f"{pictures} of the split in file order, the first {metric.CAPTIONS} captions of each",
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
        from twelve.tasks import karpathy_results

        return karpathy_results.score(truth, predictions, protocol, self.source)


def check_dataset(content: Record, dataset: str) -> None:
    """Raise DataError for a file that says that it is of another dataset."""
    found = content.fields.get("dataset", dataset)
    if found != dataset:
        raise DataError(
            f"a file of dataset {describe(found) if not isinstance(found, str) else repr(found)}, not {dataset!r}",
            file=content.file,
            record="dataset",
            remedy="score or read it as the task that it is of, or give this task's file",
        )


def read_dataset(path: Path, split: str, source_of: SourceOf) -> list[Example]:
    """One example a caption of ``split``, in file order; ``train`` includes ``restval``.

    Raises:
        DataError: a record is malformed, or a caption's id, or a picture of any split, occurs twice.
    """
    return captions_of(read_object(path), split, source_of)


def captions_of(content: Record, split: str, source_of: SourceOf) -> list[Example]:
    """What :func:`read_dataset` says, of a file that was read."""
    wanted = {split, ALSO_TRAIN} if split == "train" else {split}
    examples: dict[str, Example] = {}
    seen: dict[str, str] = {}  # of every split: a picture that is tested must not come back among those to train on
    numbers: set[int | None] = set()
    for record in content.records("images"):
        image, its_split = image_of(record, "filename", source_of), record.text("split")
        if image in seen:
            raise record.error(f"picture {image} occurs twice, here in split {its_split!r}, before in {seen[image]!r}")
        seen[image] = its_split
        if its_split not in _NAMED:
            raise record.error(f"field 'split' must be one of {', '.join(_NAMED)}, found {its_split!r}")
        number = record.integer(_NUMBER) if _NUMBER in record.fields else None
        if number is not None and number in numbers:
            raise record.error(f"{_NUMBER} {number} occurs twice")
        numbers.add(number)
        if its_split not in wanted:
            continue
        for sentence in record.records("sentences"):
            key = str(sentence.integer("sentid"))
            if key in examples:
                raise sentence.error(f"sentid {key} occurs twice")
            if sentence.fields.get(_NUMBER, number) != number:
                raise sentence.error(f"{_NUMBER} is {describe(sentence.fields[_NUMBER])}, its picture's {number}")
            examples[key] = Example(id=key, text=sentence.text("raw"), images=(image,), group=image)
    return list(examples.values())


def read_rows(path: Path, source_of: SourceOf) -> Iterator[Example]:
    """Examples of the JSON lines that the original reads: a picture with its captions a line; ids ``<picture>#<k>``.

    Raises:
        DataError: a line is malformed, or a picture occurs twice.
    """
    seen: set[str] = set()
    for record in read_lines(path):
        image = image_of(record, "img_path", source_of)
        if image in seen:
            raise record.error(f"picture {image} occurs twice")
        seen.add(image)
        for number, sentence in enumerate(record.strings("sentences")):
            yield Example(id=f"{image}#{number}", text=sentence, images=(image,), group=image)
