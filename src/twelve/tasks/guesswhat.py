"""GuessWhat?!: which object is a dialogue of yes-no questions about (de Vries et al. 2017).

A line of ``guesswhat.valid.jsonl.gz`` in the 2017 layout and in the later one; boxes are x, y, width, height::

    {"id": 5, "status": "success", "object_id": 1001, "questioner_id": 7, "timestamp": "2016-07-08 02:04:00",
     "image": {"id": 42, "file_name": "COCO_val2014_000000000042.jpg", "width": 640, "height": 480, ...},
     "objects": [{"id": 1001, "category": "cup", "category_id": 47, "bbox": [10.5, 20.0, 30.25, 40.0], ...}],
     "qas": [{"id": 1, "question": "Is it a cup?", "answer": "Yes"}]}
    {"dialogue_id": 5, "picture_id": 42, "picture": {"file_name": "COCO_val2014_000000000042.jpg", ...}, ...,
     "objects": {"1001": {"category": "cup", ...}}, "qas": [{"id": 1, "q": "Is it a cup?", "a": "Yes"}]}
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import Record, read_lines
from twelve.formats.results import complete, known, only, passed_over
from twelve.formats.unique import unique
from twelve.metrics import guesswhat as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import (
    SourceOf,
    accuracy,
    by_number,
    corners,
    dialogue,
    example_values,
    image_of,
    some,
    turns_in,
    values,
)
from twelve.types.examples import Box, Example
from twelve.types.measurement import Measurement, Protocol, Scored

SPLITS = ("train", "valid", "test")
ANSWERS = ("Yes", "No", "N/A")
_PACKED = ".gz"
ALL = "all"
_NO_QUESTION = re.compile(r"start\s+answer ")
"""The text that :func:`dialogue` makes of an empty question; a game without questions has an empty text."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
"""An object id as a JSON key."""
PAGE = "https://florian-strub.com/guesswhat.train.jsonl.gz (and valid, test)"


@register
class GuessWhat(Task):
    """The guesser's side of GuessWhat?!. All games are read; only successful ones are measured."""

    name: ClassVar[str] = "guesswhat"
    title: ClassVar[str] = "GuessWhat?!"
    output: ClassVar[str] = "region"
    kind: ClassVar[str] = "region"
    method: ClassVar[str] = "guess"
    has_candidates: ClassVar[bool] = True
    token: ClassVar[int] = 17
    source: ClassVar[str] = "coco"
    page: ClassVar[str] = PAGE
    note: ClassVar[str] = "the correct one of all objects"
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=2e-5, max_text=256)
    result_file: ClassVar[str] = "guesswhat.{split}.results.json"
    file_names: ClassVar[Mapping[str, str]] = {split: f"guesswhat.{split}.jsonl{_PACKED}" for split in SPLITS}
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("valid",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = {
        metric.SUCCESS: "games whose questioner found the object, as in the official program",
        ALL: "all games, whatever their outcome",
    }

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return (games_source(root, self.folder, *self.files(split)),)

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return self.input_files(root, split)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        """The compressed file is read if both it and the uncompressed one exist."""
        path = games_file(root, self.folder, *self.files(split))
        return some(list(read_games(path, lambda file: root.image_source(self, file))), path, split, _blank)

    def readable(self, text: str) -> str:
        """A line for each question with its answer."""
        return "\n".join(f"{question} {answer}" for question, answer in turns_in(text, ANSWERS)) or text

    def image_sizes(self, root: DataRoot, split: str) -> Iterator[tuple[str, tuple[int, int]]]:
        for _, record, _ in games(games_file(root, self.folder, *self.files(split))):
            if (size := size_of_game(record)) is not None:
                yield image_of_game(record, lambda file: root.image_source(self, file)), size

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return self.measure_by(self.protocol(self.test_split), examples, predictions)

    def measure_by(self, protocol: Protocol, examples: Sequence[Example], predictions: Any) -> Measurement:
        """Predictions for games that do not count are ignored."""
        games = [_game(example, value) for example, value in zip(examples, values(examples, predictions), strict=True)]
        every = protocol.name == ALL
        scores = metric.evaluate(games, every_status=every)
        rows = [row for row, game in enumerate(games) if every or metric.counts(game.status)]
        return accuracy(scores.correct, [examples[row] for row in rows], _metrics(scores), rows)

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Games that do not count need no prediction."""
        path = only(predictions, "the JSON object of selected objects")
        games = {
            example.id: example for example in read_games(only(truth, self.files("test")[0]), lambda name: self.source)
        }
        counted = {key: game for key, game in games.items() if protocol == ALL or metric.counts(game.facts["status"])}
        selected = metric.read_results(path)
        known(selected, games, path, "game")
        complete(counted, selected, path, "game", "games that count")
        for key, game in counted.items():
            if selected[key] not in (None, *game.facts["object_ids"]):
                raise DataError(
                    f"object {selected[key]} is not among the game's {len(game.candidates)} objects",
                    file=path,
                    record=f"game {key}",
                    remedy="select objects by their ids in the official file, not by position",
                )
        scores = metric.evaluate(
            [metric.Game(game.facts["status"], _meant(game), selected[key]) for key, game in counted.items()],
            every_status=protocol == ALL,
        )
        tied = sum(selected[key] is None for key in counted)
        notes = [f"{tied:,} games give their highest score to several objects, and count as wrong"] if tied else []
        if protocol != ALL:
            notes += passed_over(len(selected) - len(counted), "for games that do not count")
        return Scored(
            accuracy(scores.correct, list(counted.values()), _metrics(scores)),
            "candidates are all objects of the game; all games have equal weight",
            {"accuracy": len(counted), "error": len(counted)},
            notes=notes,
            means={
                "accuracy": example_values(list(counted.values()), scores.correct),
                "error": example_values(list(counted.values()), [not right for right in scores.correct]),
            },
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The selected object of every game: ``{"5": 1001, ...}``."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return json.dumps({example.id: int(example.facts["object_ids"][value]) for example, value in pairs})


def _metrics(scores: metric.GuessWhatScores) -> dict[str, float]:
    return {"accuracy": 100 * (1 - scores.error), "error": 100 * scores.error}


def _blank(example: Example) -> bool:
    return _NO_QUESTION.search(example.text) is not None


def _game(example: Example, chosen: int) -> metric.Game:
    return metric.Game(example.facts["status"], _meant(example), example.facts["object_ids"][chosen])


def _meant(example: Example) -> str:
    """Id of a game's target object."""
    return str(example.facts["object_ids"][example.target])


def read_games(path: Path, source_of: SourceOf) -> Iterator[Example]:
    """One example per game, in file order, for either layout. Candidates: all objects, sorted by id. Target: the index
    of the target object.

    Raises:
        DataError: a line is malformed, or a game's id occurs twice.
    """
    for key, record, objects in games(path):
        image = image_of_game(record, source_of)
        meant = record.integer("object_id")
        yield Example(
            id=key,
            text=dialogue(turns(record)),
            images=(image,),
            target=list(objects).index(meant),
            group=image,
            candidates=tuple(objects.values()),
            facts={"status": sys.intern(record.text("status")), "object_ids": tuple(map(str, objects))},
        )


def games_file(root: DataRoot, folder: str, name: str) -> Path:
    """An existing file of games: the compressed one or, if there is none, the uncompressed one.

    Raises:
        MissingData: neither exists.
    """
    return root.file(folder, games_source(root, folder, name).name, page=PAGE)


def games_source(root: DataRoot, folder: str, name: str) -> Path:
    """The path that :func:`games_file` would return, whether or not it exists."""
    packed = root.path / folder / name
    plain = packed.with_name(name.removesuffix(_PACKED))
    return plain if plain.is_file() and not packed.is_file() else packed


def games(path: Path) -> Iterator[tuple[str, Record, dict[int, Box]]]:
    """(id, record, object id -> box, sorted) of every game, for either layout; ``object_id`` is among the objects.

    Raises:
        DataError: a line is malformed, or a game's id occurs twice.
    """
    keyed = ((str(record.integer(record.one_of("id", "dialogue_id"))), record) for record in read_lines(path))
    for key, record in unique(keyed, "game {key} occurs twice"):
        if (status := record.text("status")) not in metric.STATUSES:
            raise record.error(f"field 'status' must be one of {', '.join(metric.STATUSES)}, found {status!r}")
        objects = _objects(record)
        meant = record.integer("object_id")
        if meant not in objects:
            raise record.error(f"object_id {meant} is not among the game's {len(objects)} objects")
        _check_boxes(record, objects)
        yield key, record, objects


def _image(game: Record) -> Record:
    return game.record(game.one_of("image", "picture"))


def size_of_game(game: Record) -> tuple[int, int] | None:
    """Width and height of a game's image in pixels as the game states them; None where it does not.

    Raises:
        DataError: they are no whole numbers of pixels.
    """
    image = _image(game)
    if not {"width", "height"} <= image.fields.keys():
        return None
    width, height = image.integer("width"), image.integer("height")
    if width < 1 or height < 1:
        raise image.error(f"expected an image's width and height in pixels, found {width}x{height}")
    return width, height


def _check_boxes(game: Record, objects: Mapping[int, Box]) -> None:
    """Raise DataError for an object without any part in the image of the size that the game states."""
    if (size := size_of_game(game)) is None:
        return
    wide, high = size
    for key, (x1, y1, x2, y2) in objects.items():
        if x1 > wide or y1 > high or x2 < 0 or y2 < 0:
            raise game.error(
                f"object {key} lies outside its image of {wide}x{high} pixels, x {x1:g} to {x2:g}, y {y1:g} to {y2:g}"
            )


def image_of_game(game: Record, source_of: SourceOf) -> str:
    """Id of a game's image."""
    return image_of(_image(game), "file_name", source_of)


def turns(game: Record) -> Iterator[tuple[str, str]]:
    """(question, answer) of every turn; raises DataError for an answer outside :data:`ANSWERS`."""
    for turn in game.records("qas"):
        answer = turn.text(turn.one_of("answer", "a"))
        if answer not in ANSWERS:
            raise turn.error(f"the answer must be one of {', '.join(ANSWERS)}, found {answer!r}")
        yield turn.text(turn.one_of("question", "q")), answer


def _objects(game: Record) -> dict[int, Box]:
    """Object id -> box (x1, y1, x2, y2), sorted by id; the later layout has a mapping instead of a list."""
    if isinstance(game.fields.get("objects"), Mapping):
        by_id = game.record("objects")
        objects = {}
        for key in by_id.fields:
            if not _NUMBER.fullmatch(key):
                raise by_id.error(f"expected an object id as key, found {key!r}")
            objects[int(key)] = corners(by_id.record(key))
    else:
        objects = {key: corners(thing) for key, thing in by_number(game.records("objects"), "id").items()}
    return dict(sorted(objects.items()))
