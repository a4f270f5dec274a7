"""Flickr30k Entities: find what each phrase of a caption means (Plummer et al. 2015).

``test.txt`` names the split's images, one a line; what ``Sentences/<image>.txt`` and ``Annotations/<image>.xml``
hold is said in entities_files.py. The phrase alone is the text, without its sentence, as in the original. Phrases whose
entity has no box (a scene, something that cannot be seen) are left out.

There is no official result format. Read is one JSON list with boxes x1, y1, x2, y2 in pixels counted from 0; instead of
``box``, ``boxes`` may hold several, the best first. Sentences, and phrases in a sentence, count from 0; phrases without
a box count too::

    [{"image": "278118254", "sentence": 0, "phrase": 1, "box": [39, 98, 198, 340]}, ...]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record
from twelve.formats.results import by_id, complete, known, only, written_like
from twelve.metrics import grounding as metric
from twelve.progress import Track
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.entities_files import read_annotation, read_images, read_sentences
from twelve.tasks.formats.shared import some, unknown_split
from twelve.types.examples import Box, Example
from twelve.types.measurement import Measurement, Protocol, Scored

_SPLITS = ("train", "val", "test")
_RESULT = (
    '{"image": "278118254", "sentence": 0, "phrase": 1, "box": [x1, y1, x2, y2]}, or "boxes" with the best first, in '
    "one JSON list"
)


@register
class Flickr30kEntities(Task):
    """Phrase grounding on detected boxes; an entity with several boxes is what lies in the box around them all."""

    name: ClassVar[str] = "flickr30k_entities"
    title: ClassVar[str] = "Flickr30k Entities"
    output: ClassVar[str] = "region"
    kind: ClassVar[str] = "region"
    token: ClassVar[int] = 18
    source: ClassVar[str] = "flickr30k"
    extra: ClassVar[bool] = True
    page: ClassVar[str] = "https://github.com/BryanPlummer/flickr30k_entities"
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=2e-6, max_text=24)
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = metric.PROTOCOLS

    def files(self, split: str) -> tuple[str, ...]:
        """The list of the split's images; two files an image are read beside it."""
        if split not in _SPLITS:
            raise unknown_split(self.name, split, _SPLITS)
        return (f"{split}.txt",)

    def sources(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        (listed,) = super().sources(root, split)
        images = read_images(listed) if listed.is_file() else []
        return (listed, *(path for key in images for path in _files(listed, key)))

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.name, *self.files(split), page=self.page)
        return some(list(read_phrases(path, root.image_source(self))), path, split)

    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        return Protocol(split=split, note=f"{metric.PROTOCOLS[metric.UNION]}; phrases without a box are left out")

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return _measured(examples, _ranked(examples, predictions), metric.UNION)[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The truth is the split's list of images, with the release's two folders beside it."""
        listed = only(truth, "test.txt or the list of another split")
        examples = some(list(read_phrases(listed, self.source)), listed, listed.stem)
        path = only(predictions, "the JSON list of boxes")
        with written_like(path, _RESULT):
            records = by_id(read_elements(path), _key)
            boxes = {key: _boxes(record) for key, record in records.items()}
        ids = [example.id for example in examples]
        known(boxes, set(ids), path, "phrases that have a box")
        complete(ids, boxes, path, "phrases that have a box")
        measurement, counts = _measured(examples, [boxes[key] for key in ids], protocol)
        without = sum(not own for own in boxes.values())
        return Scored(
            measurement,
            "one prediction a phrase, phrases without a box are left out (there is no official program)",
            counts,
            notes=[f"{without:,} predictions hold no box, and are wrong"] if without else [],
        )

    def submission(self, examples: Sequence[Example], predictions: Sequence[Any]) -> str:
        """What :meth:`score` reads (there is no official file of results)."""
        rows = []
        for example, boxes in zip(examples, _ranked(examples, predictions), strict=True):
            key, sentence, phrase = example.id.split("#")
            ranked = [[float(corner) for corner in box] for box in boxes]
            rows.append({"image": key, "sentence": int(sentence), "phrase": int(phrase), "boxes": ranked})
        return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"


def _ranked(examples: Sequence[Example], predictions: Sequence[Any]) -> list[list[Box]]:
    """The predicted boxes of every example, best first."""
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} examples, but {len(predictions)} predictions")
    return [[value for value, _ in each.alternatives] or [each.value] for each in predictions]


def _measured(
    examples: Sequence[Example], ranked: Sequence[Sequence[Box]], protocol: str
) -> tuple[Measurement, dict[str, int]]:
    """The numbers, and how many phrases each is about."""
    phrases = [metric.Phrase(example.facts["boxes"], example.facts["types"]) for example in examples]
    scores = metric.evaluate(phrases, ranked, protocol)
    parts = {f"recall@1, {name}": 100 * share for name, share in scores.by_type.items()}
    measurement = Measurement(
        primary="recall@1",
        metrics={**{f"recall@{k}": 100 * share for k, share in scores.recall.items()}, **parts},
        per_example=np.array(scores.correct, dtype=np.float64),
        groups=[example.group for example in examples],
    )
    sizes = dict.fromkeys((f"recall@{k}" for k in scores.recall), len(examples))
    return measurement, sizes | {f"recall@1, {name}": count for name, count in scores.counts.items()}


def read_phrases(listed: Path, source: str) -> Iterator[Example]:
    """One example a phrase whose entity has a box, of the images that ``listed`` names, in its order; its id is the
    image's, and the places of sentence and phrase from 0. Target: the box around all of the entity's boxes.

    Raises:
        MissingData: an image has no file of sentences or annotations beside the list.
        DataError: a file is malformed.
    """
    images = read_images(listed)
    with Track(f"reading {listed.name}", len(images), "images") as track:
        for key in images:
            said, drawn = _files(listed, key)
            sentences, boxes = read_sentences(said), read_annotation(drawn).boxes
            image = f"{source}/{key}"
            for place, sentence in enumerate(sentences):
                for number, phrase in enumerate(sentence.phrases):
                    if phrase.entity not in boxes:
                        continue
                    own = tuple(boxes[phrase.entity])
                    yield Example(
                        id=f"{key}#{place}#{number}",
                        text=phrase.text,
                        images=(image,),
                        target=metric.union(own),
                        group=image,
                        facts={"boxes": own, "types": phrase.types},
                    )
            track.advance()


def _files(listed: Path, key: str) -> tuple[Path, Path]:
    """The files of an image's sentences and annotations, beside a split's list."""
    return listed.parent / "Sentences" / f"{key}.txt", listed.parent / "Annotations" / f"{key}.xml"


def _key(record: Record) -> str:
    image = record.fields.get("image")
    name = image if isinstance(image, str) else str(record.integer("image"))
    return f"{name}#{record.integer('sentence')}#{record.integer('phrase')}"


def _boxes(record: Record) -> list[Box]:
    """The predicted boxes, best first."""
    if record.one_of("box", "boxes") == "box":
        return [_box(record)]
    boxes = enumerate(record.items("boxes"))
    return [_box(Record({"box": box}, record.file, f"{record.place}.boxes[{place}]")) for place, box in boxes]


def _box(record: Record) -> Box:
    x1, y1, x2, y2 = record.numbers("box", 4)
    if x2 < x1 or y2 < y1:
        raise DataError(
            f"field 'box' must be x1, y1, x2, y2, found a box that ends before it begins: {record.fields['box']}",
            file=record.file,
            record=record.place,
        )
    return x1, y1, x2, y2
