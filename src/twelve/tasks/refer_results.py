"""Scoring result files of referring expressions (refer.py): the box that was predicted for each sentence.

There is no official layout for the refer releases. Read is a JSON list in the style of the Google toolbox's, with
boxes x, y, width, height in pixels; instead of ``box``, ``boxes`` may hold several, the best first::

    [{"sent_id": 41, "box": [225.8, 134.6, 278.8, 149.2]}, ...]

and that toolbox's own (mjhucla/Google_Refexp_toolbox), against its ``google_refexp_*_coco.json``::

    [{"annotation_id": 1008, "refexp_id": 0, "predicted_bounding_boxes": [[225.8, 134.6, 278.8, 149.2], ...]}, ...]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twelve.data.records import Record, read_object
from twelve.data.streams import read_elements
from twelve.errors import DataError
from twelve.evaluation.metrics import referring as metric
from twelve.scoring.base import Scored
from twelve.scoring.results import by_id, complete, known, only, written_like
from twelve.tasks.base import Box, Measurement
from twelve.tasks.refer import INSTANCES, examples_of, instances_of, referred_box
from twelve.tasks.shared import corners

_RESULT = '{"sent_id": 41, "box": [x, y, width, height]}, or "boxes" with the best first, in one JSON list'
_REMEDY = f"give the release's refs(...).p and {INSTANCES}, or a google_refexp_*_coco.json"
_PICKLES = (".p", ".pkl")
_IDS = ("sent_id", "refexp_id")
_BOXES = ("predicted_bounding_boxes", "boxes")
_MOST = 10
"""Precision is told among the first so many boxes at most."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a phrase refers to."""

    box: Box
    image: str
    split: str
    owner: str
    """Id of the reference (of the annotation, in the Google toolbox's file) that the phrase belongs to."""


def score(truth: Sequence[Path], predictions: Sequence[Path], protocol: str, source: str) -> Scored:
    """See :meth:`twelve.tasks.refer.ReferTask.score`."""
    sentences = _truth(truth, source)
    path = only(predictions, "the JSON list of boxes")
    with written_like(path, _RESULT):
        records = by_id(read_elements(path), lambda record: str(record.integer(record.one_of(*_IDS))))
        boxes = {key: _boxes(record) for key, record in records.items()}
    known(records, sentences, path)
    for key, record in records.items():
        _belongs(record, sentences[key])
    splits = sorted({sentences[key].split for key in records}) or sorted({each.split for each in sentences.values()})
    asked = {key: each for key, each in sentences.items() if each.split in splits}
    where = f"sentences of split {' and '.join(splits)}" if any(splits) else "sentences"
    complete(asked, boxes, path, where)
    ranked, referred = [boxes[key] for key in asked], [each.box for each in asked.values()]
    hits = metric.first_hits(1, ranked, referred, protocol)
    metrics, counts = {"accuracy": 100 * float(np.mean(hits))}, {"accuracy": len(hits)}
    for split, size in sorted(Counter(each.split for each in asked.values()).items()) if len(splits) > 1 else ():
        part = [hit for hit, each in zip(hits, asked.values(), strict=True) if each.split == split]
        metrics[f"accuracy, {split}"], counts[f"accuracy, {split}"] = 100 * float(np.mean(part)), size
    most = min(_MOST, max(map(len, ranked)))
    for k in range(1, most + 1) if most > 1 else ():
        metrics[f"precision@{k}"] = 100 * float(np.mean(metric.first_hits(k, ranked, referred, protocol)))
    without = sum(not each for each in ranked)
    return Scored(
        Measurement("accuracy", metrics, np.array(hits, dtype=np.float64), [each.image for each in asked.values()]),
        "one prediction a sentence; all " + where,
        counts,
        notes=[f"{without:,} predictions hold no box, and are wrong"] if without else [],
    )


def _truth(paths: Sequence[Path], source: str) -> dict[str, Sentence]:
    """Sentence id -> what it refers to, of all splits in the files."""
    refs = [path for path in paths if path.suffix in _PICKLES]
    others = {path: read_object(path) for path in paths if path not in refs}
    google = [content for content in others.values() if "refexps" in content.fields]
    if len(google) == 1 == len(paths):
        return dict(_google(google[0], source))
    if len(refs) != 1 or len(others) != 1 or google:
        raise DataError("these files do not say what the sentences refer to", file=paths[0], remedy=_REMEDY)
    (content,) = others.values()
    found: dict[str, Sentence] = {}
    for example in examples_of(refs[0], instances_of(content), None, lambda name: source):
        assert isinstance(example.target, tuple)
        owner = str(example.facts["ref_id"])
        if example.id in found:
            raise DataError("this sent_id occurs twice", file=refs[0], record=example.id, remedy=_REMEDY)
        found[example.id] = Sentence(example.target, example.group, example.facts["split"], owner)
    return found


def _google(content: Record, source: str) -> Iterable[tuple[str, Sentence]]:
    """The Google toolbox's file: annotations by id, each with the ids of its expressions; one split a file."""
    annotations, images = content.record("annotations"), content.record("images")
    for key in annotations.fields:
        annotation = annotations.record(key)
        image = str(annotation.integer("image_id"))
        box = referred_box(annotation, images.record(image))
        for sentence in annotation.integers("refexp_ids"):
            yield str(sentence), Sentence(box, f"{source}/{image}", "", key)


def _boxes(record: Record) -> list[Box]:
    """The predicted boxes, best first."""
    if "box" in record.fields:
        return [corners(record, "box")]
    key = record.one_of(*_BOXES, "box")
    return [
        corners(Record({"box": box}, record.file, f"{record.place}.{key}[{index}]"), "box")
        for index, box in enumerate(record.items(key))
    ]


def _belongs(record: Record, sentence: Sentence) -> None:
    """Raise DataError when a prediction names another reference or annotation than its sentence's."""
    for key in ("ref_id", "annotation_id"):
        if key in record.fields and str(record.integer(key)) != sentence.owner:
            raise record.error(
                f"{key} {record.fields[key]} is not the one of this sentence, {sentence.owner}",
                "check that predictions and truth are of the same release",
            )
