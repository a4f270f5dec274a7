"""Scoring of result files of referring expressions (refer.py), which have one box per sentence.

The refer releases have no official format. One input is a JSON list like the Google toolbox's, with boxes x, y, width,
height in pixels; ``boxes``, best first, can replace ``box``::

    [{"sent_id": 41, "box": [225.8, 134.6, 278.8, 149.2]}, ...]

The other is that toolbox's own format (mjhucla/Google_Refexp_toolbox), for its ``google_refexp_*_coco.json``::

    [{"annotation_id": 1008, "refexp_id": 0, "predicted_bounding_boxes": [[225.8, 134.6, 278.8, 149.2], ...]}, ...]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twelve.errors import Again, DataError
from twelve.formats.data_root import image_key
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record, read_object
from twelve.formats.results import by_id, complete, known, only, written_like
from twelve.metrics import referring as metric
from twelve.tasks.base import all_tasks
from twelve.tasks.formats.refer import INSTANCES, read_instances, read_refs, referred_box
from twelve.tasks.formats.shared import corners
from twelve.types.examples import Box, Example
from twelve.types.measurement import ExampleValues, Measurement, Scored

_RESULT = '{"sent_id": 41, "box": [x, y, width, height]}, or "boxes", best first, in one JSON list'
_RELEASE, _TOOLBOX = f"the release's refs(...).p and {INSTANCES}", "a google_refexp_*_coco.json"
_PICKLES = (".p", ".pkl")
_IDS = ("sent_id", "refexp_id")
_BOXES = ("predicted_bounding_boxes", "boxes")
_MOST = 10
"""Largest k for which precision@k is reported."""
_SUSPICIOUS = 0.1
"""Share of boxes beyond their images that suggests another box layout."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """The object that a sentence refers to."""

    box: Box
    image: str
    split: str
    owner: str
    """Id of the sentence's reference (in the Google toolbox's file, of its annotation)."""
    size: tuple[int, int] | None
    """Width and height of the image in pixels; None if unknown."""


def score(truth: Sequence[Path], predictions: Sequence[Path], protocol: str, source: str, *, toolbox: bool) -> Scored:
    """See :meth:`twelve.tasks.formats.referring.ReferTask.score`; ``toolbox``: accept the Google toolbox's file as
    truth."""
    sentences = _truth(truth, source, toolbox)
    path = only(predictions, "the JSON list of boxes")
    with written_like(path, _RESULT):
        records = by_id(read_elements(path), lambda record: str(record.integer(record.one_of(*_IDS))), "sentence")
        boxes = {key: _boxes(record) for key, record in records.items()}
    known(records, sentences, path, "sentence")
    for key, record in records.items():
        _belongs(record, sentences[key])
    splits = sorted({sentences[key].split for key in records}) or sorted({each.split for each in sentences.values()})
    asked = {key: each for key, each in sentences.items() if each.split in splits}
    where = f"sentences of split {' and '.join(splits)}" if any(splits) else ""
    complete(asked, boxes, path, "sentence", where)
    ranked, referred = [boxes[key] for key in asked], [each.box for each in asked.values()]
    hits = metric.first_hits(1, ranked, referred, protocol)
    images = [each.image for each in asked.values()]
    whole = ExampleValues(list(asked), np.array(hits, dtype=np.float64), images)
    means = {"accuracy": whole}
    if len(splits) > 1:
        by_split = whole.parts([(f"accuracy, {each.split}",) for each in asked.values()])
        means |= sorted(by_split.items())
    most = min(_MOST, max(map(len, ranked)))
    for k in range(1, most + 1) if most > 1 else ():
        among = np.array(metric.first_hits(k, ranked, referred, protocol), dtype=np.float64)
        means[f"precision@{k}"] = replace(whole, values=among)
    metrics = {name: 100 * float(part.values.mean()) for name, part in means.items()}
    without = sum(not each for each in ranked)
    notes = [f"{without:,} predictions have no box and count as wrong"] if without else []
    return Scored(
        Measurement("accuracy", metrics, whole.values, images),
        "one prediction per sentence; all " + where,
        {name: len(part.ids) for name, part in means.items()},
        notes=notes + _layout(zip(asked.values(), ranked, strict=True)),
        means=means,
    )


def _truth(paths: Sequence[Path], source: str, toolbox: bool) -> dict[str, Sentence]:
    """Sentence id -> its object, over all splits in the files."""
    refs = [path for path in paths if path.suffix in _PICKLES]
    if len(refs) > 1:
        raise DataError(
            f"expected one file of references, found {' and '.join(path.name for path in refs)}, with different splits",
            file=refs[1],
            remedy="pass the one whose split was predicted",
        )
    others = {path: read_object(path) for path in paths if path not in refs}
    google = next((content for content in others.values() if "refexps" in content.fields), None)
    if google is not None and not toolbox:
        names = [name for name, task in all_tasks().items() if getattr(task, "toolbox", False)]
        raise google.error("this file is of another dataset", f"pass {_RELEASE}, or score {' or '.join(names)}")
    remedy = f"pass {_RELEASE}{f', or {_TOOLBOX}' if toolbox else ''}"
    if google is not None and len(paths) == 1:
        return dict(_google(google, source))
    if google is not None:
        raise google.error("the Google toolbox's file cannot be combined with others", remedy)
    if len(others) != 1 or not refs:
        missing = "no refs(...).p" if not refs else f"no {INSTANCES}" if not others else f"more than one {INSTANCES}"
        raise DataError(f"{missing} among the truth files", file=paths[0], remedy=remedy)
    (content,) = others.values()
    return dict(_released(refs[0], content, source, remedy))


def released_examples(truth: Sequence[Path], source: str) -> list[Example]:
    """The sentences of a release, of all splits, in file order; the fact ``size`` is the image's width and height.

    Raises:
        DataError: the files are not one release's, or malformed.
    """
    _truth(truth, source, toolbox=False)
    refs = next(path for path in truth if path.suffix in _PICKLES)
    instances = read_instances(read_object(next(path for path in truth if path != refs)))
    images = {image_key(str(record.fields.get("file_name"))): record for record in instances[1].values()}
    found = []
    for example in read_refs(refs, instances, None, lambda name: source):
        image = images[example.group.partition("/")[2]]
        if (size := _size(image)) is None:
            raise image.error("fields 'width' and 'height' are missing", "use the official instances.json")
        found.append(replace(example, facts={**example.facts, "size": size}))
    return found


def _released(refs: Path, content: Record, source: str, remedy: str) -> Iterator[tuple[str, Sentence]]:
    """Sentences of a refer release."""
    instances = read_instances(content)
    images = {image_key(str(record.fields.get("file_name"))): record for record in instances[1].values()}
    seen: set[str] = set()
    for example in read_refs(refs, instances, None, lambda name: source):
        assert isinstance(example.target, tuple)
        if example.id in seen:
            raise DataError("this sent_id occurs twice", file=refs, record=example.id, remedy=remedy)
        seen.add(example.id)
        size = _size(images[example.group.partition("/")[2]])
        owner = str(example.facts["ref_id"])
        yield example.id, Sentence(example.target, example.group, example.facts["split"], owner, size)


def read_toolbox(path: Path) -> dict[str, Sentence]:
    """Sentence id -> its object, from a file of the Google toolbox.

    Raises:
        DataError: a record is malformed, or the file is empty.
    """
    found = dict(_google(read_object(path), ""))
    if not found:
        raise DataError("contains no expressions", file=path, remedy=Again("download the file again, or move it away"))
    return found


def _google(content: Record, source: str) -> Iterable[tuple[str, Sentence]]:
    """Sentences of a Google toolbox file: annotations with ids of their expressions, one split per file."""
    annotations, images = content.record("annotations"), content.record("images")
    for key in annotations.fields:
        annotation = annotations.record(key)
        image = str(annotation.integer("image_id"))
        about = images.record(image)
        box = referred_box(annotation, about)
        for sentence in annotation.integers("refexp_ids"):
            yield str(sentence), Sentence(box, f"{source}/{image}", "", key, _size(about))


def _size(image: Record) -> tuple[int, int] | None:
    """Width and height in pixels; None if the file lacks them."""
    if "width" not in image.fields or "height" not in image.fields:
        return None
    return image.integer("width"), image.integer("height")


def _layout(boxes: Iterable[tuple[Sentence, Sequence[Box]]]) -> list[str]:
    """A warning if the boxes appear to have another layout than x, y, width, height."""
    sized = [(each.size, ranked[0]) for each, ranked in boxes if each.size is not None and ranked]
    beyond = [(size, box) for size, box in sized if not _inside(box, size)]
    if not beyond or len(beyond) < _SUSPICIOUS * len(sized):
        return []
    note = (
        f"warning: {len(beyond):,} of {len(sized):,} boxes extend beyond their images when read as x, y, width, height"
    )
    as_corners = ((size, (x1, y1, x2 - x1, y2 - y1)) for size, (x1, y1, x2, y2) in beyond)
    if all(_inside(box, size) and box[0] < box[2] and box[1] < box[3] for size, box in as_corners):
        note += ", but not as x1, y1, x2, y2"
    return [note]


def _inside(box: Box, size: tuple[int, int]) -> bool:
    """Whether a box (x1, y1, x2, y2) extends at most one pixel beyond an image."""
    return min(box[:2]) >= -1 and box[2] <= size[0] + 1 and box[3] <= size[1] + 1


def _boxes(record: Record) -> list[Box]:
    """Predicted boxes, best first."""
    if "box" in record.fields:
        return [corners(record, "box")]
    key = record.one_of(*_BOXES, "box")
    return [
        corners(Record({"box": box}, record.file, f"{record.place}.{key}[{index}]"), "box")
        for index, box in enumerate(record.items(key))
    ]


def _belongs(record: Record, sentence: Sentence) -> None:
    """Raise DataError if a prediction names another reference or annotation than its sentence's."""
    for key in ("ref_id", "annotation_id"):
        if key in record.fields and str(record.integer(key)) != sentence.owner:
            raise record.error(
                f"{key} must be {sentence.owner} for this sentence, found {record.fields[key]}",
                "use predictions and truth of the same release",
            )
