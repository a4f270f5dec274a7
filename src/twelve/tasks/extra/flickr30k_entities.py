"""Flickr30k Entities: locate the phrases of a caption (Plummer et al. 2015).

``test.txt`` lists the split's image ids, one per line; entities_files.py describes ``Sentences/<image>.txt`` and
``Annotations/<image>.xml``. The text is the phrase without its sentence, as in the original. Phrases whose entity has
no box (a scene, something invisible) are excluded.

There is no official result format. :meth:`Flickr30kEntities.score` reads one JSON list, with boxes x1, y1, x2, y2 in
pixels from 0; ``boxes``, best first, can replace ``box``. Sentences, and all phrases in a sentence, count from 0::

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
from twelve.tasks.formats.shared import example_values, some
from twelve.types.examples import Box, Example
from twelve.types.measurement import ExampleValues, Measurement, Protocol, Scored

_RESULT = (
    '{"image": "278118254", "sentence": 0, "phrase": 1, "box": [x1, y1, x2, y2]}, or "boxes", best first, in '
    "one JSON list"
)


@register
class Flickr30kEntities(Task):
    """Phrase grounding on detected boxes; the target of an entity with several boxes is the box around them."""

    name: ClassVar[str] = "flickr30k_entities"
    title: ClassVar[str] = "Flickr30k Entities"
    output: ClassVar[str] = "region"
    kind: ClassVar[str] = "region"
    token: ClassVar[int] = 18
    source: ClassVar[str] = "flickr30k"
    extra: ClassVar[bool] = True
    page: ClassVar[str] = "https://github.com/BryanPlummer/flickr30k_entities"
    note: ClassVar[str] = "phrases without a box are excluded"
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=2e-6, max_text=24)
    result_file: ClassVar[str] = "{split}_boxes.json"
    file_names: ClassVar[Mapping[str, str]] = {split: f"{split}.txt" for split in ("train", "val", "test")}
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = metric.PROTOCOLS

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        (listed,) = super().input_files(root, split)
        images = read_images(listed) if listed.is_file() else []
        return (listed, *(path for key in images for path in _files(listed, key)))

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        return some(list(read_phrases(path, root.image_source(self))), path, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return self.measure_by(self.protocol(self.test_split), examples, predictions)

    def measure_by(self, protocol: Protocol, examples: Sequence[Example], predictions: Any) -> Measurement:
        return _measured(examples, _ranked(examples, predictions), protocol.name)[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The truth is the split's image list, with the release's two folders beside it."""
        listed = only(truth, "test.txt or the list of another split")
        examples = some(list(read_phrases(listed, self.source)), listed, listed.stem)
        path = only(predictions, "the JSON list of boxes")
        with written_like(path, _RESULT):
            records = by_id(read_elements(path), _key, "phrase")
            boxes = {key: _boxes(record) for key, record in records.items()}
        ids = [example.id for example in examples]
        known(boxes, set(ids), path, "phrase", "phrases with a box")
        complete(ids, boxes, path, "phrase", "phrases with a box")
        measurement, means = _measured(examples, [boxes[key] for key in ids], protocol)
        without = sum(not own for own in boxes.values())
        return Scored(
            measurement,
            "one prediction per phrase; phrases without a box are excluded (there is no official program)",
            {name: len(part.ids) for name, part in means.items()},
            notes=[f"{without:,} predictions have no box and count as wrong"] if without else [],
            means=means,
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The format that :meth:`score` reads."""
        rows = []
        for example, boxes in zip(examples, _ranked(examples, predictions), strict=True):
            key, sentence, phrase = example.id.split("#")
            ranked = [[float(corner) for corner in box] for box in boxes]
            rows.append({"image": key, "sentence": int(sentence), "phrase": int(phrase), "boxes": ranked})
        return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"


def _ranked(examples: Sequence[Example], predictions: Sequence[Any]) -> list[list[Box]]:
    """Predicted boxes of every example, best first."""
    if len(examples) != len(predictions):
        raise ValueError(f"expected {len(examples)} predictions, one per example, found {len(predictions)}")
    return [[value for value, _ in each.alternatives] or [each.value] for each in predictions]


def _measured(
    examples: Sequence[Example], ranked: Sequence[Sequence[Box]], protocol: str
) -> tuple[Measurement, dict[str, ExampleValues]]:
    """The measurement, and the phrases behind each metric."""
    phrases = [metric.Phrase(example.facts["boxes"], example.facts["types"]) for example in examples]
    scores = metric.evaluate(phrases, ranked, protocol)
    by_type = {f"recall@1, {name}": 100 * share for name, share in scores.by_type.items()}
    measurement = Measurement(
        primary="recall@1",
        metrics={**{f"recall@{k}": 100 * share for k, share in scores.recall.items()}, **by_type},
        per_example=np.array(scores.correct, dtype=np.float64),
        groups=[example.group for example in examples],
    )
    means = {
        f"recall@{k}": example_values(examples, [place is not None and place < k for place in scores.places])
        for k in scores.recall
    }
    parts = means["recall@1"].parts([[f"recall@1, {name}" for name in phrase.types] for phrase in phrases])
    return measurement, means | {name: parts[name] for name in measurement.metrics if name in parts}


def read_phrases(listed: Path, source: str) -> Iterator[Example]:
    """One example per phrase whose entity has a box, in the order of ``listed``; its id is image#sentence#phrase.
    Target: the box around all of the entity's boxes.

    Raises:
        MissingData: the sentences or annotations of an image are missing.
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
    """Paths of an image's sentences and annotations, beside the list of a split."""
    return listed.parent / "Sentences" / f"{key}.txt", listed.parent / "Annotations" / f"{key}.xml"


def _key(record: Record) -> str:
    image = record.fields.get("image")
    name = image if isinstance(image, str) else str(record.integer("image"))
    return f"{name}#{record.integer('sentence')}#{record.integer('phrase')}"


def _boxes(record: Record) -> list[Box]:
    """Predicted boxes, best first."""
    if record.one_of("box", "boxes") == "box":
        return [_box(record)]
    boxes = enumerate(record.items("boxes"))
    return [_box(Record({"box": box}, record.file, f"{record.place}.boxes[{place}]")) for place, box in boxes]


def _box(record: Record) -> Box:
    x1, y1, x2, y2 = record.numbers("box", 4)
    if x2 < x1 or y2 < y1:
        raise DataError(
            f"field 'box' must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2, found {record.fields['box']}",
            file=record.file,
            record=record.place,
        )
    return x1, y1, x2, y2
