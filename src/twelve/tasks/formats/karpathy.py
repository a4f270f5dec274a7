"""Reader of Karpathy's split files; shared by the caption retrieval tasks.

A record of ``dataset_*.json`` (Karpathy & Fei-Fei 2015)::

    {"filename": "1000092795.jpg", "imgid": 0, "split": "train", "sentids": [0],
     "sentences": [{"tokens": ["two", "young", "guys"], "raw": "Two young guys.", "imgid": 0, "sentid": 0}]}
"""

from __future__ import annotations

from twelve.errors import DataError
from twelve.formats.records import Record, describe
from twelve.tasks.formats.shared import SourceOf, image_of
from twelve.types.examples import Example

SPLITS = ("train", "val", "test")
ALSO_TRAIN = "restval"
"""Val images that Karpathy adds to training."""
_NAMED, _NUMBER = (*SPLITS, ALSO_TRAIN), "imgid"


def check_dataset(content: Record, dataset: str) -> None:
    """Raise DataError if the file belongs to another dataset."""
    found = content.fields.get("dataset", dataset)
    if found != dataset:
        raise DataError(
            f"expected dataset {dataset!r}, found {describe(found) if not isinstance(found, str) else repr(found)}",
            file=content.file,
            record="dataset",
            remedy="choose the task of that dataset, or pass this task's file",
        )


def read_captions(content: Record, split: str, source_of: SourceOf) -> list[Example]:
    """One example per caption of ``split``, in file order; ``train`` includes ``restval``.

    Raises:
        DataError: a record is malformed, or a caption id or an image (of any split) occurs twice.
    """
    wanted = {split, ALSO_TRAIN} if split == "train" else {split}
    examples: dict[str, Example] = {}
    seen: dict[str, str] = {}  # over all splits, so that no test image recurs in training
    numbers: set[int | None] = set()
    for record in content.records("images"):
        image, its_split = image_of(record, "filename", source_of), record.text("split")
        if image in seen:
            raise record.error(f"image {image} occurs twice, in splits {seen[image]!r} and {its_split!r}")
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
                raise sentence.error(f"{_NUMBER} is {describe(sentence.fields[_NUMBER])}, but its image's is {number}")
            examples[key] = Example(id=key, text=sentence.text("raw"), images=(image,), group=image)
    return list(examples.values())
