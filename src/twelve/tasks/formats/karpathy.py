"""Captions in Karpathy's split files and in the JSON lines made from them; shared by the caption retrieval tasks.

A record of ``dataset_*.json`` (Karpathy & Fei-Fei 2015), and a line of the other layout::

    {"filename": "1000092795.jpg", "imgid": 0, "split": "train", "sentids": [0],
     "sentences": [{"tokens": ["two", "young", "guys"], "raw": "Two young guys.", "imgid": 0, "sentid": 0}]}
    {"sentences": ["Two young guys."], "id": "1000092795", "img_path": "1000092795.jpg"}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.records import Record, describe, read_lines, read_object
from twelve.tasks.formats.shared import SourceOf, image_of
from twelve.types.examples import Example

SPLITS = ("train", "val", "test")
ALSO_TRAIN = "restval"
"""Val images that the split's author gives to training."""
_NAMED, _NUMBER = (*SPLITS, ALSO_TRAIN), "imgid"


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
        DataError: a record is malformed, or a caption's id, or an image of any split, occurs twice.
    """
    return captions_of(read_object(path), split, source_of)


def captions_of(content: Record, split: str, source_of: SourceOf) -> list[Example]:
    """What :func:`read_dataset` says, of a file that was read."""
    wanted = {split, ALSO_TRAIN} if split == "train" else {split}
    examples: dict[str, Example] = {}
    seen: dict[str, str] = {}  # of every split: an image that is tested must not come back among those to train on
    numbers: set[int | None] = set()
    for record in content.records("images"):
        image, its_split = image_of(record, "filename", source_of), record.text("split")
        if image in seen:
            raise record.error(f"image {image} occurs twice, here in split {its_split!r}, before in {seen[image]!r}")
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
                raise sentence.error(f"{_NUMBER} is {describe(sentence.fields[_NUMBER])}, its image's {number}")
            examples[key] = Example(id=key, text=sentence.text("raw"), images=(image,), group=image)
    return list(examples.values())


def read_rows(path: Path, source_of: SourceOf) -> Iterator[Example]:
    """Examples of the JSON lines that the original reads: an image with its captions a line; ids ``<image>#<k>``.

    Raises:
        DataError: a line is malformed, or an image occurs twice.
    """
    seen: set[str] = set()
    for record in read_lines(path):
        image = image_of(record, "img_path", source_of)
        if image in seen:
            raise record.error(f"image {image} occurs twice")
        seen.add(image)
        for number, sentence in enumerate(record.strings("sentences")):
            yield Example(id=f"{image}#{number}", text=sentence, images=(image,), group=image)
