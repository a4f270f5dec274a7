"""FOIL: is a caption true, or was one word replaced by a wrong one (Shekhar et al. 2017).

An element of ``annotations`` in ``foilv1.0_test_2017.json``; a caption and its foiled versions share an ``id``::

    {"id": 491132, "image_id": 262148, "foil": true, "foil_id": 12, "target_word": "bicycle", "foil_word": "motorcycle",
     "caption": "A motorcycle leans against the wall."}

There is no official result format. :meth:`FOIL.score` reads one JSON list that refers to captions by their position in
the file, from 0::

    [{"annotation": 0, "foil": true}, ...]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_elements
from twelve.formats.records import read_object
from twelve.formats.results import by_id, complete, known, only, written_like
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import accuracy_by_class, means_by_class, some, values
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Scored

_CLASSES = {True: "true", False: "foiled"}
_RESULT = '{"annotation": 0, "foil": true} (position in the official file, from 0), in one JSON list'


@register
class FOIL(Task):
    """FOIL-COCO. Its test images are from COCO's val2014, which other datasets train on, so they are held out."""

    name: ClassVar[str] = "foil"
    title: ClassVar[str] = "FOIL"
    output: ClassVar[str] = "truth"
    kind: ClassVar[str] = "truth"
    token: ClassVar[int] = 16
    source: ClassVar[str] = "coco"
    extra: ClassVar[bool] = True
    page: ClassVar[str] = "https://foilunitn.github.io"
    note: ClassVar[str] = "each true or foiled caption judged on its own"
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=4e-5, max_text=20)
    result_file: ClassVar[str] = "foilv1.0_{split}_2017_results.json"
    file_names: ClassVar[Mapping[str, str]] = {split: f"foilv1.0_{split}_2017.json" for split in ("train", "test")}
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",)}

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        return some(list(read_captions(path, root.image_source(self))), path, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return _measured(examples, values(examples, predictions))[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        examples = list(read_captions(only(truth, self.files("test")[0])))
        path = only(predictions, "the JSON list of judgements")
        with written_like(path, _RESULT):
            records = by_id(read_elements(path), lambda record: str(record.integer("annotation")), "caption")
            judged = {key: not record.flag("foil") for key, record in records.items()}
        captions = {example.id for example in examples}
        known(judged, captions, path, "caption")
        complete([example.id for example in examples], judged, path, "caption")
        measurement, counts = _measured(examples, [judged[example.id] for example in examples])
        rules = "two-way accuracy (there is no official program); " + self.note
        return Scored(measurement, rules, counts, means=means_by_class(examples, _labels(examples), measurement))

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The format that :meth:`score` reads."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return json.dumps([{"annotation": int(example.id), "foil": not value} for example, value in pairs], indent=0)


def _measured(examples: Sequence[Example], judged: Sequence[bool]) -> tuple[Measurement, dict[str, int]]:
    """The measurement, and the number of captions behind each metric."""
    return accuracy_by_class(
        examples, _labels(examples), [_CLASSES[bool(value)] for value in judged], list(_CLASSES.values())
    )


def _labels(examples: Sequence[Example]) -> list[str]:
    return [_CLASSES[bool(example.target)] for example in examples]


def read_captions(path: Path, source: str = "coco") -> Iterator[Example]:
    """One example per annotation, in file order; its id is its position from 0. Target: whether the caption is true.

    Raises:
        DataError: an annotation is malformed.
    """
    for place, record in enumerate(read_object(path).records("annotations")):
        image = f"{source}/{record.integer('image_id')}"
        yield Example(
            id=str(place),
            text=record.text("caption"),
            images=(image,),
            target=not record.flag("foil"),
            group=image,
        )
