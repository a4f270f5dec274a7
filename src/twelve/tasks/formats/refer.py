"""Reader of the refer releases; shared by the RefCOCO family.

A reference in ``refs(<who split it>).p``, a Python 2 pickle, shown as JSON. Its box is annotation ``ann_id`` of
``instances.json``, as x, y, width, height in pixels::

    {"ref_id": 0, "ann_id": 1008, "image_id": 293408, "category_id": 1, "split": "testA", "sent_ids": [0],
     "file_name": "COCO_train2014_000000293408_1008.jpg",
     "sentences": [{"tokens": ["left", "man"], "raw": "Left man.", "sent_id": 0, "sent": "left man"}]}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from twelve.formats.pickles import read_pickle
from twelve.formats.records import Record
from twelve.tasks.formats.shared import SourceOf, by_number, image_of
from twelve.types.examples import Box, Example

INSTANCES = "instances.json"
SPLITS = ("train", "val", "test", "testA", "testB", "testC", "testAB", "testBC", "testAC")


Instances: TypeAlias = tuple[dict[int, Record], dict[int, Record]]
"""(annotation id -> record, image id -> record)."""


def in_split(ref_split: str, split: str) -> bool:
    """Whether a reference with field ``split`` equal to ``ref_split`` belongs to ``split``, as in refer.py.

    testA, testB and testC match any name with their letter (so ``testAB`` matches both), test matches any name with
    "test"; all other names must be equal.
    """
    if split in ("testA", "testB", "testC"):
        return split[-1] in ref_split
    if split == "test":
        return "test" in ref_split
    return ref_split == split


def read_refs(refs: Path, instances: Instances, split: str | None, source_of: SourceOf) -> list[Example]:
    """One example per sentence about a reference of ``split`` (None: of any), in file order. Target: box x1, y1,
    x2, y2 in pixels.

    Raises:
        DataError: the pickle is damaged or holds foreign objects, a record is malformed, or the two files do not match.
    """
    annotations, images = instances
    examples = {}
    for ref in references(refs):
        ref_split = ref.text("split")
        if ref_split not in SPLITS:
            raise ref.error(f"field 'split' must be one of {', '.join(SPLITS)}, found {ref_split!r}")
        if split is not None and not in_split(ref_split, split):
            continue
        annotation, image = ref.integer("ann_id"), ref.integer("image_id")
        if annotation not in annotations or image not in images:
            what = f"annotation {annotation}" if annotation not in annotations else f"image {image}"
            raise ref.error(f"{INSTANCES} has no {what}", "use both files of the same release")
        if annotations[annotation].integer("image_id") != image:
            raise ref.error(f"annotation {annotation} belongs to another image than {image}")
        box = referred_box(annotations[annotation], images[image])
        _check_names(ref, images[image])
        image_id = image_of(images[image], "file_name", source_of)
        facts = {"ref_id": ref.integer("ref_id"), "split": ref_split}
        for sentence in ref.records("sentences"):
            key = str(sentence.integer("sent_id"))
            if key in examples:
                raise sentence.error(f"sent_id {key} occurs twice")
            examples[key] = Example(
                id=key, text=sentence.text("raw"), images=(image_id,), target=box, group=image_id, facts=facts
            )
    return list(examples.values())


def _check_names(ref: Record, image: Record) -> None:
    """Raise DataError if a reference's file name or sentence ids contradict its image or sentences."""
    file, name = ref.fields.get("file_name"), Path(image.text("file_name")).stem
    if isinstance(file, str) and not Path(file).name.startswith(name):
        raise ref.error(
            f"file_name is {file!r}, but its image_id is that of {name}", "use both files of the same release"
        )
    if "sent_ids" in ref.fields:
        found = [sentence.integer("sent_id") for sentence in ref.records("sentences")]
        if ref.integers("sent_ids") != found:
            raise ref.error(f"sent_ids are {ref.integers('sent_ids')}, but the sentences have {found}")


def referred_box(annotation: Record, image: Record) -> Box:
    """x1, y1, x2, y2 of an annotation in pixels, not clipped to the image.

    Raises:
        DataError: the box has no area, or lies outside the image (if its size is known).
    """
    x, y, width, height = annotation.numbers("bbox", 4)
    box = (x, y, x + width, y + height)
    found = f"[{x:g}, {y:g}, {width:g}, {height:g}] (x, y, width, height)"
    if not (box[2] > x and box[3] > y):
        raise annotation.error(f"the box {found} has no area")
    if "width" in image.fields and "height" in image.fields:
        wide, high = image.integer("width"), image.integer("height")
        if x >= wide or y >= high or box[2] <= 0 or box[3] <= 0:
            raise annotation.error(f"the box {found} lies outside its image of {wide}x{high} pixels")
    return box


def references(path: Path) -> Iterator[Record]:
    """The references of ``refs(*).p`` as records; raises DataError if the pickle is not a list of plain values."""
    content = read_pickle(path)
    if not isinstance(content, list):
        content = {"references": content}  # makes the error below say what was found
        Record(content, path, None).items("references")
    for index, ref in enumerate(content):
        yield Record(ref, path, f"reference {index}")


def read_instances(content: Record) -> Instances:
    """(annotation id -> record, image id -> record) from the content of ``instances.json``.

    Raises:
        DataError: a record is malformed.
    """
    return by_number(content.records("annotations"), "id"), by_number(content.records("images"), "id")
