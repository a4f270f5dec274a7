"""Your own data as a task, defined in the run's configuration::

    tasks:
      mine: {kind: answer, train: mine/train.jsonl, test_split: mine/val.jsonl, images: mine}

Each split is a file, relative to the data root, with one JSON object per line: ``text``, ``image`` (for pair, two
``images``) and ``target``, by kind:

============  ========================================================================================  ================
kind          a line of the file                                                                        measured by
============  ========================================================================================  ================
answer        {"text": "what is it?", "image": "a.jpg", "target": "cup"}                                soft accuracy
answer        {"text": "what is it?", "image": "a.jpg", "target": {"cup": 1.0, "mug": 0.6}}             (0..1 each)
retrieval     {"text": "a cup on a table", "image": "a.jpg"}                                            R@1, R@5, R@10
region        {"text": "the left cup", "image": "a.jpg", "target": [10, 20, 60, 90]}                    IoU >= 0.5
candidates    {"text": "which is full?", "image": "a.jpg", "candidates": [[10, 20, 60, 90], [0, 0, 9, 9]], "target": 0}
                                                                                                        accuracy
pair          {"text": "both show a cup", "images": ["a.jpg", "b.jpg"], "target": true}                 accuracy
entailment    {"text": "someone drinks", "image": "a.jpg", "target": "neutral"}                         accuracy
pretraining   {"text": "a cup on a table", "image": "a.jpg"}                                            R@1, R@5, R@10
============  ========================================================================================  ================

Boxes are x1, y1, x2, y2 in pixels. The target of candidates is an index from 0; that of entailment is contradiction,
neutral or entailment. An image is a file under ``images/<setting images>`` in the data root, identified by its name
without folders, or an id with its source (``coco/391895``). The optional ``id`` defaults to the line number, the
``group``, whose examples stay together, defaults to the first image. Lines without ``target`` can be predicted, not
measured.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from twelve.errors import ConfigError, DataError, MissingData, Own, closest, nearest
from twelve.formats.data_root import FOLDER, NO_FILE, DataRoot, image_key
from twelve.formats.records import Record, describe, read_each_line, read_lines, writable
from twelve.formats.results import mended, mended_by
from twelve.io.image_suffixes import SUFFIXES
from twelve.metrics import referring
from twelve.metrics.entailment import CLASSES
from twelve.tasks.base import Defaults, Task, all_tasks
from twelve.tasks.borrowed import borrowed
from twelve.tasks.extra.conceptual_captions import PRETRAINING
from twelve.tasks.formats.captions import CaptionTask
from twelve.tasks.formats.field_names import misnamed
from twelve.tasks.formats.shared import accuracy, some, values
from twelve.tasks.formats.tables import given_as_table
from twelve.types.examples import Box, Example, Target
from twelve.types.measurement import MARKS, Measurement, Protocol

if TYPE_CHECKING:
    from twelve.settings import TaskSettings

TOKEN = 1000
"""First token of own tasks. It lies beyond the table, so each is assigned a free row."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NEEDED = ("train", "test_split")
_FIELDS = ("text", "image", "images", "target", "candidates", "id", "group")
"""Fields of a line; others are ignored."""
_EXACT = "answers are compared exactly"
_OWN = ("kind", "captions", "images", "output", "title", "train")
"""Settings for own tasks only, except those in ``_KNOWN_TOO``."""
_KNOWN_TOO = ("title", "train")
"""Settings that a known task may have, too: the title of data that stand in for the dataset, and a training split."""


class FileTask(Task):
    """A task whose splits are JSON Lines files."""

    images_each: ClassVar[int] = 1
    needs_targets: ClassVar[bool] = True
    """Whether training requires a target in every line."""
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=4e-5, max_text=60)
    scoring_protocols: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def target(self, record: Record, example: Example) -> Target:
        """Parse the record's ``target`` field, which exists.

        Raises:
            DataError: it does not fit this kind.
        """

    @property
    def folder(self) -> str:
        return ""  # files are relative to the data root

    def files(self, split: str) -> tuple[str, ...]:
        return (split,)

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return (root.path / split,)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.path / split
        if not path.is_file():
            key = {self.train_split: "train", self.test_split: "test_split"}.get(split)
            hint = _file_beside(path, split)
            remedy = f"name a JSON Lines file of {self.name}, relative to {root.path}"
            if key is not None:
                remedy = f"create it, or name another file in tasks.{self.name}.{key}"
            if (given := Path(split)).is_file():
                inside = given.resolve().is_relative_to(root.path.resolve())
                name = given.resolve().relative_to(root.path.resolve()) if inside else f"{given.name}, and put it there"
                remedy = f"files are named relative to the data root: write {name}"
            raise MissingData(f"{NO_FILE}{hint}", file=path, remedy=remedy)
        examples: list[Example] = []
        for line in self._lines(root, split):
            if isinstance(line, DataError):
                raise line
            examples.append(line[1])
        if not examples:
            raise MissingData("the file has no lines", file=path, remedy=_WRITE)
        # Own tasks may have empty texts on purpose; data check notes them.
        return some(examples, path, split, lambda example: False)

    def flaws(self, root: DataRoot, split: str) -> Iterator[DataError]:
        try:
            yield from (line for line in self._lines(root, split) if isinstance(line, DataError))
        except DataError as error:  # about the file, or a line beyond which it is no text
            yield error

    def sound_lines(self, root: DataRoot, split: str) -> Iterator[tuple[Record, Example]]:
        """The lines of a split with nothing wrong with them (:meth:`flaws` has the others), and their examples."""
        with suppress(DataError):
            yield from (line for line in self._lines(root, split) if not isinstance(line, DataError))

    def images_named(self, record: Record) -> list[str]:
        """The names of a sound line's images, as they are written."""
        return record.strings("images") if self.images_each > 1 else [record.text("image")]

    def _lines(self, root: DataRoot, split: str) -> Iterator[tuple[Record, Example] | DataError]:
        """Each line and its example, or what is wrong with it."""
        path = root.path / split
        ids: set[str] = set()
        paths: dict[str, str] = {}
        with mended_by(path, _REMEDY):
            if (table := given_as_table(path)) is not None:
                raise table
            for number, record in enumerate(read_each_line(path), 1):
                try:
                    if isinstance(record, DataError):
                        raise record
                    example = self._example(record, str(number), root, paths)
                    if example.id in ids:
                        raise record.error(f"id {example.id!r} occurs twice", "give every line a distinct id")
                    if example.target is None and split == self.train_split and self.needs_targets:
                        raise record.error("field 'target' is missing", "add a target to every training line")
                except DataError as error:
                    yield mended(error, path, _REMEDY)
                else:
                    ids.add(example.id)
                    yield record, example

    def line_of(self, image: str, root: DataRoot, split: str | None = None) -> tuple[Record, str] | None:
        """The first line of the task's files that names an image (an id), and the name there; None if none does.

        Args:
            split: look into this file alone.
        """
        splits = (self.train_split, self.test_split, *self.splits) if split is None else (split,)
        for path in (root.path / each for each in dict.fromkeys(splits)):
            for record in read_lines(path) if path.is_file() else ():
                for name in self.images_named(record):
                    if self._image(name, root, record, {}) == image:
                        return record, name
        return None

    def _example(self, record: Record, number: str, root: DataRoot, paths: dict[str, str]) -> Example:
        """``paths``: image id -> its path, over the whole file."""
        if (error := misnamed(record, self._needed(), _FIELDS)) is not None:
            raise error
        if self.images_each == 1:
            names = [record.text("image")]
        elif len(names := record.strings("images")) != self.images_each:
            raise record.error(f"field 'images' must name {self.images_each} images, found {len(names)}", _REMEDY)
        images = tuple(self._image(name, root, record, paths) for name in names)
        text = record.text("text")
        key = str(record.integer("id")) if isinstance(record.fields.get("id"), int) else None
        example = Example(
            id=key or (record.identifier("id") if "id" in record.fields else number),
            text=text,
            images=images,
            group=record.identifier("group") if "group" in record.fields else images[0],
            candidates=self.boxes(record),
        )
        if record.fields.get("target") is None:
            return example
        target = self.target(record, example)
        return Example(example.id, text, images, target, example.group, example.candidates, facts=self.facts(target))

    def _needed(self) -> list[str]:
        """Fields of a line with a target."""
        names = ["text", "image" if self.images_each == 1 else "images"]
        return names + ["candidates"] * self.has_candidates + ["target"] * self.needs_targets

    def _image(self, name: str, root: DataRoot, record: Record, paths: dict[str, str]) -> str:
        """Image id for a path or an id."""
        is_file = Path(name).suffix.lower() in SUFFIXES
        if not is_file and "/" in name:
            source, _, key = name.partition("/")
            if not FOLDER.fullmatch(source) or not key.strip():
                raise record.error(f"expected an image file or an id SOURCE/KEY, found {name!r}", _REMEDY)
            return name
        if not image_key(name).strip():
            raise record.error("field 'image' must name an image, found nothing", _REMEDY)
        image = f"{root.image_source(self, Path(name).name)}/{image_key(name)}"
        if is_file and paths.setdefault(image, name) != name:
            raise record.error(f"{name} and {paths[image]} have the same name", "give every image a distinct name")
        return image

    def boxes(self, record: Record) -> tuple[Box, ...]:
        """Candidates of a record; empty for kinds without."""
        return ()

    def facts(self, target: Target) -> Mapping[str, Any]:
        """Facts that the vocabulary needs."""
        return {}

    def scores(self, examples: Sequence[Example], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """(N,) score of each prediction, 0..1; by default 1 if it equals the target."""
        pairs = zip(examples, predicted, strict=True)
        return np.array([value == example.target for example, value in pairs], dtype=np.float64)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        for example in examples:
            if example.target is None:
                raise DataError("this line has no target", record=example.id, remedy="evaluate on another file")
        return accuracy(self.scores(examples, values(examples, predictions)).tolist(), examples)

    def submission(self, examples: Sequence[Example], predictions: Any) -> str | bytes:
        """One line ``{"id": "17", "prediction": "cup"}`` per example."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return "".join(json.dumps({"id": example.id, "prediction": value}) + "\n" for example, value in pairs)


class AnswerFile(FileTask):
    kind: ClassVar[str] = "answer"
    output: ClassVar[str] = "answer"
    note: ClassVar[str] = f"{MARKS}; {_EXACT}"

    def protocol_on(self, protocol: Protocol, examples: Sequence[Example]) -> Protocol:
        marks = {mark for example in examples for mark in cast(Mapping[str, float], example.target or {}).values()}
        return protocol if marks - {1.0} else replace(protocol, note=protocol.note.replace(self.note, _EXACT))

    def target(self, record: Record, example: Example) -> Target:
        answers = record.fields["target"]
        if isinstance(answers, str):
            answers = {record.text("target"): 1.0}
        scored = isinstance(answers, Mapping) and answers and all(map(_share, answers.values()))
        if not scored or not all(map(writable, answers)):
            expected = "an answer or an object from answers to scores in 0..1"
            raise record.error(f"field 'target' must be {expected}, found {describe(answers)}", _REMEDY)
        if not all(map(str.strip, answers)):
            raise record.error("the answer is empty", _ANSWER)
        return {answer: float(score) for answer, score in answers.items()}

    def facts(self, target: Target) -> Mapping[str, Any]:
        answers = cast(Mapping[str, float], target)
        return {"label": max(answers, key=answers.__getitem__)}

    def scores(self, examples: Sequence[Example], predicted: Sequence[Any]) -> NDArray[np.float64]:
        pairs = zip(examples, predicted, strict=True)
        return np.array([cast(Mapping[str, float], example.target).get(value, 0.0) for example, value in pairs])


class RetrievalFile(FileTask, CaptionTask):
    kind: ClassVar[str] = "alignment"
    output: ClassVar[str] = "alignment"
    needs_targets: ClassVar[bool] = False

    def target(self, record: Record, example: Example) -> Target:
        return None

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return CaptionTask.measure(self, examples, predictions)

    def submission(self, examples: Sequence[Example], predictions: Any) -> str | bytes:
        return Task.submission(self, examples, predictions)


class PretrainingFile(RetrievalFile):
    kind: ClassVar[str] = "pretraining"
    output: ClassVar[str] = "pretraining"
    defaults: ClassVar[Defaults] = PRETRAINING


class RegionFile(FileTask):
    kind: ClassVar[str] = "region"
    output: ClassVar[str] = "region"
    note: ClassVar[str] = "IoU of at least 0.5 with the referred box"

    def target(self, record: Record, example: Example) -> Target:
        return _box(record.fields["target"], "target", record)

    def scores(self, examples: Sequence[Example], predicted: Sequence[Any]) -> NDArray[np.float64]:
        return np.array(referring.hits(predicted, [cast(Box, example.target) for example in examples]), np.float64)


class CandidatesFile(FileTask):
    kind: ClassVar[str] = "region"
    method: ClassVar[str] = "choose"
    has_candidates: ClassVar[bool] = True
    output: ClassVar[str] = "region"
    note: ClassVar[str] = "the correct one of the given boxes"

    def boxes(self, record: Record) -> tuple[Box, ...]:
        boxes = tuple(_box(box, "candidates", record) for box in record.items("candidates"))
        if not boxes:
            raise record.error("field 'candidates' must hold boxes, found none", _REMEDY)
        return boxes

    def target(self, record: Record, example: Example) -> Target:
        target = record.integer("target")
        if not 0 <= target < len(example.candidates):
            raise record.error(f"field 'target' must be 0 to {len(example.candidates) - 1}, found {target}", _REMEDY)
        return target


class PairFile(FileTask):
    kind: ClassVar[str] = "pair"
    output: ClassVar[str] = "pair"
    images_each: ClassVar[int] = 2

    def target(self, record: Record, example: Example) -> Target:
        return record.flag("target")


class EntailmentFile(FileTask):
    kind: ClassVar[str] = "entailment"
    output: ClassVar[str] = "entailment"

    def target(self, record: Record, example: Example) -> Target:
        target = record.text("target")
        if target not in CLASSES:
            raise record.error(f"field 'target' must be one of {', '.join(CLASSES)}, found {target!r}", _REMEDY)
        return target


KINDS: Mapping[str, type[FileTask]] = {
    "answer": AnswerFile,
    "retrieval": RetrievalFile,
    "region": RegionFile,
    "candidates": CandidatesFile,
    "pair": PairFile,
    "entailment": EntailmentFile,
    "pretraining": PretrainingFile,
}
_SPLITS = (".jsonl", ".ndjson", ".json")
"""Suffixes of files that may be splits."""
_REMEDY = Own("correct this line; docs/add-a-task.md shows one of each kind")
_ANSWER = Own("write the answer into this line, or remove the line")
_WRITE = Own("write one JSON object a line; docs/add-a-task.md shows one of each kind")


def _file_beside(path: Path, split: str) -> str:
    """A hint at the file beside a missing one whose name is nearest; ``split``: as it was named."""
    with suppress(OSError):
        there = sorted(one.name for one in path.parent.iterdir() if one.suffix in _SPLITS and one.is_file())
        names = {Path(name).stem: name for name in there}  # the endings say nothing
        if near := closest(path.stem, names):
            return f' (did you mean "{split.removesuffix(path.name)}{names[near]}"?)'
    return ""


def own_tasks(tasks: Mapping[str, TaskSettings]) -> dict[str, Task]:
    """Create a run's own tasks, those with a ``kind``, by name; checks the others for settings of own tasks.

    Raises:
        ConfigError: a setting is invalid.
    """
    known = all_tasks()
    for name, settings in tasks.items():
        refused = [key for key in _OWN if name not in known or key not in _KNOWN_TOO]
        given = [key for key in refused if getattr(settings, key) is not None]
        if given and name in known:
            raise ConfigError(
                f"{name} is a known dataset, which reads its official files",
                record=f"tasks.{name}.{given[0]}",
                remedy="give your own task another name",
            )
        if given and settings.kind is None:
            problem = "only a task of your own has this setting"
            raise ConfigError(problem, record=f"tasks.{name}.{given[0]}", remedy=f"add tasks.{name}.kind")
    return from_settings(tasks)


def from_settings(tasks: Mapping[str, TaskSettings]) -> dict[str, Task]:
    """Create a run's own tasks, those with a ``kind``, by name.

    Raises:
        ConfigError: a name is invalid, or a setting is missing.
    """
    own: dict[str, Task] = {}
    for name, settings in tasks.items():
        if settings.kind is None:
            continue
        record = f"tasks.{name}"
        if settings.kind not in KINDS:
            problem = f"unknown kind {settings.kind!r}{nearest(settings.kind, KINDS)}"
            raise ConfigError(problem, record=f"{record}.kind", remedy=f"choose among {', '.join(KINDS)}")
        for key, word in (("", name), (".output", settings.output)):
            if word is not None and not _NAME.fullmatch(word):
                raise ConfigError(
                    f"expected a name of lower-case letters, digits and _, found {word!r}", record=record + key
                )
        if settings.images is not None and not _FOLDER.fullmatch(settings.images):
            raise ConfigError(
                f"expected the name of a folder in the data root's images/, found {settings.images!r}",
                record=f"{record}.images",
                remedy="move the images to a folder there, and set its name",
            )
        if settings.captions is not None:
            own[name] = borrowed(name, settings, all_tasks(), TOKEN + len(own))
            continue
        for key in _NEEDED:
            if getattr(settings, key) is None:
                raise ConfigError("this key is required", record=f"{record}.{key}", remedy="set a JSON Lines file")
        parent = KINDS[settings.kind]
        members = {
            "name": name,
            "title": settings.title or name,
            "output": parent.output if parent is PretrainingFile else settings.output or parent.output,
            "token": TOKEN + len(own),
            "source": settings.images or name,
            "train_split": settings.train,
            "test_split": settings.test_split,
            "held_out_splits": {"test": (settings.test_split,)},
            "__module__": __name__,
        }
        own[name] = cast(type[FileTask], type(f"{parent.__name__}_{name}", (parent,), members))()
    return own


def _box(value: object, key: str, record: Record) -> Box:
    box = Record({key: value}, record.file, record.place).numbers(key, 4)
    if not (box[2] > box[0] and box[3] > box[1]):
        raise record.error(f"the box {list(box)} has no area", "boxes are x1, y1, x2, y2 in pixels")
    return cast(Box, box)


def _share(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
