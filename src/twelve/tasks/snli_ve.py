"""SNLI-VE: does a Flickr30k image entail a sentence, contradict it, or neither (Xie et al. 2019).

A line of ``snli_ve_dev.jsonl``. All three spellings of the image's key are read. ``sentence1`` is the image's caption,
which would give the answer away::

    {"Flickr30K_ID": "2248275918", "gold_label": "neutral", "pairID": "2248275918.jpg#2r1n",
     "sentence1": "A cook smiles.", "sentence2": "The cook is hungry.", "annotator_labels": ["neutral"], ...}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twelve.formats.data_root import DataRoot, image_key
from twelve.formats.records import Record, describe, read_lines
from twelve.formats.results import Mismatch, complete, only, passed_over
from twelve.metrics import entailment as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import accuracy_by_class, distinct, means_by_class, some, values
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Scored

_TEXT = "sentence2"
_IMAGE_KEYS = ("Flickr30K_ID", "Flikr30kID")
_NO_AGREEMENT = "-"
"""Label of a pair without agreement among annotators."""


@register
class SNLIVE(Task):
    """SNLI-VE with its original labels, not those corrected by e-SNLI-VE-2.0."""

    name: ClassVar[str] = "snli_ve"
    title: ClassVar[str] = "SNLI-VE"
    output: ClassVar[str] = "entailment"
    kind: ClassVar[str] = "entailment"
    token: ClassVar[int] = 13
    source: ClassVar[str] = "flickr30k"
    page: ClassVar[str] = "https://github.com/necla-ml/SNLI-VE"
    note: ClassVar[str] = "original labels; pairs without agreement are excluded"
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=2e-5, max_text=56)
    result_file: ClassVar[str] = "snli_ve_{split}_predictions.jsonl"
    file_names: ClassVar[Mapping[str, str]] = {split: f"snli_ve_{split}.jsonl" for split in ("train", "dev", "test")}
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("dev",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (529_527, 29_783),
        "dev": (17_858, 1_000),
        "test": (17_901, 1_000),
    }

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        return some(list(distinct(read_pairs(path, root.image_source(self)), path)), path, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        labels = [str(example.target) for example in examples]
        return accuracy_by_class(examples, labels, values(examples, predictions), metric.CLASSES)[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Match predictions by pairID, or by line if they do not name their pairs. Sentences and images that they name
        instead must be those of the pairs there."""
        examples = list(read_pairs(only(truth, "snli_ve_test.jsonl or the file of another split")))
        path = only(predictions, "the file of predictions")
        found = metric.read_results(path)
        if isinstance(found, dict):
            complete([example.id for example in examples], found, path, "pair")
            wanted = {example.id for example in distinct(examples, truth[0])}
            notes = passed_over(sum(key not in wanted for key in found), "of other pairs")
            predicted = [found[example.id] for example in examples]
        else:
            notes = [_in_order(examples, found, path)]
            predicted = [one.predicted for one in found]
        labels = [str(example.target) for example in examples]
        measurement, counts = accuracy_by_class(examples, labels, predicted, metric.CLASSES)
        rules = "three-way accuracy (there is no official program); " + self.note
        return Scored(measurement, rules, counts, notes=notes, means=means_by_class(examples, labels, measurement))

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """One line ``{"pairID": "2248275918.jpg#2r1n", "prediction": "neutral"}`` per pair."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return "".join(json.dumps({"pairID": example.id, "prediction": name}) + "\n" for example, name in pairs)


def _in_order(examples: Sequence[Example], found: Sequence[metric.Unnamed], path: Path) -> str:
    """The warning about predictions that were taken in the file's order.

    Raises:
        Mismatch: they are not as many as the pairs, or one names the sentence or the image of another pair.
    """
    if len(found) != len(examples):
        raise Mismatch(
            f"expected {len(examples):,} predictions, one per labelled pair, found {len(found):,} without pairIDs",
            file=path,
            remedy="predict all labelled pairs in the file's order, or add each pair's pairID",
        )
    checked = 0
    for example, one in zip(examples, found, strict=True):
        record, said = one.record, []
        if _TEXT in record.fields:
            said.append((_TEXT, record.text(_TEXT), example.text))
        if any(key in record.fields for key in _IMAGE_KEYS):
            said.append(("the image", image_key(_image(record)), example.images[0].partition("/")[2]))
        for what, named, right in said:
            if named != right:
                raise Mismatch(
                    f"{what} is {describe(named)}, that of the pair in this place is {describe(right)}",
                    file=path,
                    record=record.place,
                    remedy="predict all labelled pairs in the file's order, or add each pair's pairID",
                )
        checked += bool(said)
    sure = "all of" if checked == len(found) else f"{checked:,} of" if checked else "none of"
    return (
        "warning: predictions name no pairs and were taken in the file's order; "
        f"{sure} them name a sentence or an image by which that could be checked"
    )


def read_pairs(path: Path, source: str = "flickr30k") -> Iterator[Example]:
    """Examples of a file, in order, without pairs that lack agreement.

    Raises:
        DataError: a line is malformed.
    """
    for record in read_lines(path):
        label, key = record.text("gold_label"), record.identifier("pairID")
        if label == _NO_AGREEMENT:
            continue
        if label not in metric.CLASSES:
            raise record.error(f"field 'gold_label' must be one of {', '.join(metric.CLASSES)}, found {label!r}")
        image = f"{source}/{image_key(_image(record))}"
        yield Example(
            id=key,
            text=record.text(_TEXT),
            images=(image,),
            target=label,
            group=image,
        )


def _image(record: Record) -> str:
    for key in _IMAGE_KEYS:
        if key in record.fields:
            name = record.identifier(key)
            if not image_key(name).strip():
                raise record.error(f"field {key!r} must name an image, found {name!r}")
            return name
    raise record.error(f"field {' or '.join(map(repr, _IMAGE_KEYS))} is missing (expected the image id)")
